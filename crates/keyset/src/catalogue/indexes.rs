//! Checks that an index serves each order. The index begins with the scope and the filters, in any order, and continues
//! with the keys, sorted as declared or all reversed. Which index Postgres chooses under filters is not checked here.
//! That depends on the rows in the table, so the conformance kit checks it with enough of them.

use pagination::{Direction, Position};
use sqlx::{AssertSqlSafe, Executor, FromRow, PgConnection, Row, SqlSafeStr, raw_sql};

use super::{
    Fault,
    types::{Expression, definition, named},
};
use crate::{
    listing::{Key, Listing, Nulls, Order, Sort},
    plan,
    selection::{Extent, Selection},
};

/// A column of an index.
#[derive(Debug, FromRow)]
pub(super) struct IndexColumn {
    index: String,
    definition: String,
    collation: Option<String>,
    is_descending: bool,
    is_nulls_first: bool,
}

impl IndexColumn {
    /// The columns, in order, of all valid B-trees that have no predicate and compare in the default way.
    const SELECT: &str = "
        select i.indexrelid::regclass::text as index,
            pg_get_indexdef(i.indexrelid, place, true) as definition,
            nullif(i.indcollation[place - 1], 0)::regcollation::text as collation,
            i.indoption[place - 1] & 1 > 0 as is_descending,
            i.indoption[place - 1] & 2 > 0 as is_nulls_first
        from pg_index i
        join pg_class c on c.oid = i.indexrelid
        join pg_am a on a.oid = c.relam
        cross join generate_series(1, i.indnkeyatts) as place
        join pg_opclass o on o.oid = i.indclass[place - 1]
        where i.indrelid = $1::regclass and i.indisvalid and i.indpred is null and a.amname = 'btree' and o.opcdefault
        order by i.indexrelid, place";

    pub(super) async fn all(connection: &mut PgConnection, listing: &'static Listing) -> Result<Vec<Self>, Fault> {
        let mut columns: Vec<Self> =
            sqlx::query_as(Self::SELECT).bind(listing.from).fetch_all(&mut *connection).await?;
        for column in &mut columns {
            // Normalized like the listing's expressions, so that constants are written alike.
            column.definition = definition(connection, listing, &column.definition).await?;
        }
        Ok(columns)
    }

    fn is(&self, expression: &Expression) -> bool {
        self.definition == expression.definition && self.collation == expression.collation
    }

    fn sorts_as(&self, key: &Key) -> bool {
        let nulls = match key.nulls {
            Nulls::Never => true,
            Nulls::First => self.is_nulls_first,
            Nulls::Last => !self.is_nulls_first,
        };
        nulls && self.is_descending == (key.sort == Sort::Descending)
    }
}

/// Checks that an index serves the order alone and under each set of filters that it names.
pub(super) fn check(
    listing: &Listing,
    order: &Order,
    expressions: &[Expression],
    indexes: &[IndexColumn],
) -> Result<(), Fault> {
    for filters in std::iter::once(&[][..]).chain(order.indexed.iter().copied()) {
        let wanted = Wanted::new(listing, order, filters);
        let serves = |index: &[IndexColumn]| wanted.is_served_by(index, expressions).unwrap_or(false);
        if !indexes.chunk_by(|a, b| a.index == b.index).any(serves) {
            let under = if filters.is_empty() { String::new() } else { format!(" with {}", filters.join(" and ")) };
            let (name, from) = (order.name, listing.from);
            return Err(
                format!("no index serves the order \"{name}\"{under}: create index on {from} ({wanted})").into()
            );
        }
    }
    Ok(())
}

/// The index that an order needs.
struct Wanted {
    /// Its first columns, in any sequence and with any sort.
    fixed: Vec<&'static str>,
    /// The columns after those, in this sequence and with this sort or its reverse.
    keys: Vec<Key>,
}

impl Wanted {
    fn new(listing: &Listing, order: &Order, filters: &[&str]) -> Self {
        let column = |name: &&str| listing.filter(name)?.equal_column();
        let fixed: Vec<_> = listing.scope.iter().copied().chain(filters.iter().filter_map(column)).collect();
        // A key that a condition fixes to one value needs no sort.
        let keys = order.keys.iter().filter(|key| !fixed.contains(&key.expression)).copied().collect();
        Self { fixed, keys }
    }

