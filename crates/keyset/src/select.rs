//! The statement of a page.
//!
//! From the inside out: each branch of the seek reads its range of an index in order and stops at a limit; the branches
//! are put together and limited again; where a filter has no index, at most so many rows of that are examined and the
//! hits kept, with the last one examined; where rows are large, the page is cut by a running sum.
//!
//! The innermost limit is a constant and the next one a parameter. Under a generic plan Postgres knows nothing of a
//! parameter and takes a tenth of the table for wanted; by the constant it knows that the page is small.

use pagination::{Direction, MAX_PAGE_SIZE, MAX_SKIP, Position};

use crate::{
    MAX_PAGE_BYTES,
    listing::{Key, Nulls, Sort},
    seek::{Anchor, branches},
    statement::{Purpose, Selection, Source, Statement, or_true},
    value::Value,
};

/// How much of the list a page statement reads, from its position on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Extent {
    /// Rows to return at most: one more than the page has, to see whether there are more.
    pub(crate) limit: u32,
    /// Rows to pass over.
    pub(crate) skip: u32,
}

/// Most rows that a statement returns.
const MAX_LIMIT: u32 = MAX_PAGE_SIZE + 1;

/// Columns that a page statement adds to those of the row.
pub(crate) const HIT: &str = "keyset_hit";
/// The place of a row among those examined.
pub(crate) const POSITION: &str = "keyset_position";
/// Whether a further row follows this one in the page before it is cut by weight.
pub(crate) const MORE: &str = "keyset_more";

/// The name of the column that carries a key.
pub(crate) fn key_column(place: usize) -> String {
    format!("keyset_key_{}", place + 1)
}

/// What the parts of one page statement have in common.
struct Select<'a> {
    selection: &'a Selection<'a>,
    source: Source,
    /// The order's keys in the direction of the page.
    keys: Vec<Key>,
}

impl Selection<'_> {
    /// The statement that fetches the rows of a page, nearest to its position first.
    pub(crate) fn page(&self, direction: Direction, position: &Position, extent: Extent) -> Statement {
        let mut statement = Statement::default();
        let select = self.select(&mut statement, direction);
        let conditions = select.conditions(&mut statement, position);
        let page = if select.source.hit.is_some() {
            let examined = statement.bind(limit_value(self.examined_rows()));
            let rows = select.merge(&conditions, &self.listing.examined_rows.to_string(), &examined);
            let limit = statement.bind(limit_value(extent.limit));
            select.hits(&rows, &examined, &limit)
        } else {
            let limit = statement.bind(limit_value(extent.limit));
            if extent.skip == 0 {
                select.merge(&conditions, &MAX_LIMIT.to_string(), &limit)
            } else {
                let reach = statement.bind(limit_value(extent.skip + extent.limit));
                let offset = format!(" offset {}", statement.bind(limit_value(extent.skip)));
                let rows = select.merge(&conditions, &(MAX_SKIP + MAX_LIMIT).to_string(), &reach);
                format!("select * from ({rows}) as page order by {} limit {limit}{offset}", select.order())
            }
        };
        statement.text = if self.listing.weight.is_some() { select.cut(&page) } else { page };
        statement
    }

    /// The statement that reads as many rows as matter to a capped count, and for each whether it is a hit.
    pub(crate) fn examine(&self, limit: u32) -> Statement {
        let mut statement = Statement::default();
        let select = self.select(&mut statement, Direction::Forward);
        let conditions = select.conditions(&mut statement, &Position::Start);
        let limit = limit.to_string();
        let rows = select.merge(&conditions, &limit, &limit);
        let hit = if select.source.hit.is_some() { HIT } else { "true" };
        statement.text = format!("select {hit} as {HIT} from ({rows}) as rows");
        statement
    }

    fn select(&self, statement: &mut Statement, direction: Direction) -> Select<'_> {
        let keys = self.order.keys.iter().copied();
        let keys = match direction {
            Direction::Forward => keys.collect(),
            Direction::Backward => keys.map(Key::reversed).collect(),
        };
        Select { selection: self, source: self.source(statement, Purpose::Page), keys }
    }
}

