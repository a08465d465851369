use std::collections::{BTreeMap, HashMap};

use keyset::{Database, Filter, Listing, Order, asc, desc};
use platform::{NewRow, Resource, timestamp};
use quire_proto::meter::v1::UsageRecord;
use rust_decimal::Decimal;
use sqlx::{FromRow, types::Json};
use time::OffsetDateTime;
use uuid::Uuid;

use super::USAGE_RECORD;

/// The usage records of a workspace.
pub static USAGE: Listing = Listing {
    name: "meter.v1.Usage",
    from: "usage_records",
    columns: "id, request_id, team_id, agent_id, surface, event_type, model, provider, input_tokens, output_tokens, \
        cache_read_tokens, cache_write_tokens, cost_usd, metadata, occur_time, create_time",
    scope: &["workspace_id"],
    filters: FILTERS,
    orders: &[
        Order { name: "occur_time desc", keys: &[desc("occur_time"), desc("id")], indexed: INDEXED },
        Order { name: "occur_time", keys: &[asc("occur_time"), asc("id")], indexed: INDEXED },
    ],
    ..Listing::DEFAULT
};

/// What usage is filtered by, listed or summed up.
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

/// A row of `usage_records`.
#[derive(Debug, Clone, PartialEq, FromRow)]
pub(crate) struct UsageRow {
    pub(crate) id: Uuid,
    pub(crate) request_id: String,
    pub(crate) team_id: String,
    pub(crate) agent_id: String,
    pub(crate) surface: String,
    pub(crate) event_type: String,
    pub(crate) model: String,
    pub(crate) provider: String,
    pub(crate) input_tokens: i64,
    pub(crate) output_tokens: i64,
    pub(crate) cache_read_tokens: i64,
    pub(crate) cache_write_tokens: i64,
    pub(crate) cost_usd: Decimal,
    pub(crate) metadata: Json<BTreeMap<String, String>>,
    pub(crate) occur_time: OffsetDateTime,
    pub(crate) create_time: OffsetDateTime,
}

impl From<UsageRow> for UsageRecord {
    fn from(row: UsageRow) -> Self {
        Self {
            id: row.id.to_string(),
            request_id: row.request_id,
            team_id: row.team_id,
            agent_id: row.agent_id,
            surface: row.surface,
            event_type: row.event_type,
            model: row.model,
            provider: row.provider,
            input_tokens: row.input_tokens,
            output_tokens: row.output_tokens,
            cache_read_tokens: row.cache_read_tokens,
            cache_write_tokens: row.cache_write_tokens,
            cost_usd: row.cost_usd.normalize().to_string(),
            metadata: row.metadata.0,
            occur_time: Some(timestamp(row.occur_time)),
            create_time: Some(timestamp(row.create_time)),
        }
    }
}

/// A use to be recorded.
#[derive(Debug, Clone)]
pub(crate) struct NewUsage {
    /// The path of the record in its request, with the dot behind it, as in `records[3].`.
    pub(crate) path: String,
    /// Whether the request gave the time.
    pub(crate) is_occur_time_given: bool,
    pub(crate) record: UsageRow,
}

impl NewRow for NewUsage {
    type Existing = UsageRow;

    async fn insert(database: &Database, workspace: &str, new: &[&Self]) -> sqlx::Result<()> {
        let sql = "
            with given as (
                select * from unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
                    $9::text[], $10::int8[], $11::int8[], $12::int8[], $13::int8[], $14::numeric[], $15::jsonb[],
                    $16::timestamptz[], $17::timestamptz[])
                    as given (id, request_id, team_id, agent_id, surface, event_type, model, provider, input_tokens,
                        output_tokens, cache_read_tokens, cache_write_tokens, cost_usd, metadata, occur_time, create_time)
            )
            insert into usage_records (workspace_id, id, request_id, team_id, agent_id, surface, event_type, model, provider,
                input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, cost_usd, metadata, occur_time,
                create_time)
            select $1, id, request_id, team_id, agent_id, surface, event_type, model, provider, input_tokens, output_tokens,
                cache_read_tokens, cache_write_tokens, cost_usd, metadata, occur_time, create_time
            -- Two batches that have uses in common take them in the same order, so that neither waits for the other.
            from given order by request_id";
        let records = || new.iter().map(|new| &new.record);
        let query = sqlx::query(sql)
            .bind(workspace)
            .bind(records().map(|record| record.id).collect::<Vec<_>>())
            .bind(records().map(|record| record.request_id.as_str()).collect::<Vec<_>>())
            .bind(records().map(|record| record.team_id.as_str()).collect::<Vec<_>>())
            .bind(records().map(|record| record.agent_id.as_str()).collect::<Vec<_>>())
            .bind(records().map(|record| record.surface.as_str()).collect::<Vec<_>>())
            .bind(records().map(|record| record.event_type.as_str()).collect::<Vec<_>>())
            .bind(records().map(|record| record.model.as_str()).collect::<Vec<_>>())
            .bind(records().map(|record| record.provider.as_str()).collect::<Vec<_>>())
            .bind(records().map(|record| record.input_tokens).collect::<Vec<_>>())
            .bind(records().map(|record| record.output_tokens).collect::<Vec<_>>())
            .bind(records().map(|record| record.cache_read_tokens).collect::<Vec<_>>())
            .bind(records().map(|record| record.cache_write_tokens).collect::<Vec<_>>())
            .bind(records().map(|record| record.cost_usd).collect::<Vec<_>>())
            .bind(records().map(|record| Json(&record.metadata.0)).collect::<Vec<_>>())
            .bind(records().map(|record| record.occur_time).collect::<Vec<_>>())
            .bind(records().map(|record| record.create_time).collect::<Vec<_>>());
        database.write::<()>(query).await?;
        Ok(())
    }

    async fn find(database: &Database, workspace: &str, new: &[Self]) -> sqlx::Result<Vec<Option<UsageRow>>> {
        let sql = "
            select id, request_id, team_id, agent_id, surface, event_type, model, provider, input_tokens, output_tokens,
                cache_read_tokens, cache_write_tokens, cost_usd, metadata, occur_time, create_time
            from usage_records where workspace_id = $1 and request_id = any($2)";
        let request_ids: Vec<_> = new.iter().map(|new| new.record.request_id.as_str()).collect();
        let rows: Vec<UsageRow> = database.read(|| sqlx::query(sql).bind(workspace).bind(&request_ids)).await?;
        let mut by_request_id: HashMap<String, UsageRow> =
            rows.into_iter().map(|row| (row.request_id.clone(), row)).collect();
        Ok(new.iter().map(|new| by_request_id.remove(&new.record.request_id)).collect())
    }

    fn is_as(&self, existing: &UsageRow) -> bool {
        let UsageRow { id, occur_time, create_time, .. } = *existing;
        let occur_time = if self.is_occur_time_given { self.record.occur_time } else { occur_time };
        UsageRow { id, occur_time, create_time, ..self.record.clone() } == *existing
    }

    fn resource(&self, _existing: Option<&UsageRow>) -> Resource {
        let name = self.record.request_id.clone();
        Resource { kind: USAGE_RECORD, field: format!("{}request_id", self.path), name }
    }
}
