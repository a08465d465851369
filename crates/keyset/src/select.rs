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
    listing::Key,
    seek::{Anchor, branches},
    statement::{Bounds, Selection, Source, Statement, or_true},
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
        let keys = self.keys(direction);
        let bounds = self.bounds(direction, position);
        let source = self.source(&mut statement, bounds, true);
        let select = Select { selection: self, source, keys };
        let conditions = select.seek(&mut statement, position);
        let page = if select.source.hit.is_some() {
            let examined = self.listing.examined_rows.to_string();
            let rows = select.rows(&conditions, &examined, None);
            let rows = select.merge(rows, &examined, None);
            let limit = statement.bind(limit_value(extent.limit));
            select.hits(&rows, &limit)
        } else {
            let limit = statement.bind(limit_value(extent.limit));
            if extent.skip == 0 {
                select.merge(select.rows(&conditions, &MAX_LIMIT.to_string(), Some(&limit)), &limit, None)
            } else {
                let skip = statement.bind(limit_value(extent.skip));
                let reach = statement.bind(limit_value(extent.skip + extent.limit));
                let rows = select.rows(&conditions, &(MAX_SKIP + MAX_LIMIT).to_string(), Some(&reach));
                select.merge(rows, &limit, Some(&skip))
            }
        };
        statement.text = if self.listing.weight.is_some() { select.cut(&page) } else { page };
        statement
    }

    /// The statement that reads as many rows as matter to a capped count, and for each whether it is a hit.
    pub(crate) fn examine(&self, limit: u32) -> Statement {
        let mut statement = Statement::default();
        let source = self.source(&mut statement, Bounds::Both, true);
        let select = Select { selection: self, source, keys: self.keys(Direction::Forward) };
        let hit = select.source.hit.as_deref().unwrap_or("true");
        let columns = select.columns(&format!("{hit} as {HIT}"));
        let rows = select.leaf(&columns, None, &limit.to_string());
        statement.text = format!("select {HIT} from ({}) as rows limit {limit}", select.look_up(&rows, None));
        statement
    }

    fn keys(&self, direction: Direction) -> Vec<Key> {
        let keys = self.order.keys.iter().copied();
        match direction {
            Direction::Forward => keys.collect(),
            Direction::Backward => keys.map(Key::reversed).collect(),
        }
    }

    fn bounds(&self, direction: Direction, position: &Position) -> Bounds {
        use crate::listing::Sort::{Ascending, Descending};
        let first = self.keys(direction).first().map(|key| key.sort);
        match (position, first) {
            (Position::Start, _) | (_, None) => Bounds::Both,
            (Position::After(_) | Position::At(_), Some(Ascending)) => Bounds::UpperOnly,
            (Position::After(_) | Position::At(_), Some(Descending)) => Bounds::LowerOnly,
        }
    }
}

impl Select<'_> {
    /// One condition for each branch of the seek; none at all for the first page.
    fn seek(&self, statement: &mut Statement, position: &Position) -> Vec<Option<String>> {
        let (values, inclusive) = match position {
            Position::Start => return vec![None],
            Position::After(values) => (values, false),
            Position::At(values) => (values, true),
        };
        let types = &self.selection.key_types;
        let anchors = self.keys.iter().zip(types.iter()).zip(values).map(|((&key, key_type), value)| {
            let bind = |value: &Vec<u8>| format!("{}::{key_type}", statement.bind(Value::key(Some(value.clone()))));
            Anchor { key, value: value.as_ref().map(bind) }
        });
        let branches = branches(&anchors.collect::<Vec<_>>(), inclusive);
        if branches.is_empty() { vec![Some("false".to_owned())] } else { branches.into_iter().map(Some).collect() }
    }

    /// The rows of each branch of the seek.
    fn rows(&self, conditions: &[Option<String>], ceiling: &str, limit: Option<&str>) -> Vec<String> {
        let hit = self.source.hit.iter().map(|hit| format!(", {hit} as {HIT}"));
        let weight = self.selection.listing.weight.iter().map(|weight| format!(", ({weight}) as keyset_weight"));
        let columns = hit.chain(weight).fold(self.columns(self.selection.listing.columns), |all, column| all + &column);
        let leaves = conditions.iter().map(|condition| self.leaf(&columns, condition.as_deref(), ceiling));
        leaves.map(|leaf| self.look_up(&leaf, limit)).collect()
    }

    /// The columns, with those that carry the keys. Rows are ordered by these, since to ORDER BY a name means a column of the
    /// result before one of the table.
    fn columns(&self, columns: &str) -> String {
        let keys = self.keys.iter().enumerate();
        let keys = keys.map(|(place, key)| format!(", {} as {}", key.expression, key_column(place)));
        keys.fold(columns.to_owned(), |all, key| all + &key)
    }

    /// A range of an index, read in order.
    fn leaf(&self, columns: &str, condition: Option<&str>, ceiling: &str) -> String {
        let conditions: Vec<String> =
            self.source.conditions.iter().cloned().chain(condition.map(str::to_owned)).collect();
        format!(
            "select {columns} from {} where {} order by {} limit {ceiling}",
            self.source.from,
            or_true(&conditions),
            self.order(),
        )
    }

    /// A leaf limited to the rows wanted of it; where a filter is a set of values, one for each of them.
    fn look_up(&self, leaf: &str, limit: Option<&str>) -> String {
        let limit = limit.map(|limit| format!(" limit {limit}")).unwrap_or_default();
        let leaf = format!("select * from ({leaf}) as leaf{limit}");
        if self.source.lookups.is_empty() {
            return leaf;
        }
        format!("select looked_up.* from {} cross join lateral ({leaf}) as looked_up", self.source.lookups.join(", "))
    }

    /// The rows of all branches, in order and limited.
    fn merge(&self, rows: Vec<String>, limit: &str, skip: Option<&str>) -> String {
        let rows = rows.join(") union all (");
        let skip = skip.map(|skip| format!(" offset {skip}")).unwrap_or_default();
        format!("select * from (({rows})) as page order by {} limit {limit}{skip}", self.order())
    }

    /// The rows that pass the filter that no index serves, and the last one that was examined.
    fn hits(&self, rows: &str, limit: &str) -> String {
        let (order, examined) = (self.order(), self.selection.listing.examined_rows);
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