impl Select<'_> {
    /// The condition of each range of the index that has rows of the page, nearest first.
    fn conditions(&self, statement: &mut Statement, position: &Position) -> Vec<String> {
        let is_anchored = *position != Position::Start;
        let ranges = self.bounds(is_anchored);
        let all: Vec<String> = self.source.conditions.iter().cloned().chain(ranges).collect();
        let with = |branch: String| or_true(&all.iter().cloned().chain(std::iter::once(branch)).collect::<Vec<_>>());
        match position {
            Position::Start => vec![or_true(&all)],
            Position::After(keys) => self.seek(statement, keys, false).into_iter().map(with).collect(),
            Position::At(keys) => self.seek(statement, keys, true).into_iter().map(with).collect(),
        }
    }

    /// The bounds that filters give the first key.
    ///
    /// Behind an anchor, the bound on the anchor's side holds anyway, and writing it can have Postgres begin at that bound
    /// and pass over every index entry up to the anchor: 18 does, 15 does not. Only where the key may be null does the
    /// anchor not say that the bound holds.
    fn bounds(&self, is_anchored: bool) -> Vec<String> {
        let Some(first) = self.keys.first() else { return Vec::new() };
        let bound = |operator, value: &String| format!("{} {operator} {value}", first.expression);
        let lower = self.source.lower.iter().map(|value| bound(">=", value));
        let upper = self.source.upper.iter().map(|value| bound("<", value));
        match (is_anchored && first.nulls == Nulls::Never, first.sort) {
            (false, _) => lower.chain(upper).collect(),
            (true, Sort::Ascending) => upper.collect(),
            (true, Sort::Descending) => lower.collect(),
        }
    }

    /// The branches of the seek behind an anchor.
    fn seek(&self, statement: &mut Statement, values: &[Option<Vec<u8>>], inclusive: bool) -> Vec<String> {
        let types = self.selection.key_types.iter();
        let anchors = self.keys.iter().zip(types).zip(values).map(|((&key, key_type), value)| {
            let bind = |value: &Vec<u8>| format!("{}::{key_type}", statement.bind(Value::key(Some(value.clone()))));
            Anchor { key, value: value.as_ref().map(bind) }
        });
        let branches = branches(&anchors.collect::<Vec<_>>(), inclusive);
        if branches.is_empty() { vec!["false".to_owned()] } else { branches }
    }

    /// The rows of all ranges, in order and limited. Where there are several, each is limited on its own as well.
    fn merge(&self, conditions: &[String], ceiling: &str, limit: &str) -> String {
        let leaves = conditions.iter().map(|condition| self.leaf(condition, ceiling));
        let is_one = conditions.len() == 1 && self.source.lookups.is_empty();
        let rows: Vec<String> =
            if is_one { leaves.collect() } else { leaves.map(|leaf| self.look_up(&leaf, limit)).collect() };
        let rows = rows.join(") union all (");
        format!("select * from (({rows})) as page order by {} limit {limit}", self.order())
    }

    /// A range of an index, read in order. Its rows are ordered by the columns that carry the keys, since to ORDER BY a
    /// name means a column of the result before one of the table.
    fn leaf(&self, condition: &str, ceiling: &str) -> String {
        let listing = self.selection.listing;
        let keys = self.keys.iter().enumerate();
        let keys = keys.map(|(place, key)| format!(", {} as {}", key.expression, key_column(place)));
        let hit = self.source.hit.iter().map(|hit| format!(", {hit} as {HIT}"));
        let weight =
            listing.weight.iter().map(|weight| format!(", greatest(coalesce(({weight}), 0), 0) as keyset_weight"));
        let columns: String = keys.chain(hit).chain(weight).collect();
        let (from, order) = (&self.source.from, self.order());
        format!("select {}{columns} from {from} where {condition} order by {order} limit {ceiling}", listing.columns)
    }

    /// A leaf limited to the rows wanted of it; where a filter is a set of values, one for each of them. To say its order
    /// again would sort it again: Postgres does not see that a key which the condition fixes sorts nothing.
    fn look_up(&self, leaf: &str, limit: &str) -> String {
        let leaf = format!("select * from ({leaf}) as leaf limit {limit}");
        if self.source.lookups.is_empty() {
            return leaf;
        }
        format!("select looked_up.* from {} cross join lateral ({leaf}) as looked_up", self.source.lookups.join(", "))
    }

    /// The rows that pass the filter that no index serves, and the last one that was examined.
    fn hits(&self, rows: &str, examined: &str, limit: &str) -> String {
        let order = self.order();
        format!(
            "select * from (select rows.*, row_number() over (order by {order}) as {POSITION} from ({rows}) as rows) \
             as examined where {HIT} or {POSITION} = {examined} order by {order} limit {limit}",
        )
    }

    /// As many of the rows as fit in a page, and at least one.
    fn cut(&self, page: &str) -> String {
        let order = self.order();
        format!(
            "select * from (select page.*, sum(keyset_weight) over nearest as keyset_running, row_number() over nearest \
             as keyset_rank, lead(true) over nearest as {MORE} from ({page}) as page window nearest as (order by {order})) \
             as weighed where keyset_running <= {MAX_PAGE_BYTES} or keyset_rank = 1 order by {order}",
        )
    }

    /// The order of the page, by the columns that carry the keys.
    fn order(&self) -> String {
        let keys = self.keys.iter().enumerate().map(|(place, key)| key.order_by(&key_column(place)));
        keys.collect::<Vec<_>>().join(", ")
    }
}

fn limit_value(rows: u32) -> Value {
    // LIMIT takes a bigint, whose bytes Postgres reads in network order.
    Value::key(Some(i64::from(rows).to_be_bytes().to_vec()))
}