    /// Whether the index serves; `None` if it has too few columns.
    fn is_served_by(&self, index: &[IndexColumn], expressions: &[Expression]) -> Option<bool> {
        let is =
            |column: &IndexColumn, text: &str| named(expressions, text).is_some_and(|expression| column.is(expression));
        let (first, then) = index.split_at_checked(self.fixed.len())?;
        let then = then.get(..self.keys.len())?;
        let pairs = || then.iter().zip(&self.keys);
        let has_fixed = self.fixed.iter().all(|text| first.iter().any(|column| is(column, text)));
        let has_keys = pairs().all(|(column, key)| is(column, key.expression));
        let sorts = pairs().all(|(column, key)| column.sorts_as(key));
        let sorts_reversed = pairs().all(|(column, key)| column.sorts_as(&key.reversed()));
        Some(has_fixed && has_keys && (sorts || sorts_reversed))
    }
}

/// The columns as CREATE INDEX writes them.
impl std::fmt::Display for Wanted {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let parenthesized = |expression: &str| {
            let is_column = expression.chars().all(|char| char.is_alphanumeric() || matches!(char, '_' | '"'));
            if is_column { expression.to_owned() } else { format!("({expression})") }
        };
        let fixed = self.fixed.iter().copied().map(parenthesized);
        let keys = self.keys.iter().map(|key| key.order_by(&parenthesized(key.expression)));
        formatter.write_str(&fixed.chain(keys).collect::<Vec<_>>().join(", "))
    }
}

/// Checks that the columns of indexed filters are set to have many distinct values: see [`Order::indexed`].
pub(super) async fn check_distinct(
    connection: &mut PgConnection,
    listing: &Listing,
    expressions: &[Expression],
) -> Result<(), Fault> {
    let is_set = "
        select exists (
            select from pg_options_to_table(attoptions)
            where option_name = 'n_distinct' and (option_value::float8 >= 100 or option_value::float8 < 0)
        )
        from pg_attribute where attrelid = $1::regclass and quote_ident(attname) = $2";
    let names: Vec<_> = listing.orders.iter().flat_map(|order| order.indexed).copied().flatten().collect();
    for name in names {
        let column = listing.filter(name).and_then(|filter| filter.equal_column());
        let Some(Expression { definition, .. }) = column.and_then(|column| named(expressions, column)) else {
            continue;
        };
        let is_set = sqlx::query_scalar(is_set).bind(listing.from).bind(definition).fetch_optional(&mut *connection);
        match is_set.await? {
            Some(true) => {}
            Some(false) => {
                return Err(format!(
                    "Postgres may not use the index of the filter {name} while {definition} has few distinct values: \
                     alter table {} alter column {definition} set (n_distinct = 1000)",
                    listing.from
                )
                .into());
            }
            None => {
                return Err(format!(
                    "the filter {name} is indexed, but {definition} is not a column: add a generated column for it"
                )
                .into());
            }
        }
    }
    Ok(())
}

/// Checks that Postgres seeks by the index. The operators that it finds on the search_path may not be those of the
/// index.
pub(super) async fn check_seek(
    connection: &mut PgConnection,
    selection: &Selection,
    expressions: &[Expression],
) -> Result<(), Fault> {
    let order = selection.order;
    let first = order.keys.first().and_then(|key| named(expressions, key.expression));
    let Some(Expression { definition, .. }) = first else { return Ok(()) };
    let anchor = Position::After(vec![Some(Vec::new()); order.keys.len()]);
    for direction in [Direction::Forward, Direction::Backward] {
        let statement = selection.page(direction, &anchor, Extent { limit: 1, skip: 0 });
        // A statement that sqlx cannot prepare here would also fail in the service.
        (&mut *connection).prepare(AssertSqlSafe(statement.shape.sql.clone()).into_sql_str()).await?;
        let nulls = vec!["null"; statement.values.len()].join(", ");
        let explain = format!(
            "prepare keyset_check as {}; explain (format json) execute keyset_check({nulls}); deallocate keyset_check",
            statement.shape.sql
        );
        let explained = raw_sql(AssertSqlSafe(explain)).fetch_one(&mut *connection).await?.try_get(0)?;
        let nodes = plan::nodes(&explained);
        let scans: Vec<_> = nodes.iter().filter(|node| node.is_scan()).collect();
        // With several branches, another index may serve those that fix the first key. With partitions, a plan for
        // nulls reads none of them.
        if !scans.is_empty() && !scans.iter().any(|scan| scan.text("Index Cond").contains(definition)) {
            return Err(format!(
                "Postgres cannot seek by the index of order \"{}\": are the operators of the type of {definition} on the \
                 search_path?",
                order.name
            )
            .into());
        }
    }
    Ok(())
}
