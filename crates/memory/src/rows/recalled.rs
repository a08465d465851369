use keyset::{Listing, Order, desc};
use quire_proto::memory::v1::RecalledMemory;
use sqlx::FromRow;

use super::{
    MemoryRow,
    memories::{FILTERS, WEIGHT},
};

/// The memories of a workspace that hold words, the best 200 of them.
///
/// What leads to them is the index of the words, whatever other indexes there are: `offset 0` keeps the filters from being
/// looked up in those. A query without words matches nothing.
pub static RECALLED: Listing = Listing {
    name: "memory.v1.RecalledMemories",
    from: "(
        with asked as materialized (
            select websearch_to_tsquery('english', {query}) as words,
                quote_literal('workspace ' || {workspace})::tsquery as workspace
        ), candidates as (
            select found.*, ts_rank_cd(search, (select words from asked)) as rank
            from (
                select * from memories
                where search @@ (select words from asked) and search @@ (select workspace from asked) offset 0
            ) as found
            where {where} limit 10000
        )
        select id, scope, content, type, source, confidence, pinned, policy, user_id, team_id, project_id, repository, agent,
            tags, metadata, etag, create_time, update_time, rank
        from candidates order by rank desc, id desc limit 200
    ) as recalled",
    columns: "id, scope, content, type, source, confidence, pinned, policy, user_id, team_id, project_id, repository, agent, \
        tags, metadata, etag, create_time, update_time, rank",
    scope: &["workspace_id"],
    parameters: &["workspace", "query"],
    filters: FILTERS,
    orders: &[Order { name: "rank desc", keys: &[desc("rank"), desc("id")], indexed: &[] }],
    weight: Some(WEIGHT),
    ..Listing::DEFAULT
};

/// A memory and how well it matches.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct RecalledRow {
    #[sqlx(flatten)]
    memory: MemoryRow,
    rank: f32,
}

impl From<RecalledRow> for RecalledMemory {
    fn from(row: RecalledRow) -> Self {
        Self { memory: Some(row.memory.into()), rank: row.rank }
    }
}
