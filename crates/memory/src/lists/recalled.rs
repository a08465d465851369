use keyset::{Listing, Order, desc};

use super::memories::{FILTERS, WEIGHT, columns};

/// The best 200 of the memories of a workspace that match a query of words.
///
/// Memories are always found by the index of the words: `offset 0` prevents Postgres from using the indexes of the
/// filters instead. A query without words matches nothing.
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
        select * from candidates order by rank desc, id desc limit 200
    ) as recalled",
    message: "memory.v1.RecalledMemory",
    columns: concat!(columns!("memory."), ", rank"),
    scope: &["workspace_id"],
    parameters: &["workspace", "query"],
    filters: FILTERS,
    orders: &[Order { name: "rank desc", keys: &[desc("rank"), desc("id")], indexed: &[] }],
    weight: Some(WEIGHT),
    ..Listing::DEFAULT
};
