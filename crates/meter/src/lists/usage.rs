use std::collections::HashMap;

use keyset::{Filter, Listing, Order, Statement, asc, desc};
use platform::{Error, NewRow, Resource};
use quire_proto::meter::v1::UsageRecord;
use rust_decimal::Decimal;
use sqlx::types::Json;
use time::OffsetDateTime;
use uuid::Uuid;

use super::USAGE_RECORD;
use crate::Meter;

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
    message: USAGE_RECORD,
    columns: columns!(),
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

/// A use to be recorded.
#[derive(Debug, Clone)]
pub(crate) struct NewUsage {
    /// The path of the record in its request, with the dot behind it, as in `records[3].`.
    pub(crate) path: String,
    /// Whether the request gave the time.
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
        let statement = Statement::new(sql)
            .bind(workspace)
            .bind(new.iter().map(|new| new.id).collect::<Vec<_>>())
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
            .bind(new.iter().map(|new| new.cost_usd).collect::<Vec<_>>())
            .bind(records().map(|record| Json(&record.metadata)).collect::<Vec<_>>())
            .bind(new.iter().map(|new| new.occur_time).collect::<Vec<_>>())
            .bind(new.iter().map(|new| new.create_time).collect::<Vec<_>>());
        service.database.write_rows(statement).await?;
        Ok(())
    }

    async fn find(service: &Meter, workspace: &str, new: &[Self]) -> Result<Vec<Option<UsageRecord>>, Error> {
        let sql =
            concat!("select ", columns!(), " from usage_records where workspace_id = $1 and request_id = any($2)");
        let request_ids: Vec<_> = new.iter().map(|new| new.record.request_id.as_str()).collect();
        let mut by_request_id = HashMap::new();
        for row in service.database.read_rows(Statement::new(sql).bind(workspace).bind(request_ids)).await? {
            let record: UsageRecord = service.usage.message(&row)?;
            by_request_id.insert(record.request_id.clone(), record);
        }
        Ok(new.iter().map(|new| by_request_id.remove(&new.record.request_id)).collect())
    }

    fn is_as(&self, existing: &UsageRecord) -> bool {
        let (id, create_time) = (existing.id.clone(), existing.create_time);
        let occur_time = if self.is_occur_time_given { self.record.occur_time } else { existing.occur_time };
        UsageRecord { id, occur_time, create_time, ..self.record.clone() } == *existing
    }

    fn resource(&self, _existing: Option<&UsageRecord>) -> Resource {
        let name = self.record.request_id.clone();
        Resource { kind: USAGE_RECORD, field: format!("{}request_id", self.path), name }
    }
}
