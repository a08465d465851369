use keyset::{Filter, Listing, Order, Statement, asc, desc};
use platform::{Error, Field, NewRow, Resource, Rows, Value, matched};
use quire_proto::meter::v1::UsageRecord;
use rust_decimal::Decimal;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::Meter;

/// The maximum number of tokens of one kind in a record.
const MAX_TOKENS: i64 = 1_000_000_000_000;

macro_rules! columns {
    () => {
        "id, request_id, team_id, agent_id, surface, event_type, model, provider, input_tokens, output_tokens, \
        cache_read_tokens, cache_write_tokens, cost_usd, metadata, occur_time, create_time"
    };
}

/// The usage records of a workspace.
pub static USAGE: Listing = Listing {
    name: "meter.v1.Usage",
    from: "usage_records",
    message: "meter.v1.UsageRecord",
    columns: columns!(),
    scope: &["workspace_id"],
    filters: FILTERS,
    orders: &[
        Order { name: "occur_time desc", keys: &[desc("occur_time"), desc("id")], indexed: INDEXED },
        Order { name: "occur_time", keys: &[asc("occur_time"), asc("id")], indexed: INDEXED },
        Order { name: "request_id", keys: &[asc("request_id")], indexed: &[] },
    ],
    ..Listing::DEFAULT
};

/// The filters of ListUsage and SummarizeUsage.
pub(super) const FILTERS: &[Filter] = &[
    Filter::equal("agent_id", "agent_id"),
    Filter::equal("team_id", "team_id"),
    Filter::equal("model", "model"),
    Filter::equal("event_type", "event_type"),
    Filter::equal("provider", "provider"),
    Filter::at_least("start_time", "occur_time"),
    Filter::less_than("end_time", "occur_time"),
];

const INDEXED: &[&[&str]] = &[&["agent_id"], &["team_id"], &["model"]];

/// The fields of a record that are stored unchanged.
pub fn usage_fields(record: &UsageRecord) -> Vec<Field<'_>> {
    vec![
        Field::text("request_id", &record.request_id, 1..=128),
        Field::text("team_id", &record.team_id, 0..=128),
        Field::text("agent_id", &record.agent_id, 0..=256),
        Field::text("surface", &record.surface, 0..=64),
        Field::text("event_type", &record.event_type, 0..=64),
        Field::text("model", &record.model, 0..=128),
        Field::text("provider", &record.provider, 0..=64),
        Field::int8("input_tokens", Some(record.input_tokens), 0..=MAX_TOKENS),
        Field::int8("output_tokens", Some(record.output_tokens), 0..=MAX_TOKENS),
        Field::int8("cache_read_tokens", Some(record.cache_read_tokens), 0..=MAX_TOKENS),
        Field::int8("cache_write_tokens", Some(record.cache_write_tokens), 0..=MAX_TOKENS),
        Field::metadata("metadata", &record.metadata),
    ]
}

/// A usage record to insert.
#[derive(Debug, Clone)]
pub(crate) struct NewUsage {
    /// The path of the record in its request, with a trailing dot, as in `records[3].`.
    pub(crate) path: String,
    /// Whether the request contains the time.
    pub(crate) is_occur_time_given: bool,
    pub(crate) id: Uuid,
    pub(crate) cost_usd: Decimal,
    pub(crate) occur_time: OffsetDateTime,
    pub(crate) create_time: OffsetDateTime,
    pub(crate) record: UsageRecord,
}

impl NewRow for NewUsage {
    type Store = Meter;
    type Existing = UsageRecord;

    async fn insert(service: &Meter, workspace: &str, new: &[&Self]) -> sqlx::Result<()> {
        let rows = Rows::new(new.iter().map(|new| {
            let mut fields = usage_fields(&new.record);
            fields.extend([
                Field::new("id", Value::Uuid(new.id)),
                Field::new("cost_usd", Value::Numeric(new.cost_usd)),
                Field::new("occur_time", Value::Timestamptz(new.occur_time)),
                Field::new("create_time", Value::Timestamptz(new.create_time)),
            ]);
            fields
        }));
        service.database.write_rows(rows.insert(workspace, "usage_records", "request_id")).await?;
        Ok(())
    }

    async fn find(service: &Meter, workspace: &str, new: &[Self]) -> Result<Vec<Option<UsageRecord>>, Error> {
        let sql =
            concat!("select ", columns!(), " from usage_records where workspace_id = $1 and request_id = any($2)");
        let request_ids: Vec<_> = new.iter().map(|new| new.record.request_id.as_str()).collect();
        let rows = service.database.read_rows(Statement::new(sql).bind(workspace).bind(request_ids)).await?;
        let existing = rows.iter().map(|row| service.usage.message(row)).collect::<Result<Vec<UsageRecord>, _>>()?;
        Ok(matched(new, &existing, &[(|new| &new.record.request_id, |record| &record.request_id)]))
    }

    fn keys(&self) -> Vec<&str> {
        vec![&self.record.request_id]
    }

    fn as_existing(&self) -> UsageRecord {
        self.record.clone()
    }

    fn is_as(&self, existing: &UsageRecord) -> bool {
        let (id, create_time) = (existing.id.clone(), existing.create_time);
        let occur_time = if self.is_occur_time_given { self.record.occur_time } else { existing.occur_time };
        UsageRecord { id, occur_time, create_time, ..self.record.clone() } == *existing
    }

    fn resource(&self, _existing: Option<&UsageRecord>) -> Resource {
        let name = self.record.request_id.clone();
        Resource { kind: USAGE.message, field: format!("{}request_id", self.path), name }
    }
}
