use keyset::{Listing, Order, desc};

use super::memories::{FILTERS, WEIGHT, columns};

/// The best 200 of the memories of a workspace that match a query of words.
///
/// Memories are always found by the index of the words: `offset 0` prevents Postgres from using the indexes of the
/// filters instead. A query without words matches nothing.
///
/// The words of a memory that an earlier release has written are not known until the sweep has computed them. Until then the
/// memory is found by that release's words. Nothing is looked up for that in a workspace without such memories.
///
/// The cost of ranking is that of the positions of the asked words, at most 4,096 in a memory with 16 words, at about a
/// microsecond each. So the vector of a memory is stripped to the asked words, the memories are taken until they have
/// 100,000 positions together, and only these are ranked. Before that they are taken until their vectors have 50 MB as they
/// are stored, because to strip a large vector takes long too. The size of a stripped vector tells the number of its positions:
/// each takes two bytes, and each word about twelve. All positions have the weight A in a stripped vector, and D in the
/// stored one, whose weight for ranks is 0.1.
pub static RECALLED: Listing = Listing {
    name: "memory.v1.RecalledMemories",
    from: "(
        with asked as materialized (
            -- The text of a query is that of a vector of its words, with its operators as further words.
            select query, tsvector_to_array(replace(query::text, '!''', '! ''')::tsvector) as lexemes,
                quote_literal('workspace ' || {workspace})::tsquery as workspace,
                exists (
                    select from (
                        select from memories
                        where workspace_id = {workspace} and words_etag is distinct from etag
                        order by workspace_id, etag limit 1
                    ) as memories
                ) as has_stale
            from cast({query}::text as tsquery) as query
        ), matching as (
            select matching.*, sum(pg_column_size(vector)) over (rows unbounded preceding) as bytes
            from (
                select * from (
                    select memories.*, words as vector from memories
                    where words @@ (select query from asked) and words @@ (select workspace from asked)
                        and words_etag = etag
                    union all
                    select memories.*, search as vector from memories
                    where (select has_stale from asked) and words_etag is distinct from etag
                        and search @@ (select query from asked) and search @@ (select workspace from asked)
                    offset 0
                ) as memories
                where {where} limit 10000
            ) as matching
        ), found as (
            select matching.*,
                ts_filter(setweight(vector, 'A', (select lexemes from asked)), array['a'::\"char\"]) as stripped
            from matching where bytes <= 50000000
        ), measured as (
            select found.*,
                sum(pg_column_size(stripped) / 2 - 6 * length(stripped)) over (rows unbounded preceding) as positions
            from found
        ), candidates as (
            select measured.*, ts_rank_cd(array[0.1, 0.1, 0.1, 0.1]::float4[], stripped, (select query from asked)) as rank
            from measured where positions <= 100000
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
