//! That an index serves an order: one that begins with the scope and the filters, and gives the order in both directions,
//! with the seek in its condition.

use pagination::{Direction, Position};
use sqlx::{AssertSqlSafe, PgConnection, Row, raw_sql};

use super::{Fault, plain};
use crate::{
    listing::{Filter, Listing, Order, Test},
    plan::{self, Node},
    select::Extent,
    statement::{Selection, Statement},
    value::Value,
};

impl<'a> Selection<'a> {
    /// A selection to be planned and not run: with these filters, and with nulls for values.
    pub(crate) fn of_names(
        listing: &'static Listing,
        order: &'static Order,
        key_types: &'a [String],
        filter_types: &'a [String],
        filters: &[&str],
    ) -> Self {
        let nulls = |count| vec![Value::key(None); count];
        let filter = |filter: &Filter| filters.contains(&filter.name).then(|| Value::key(None));
        Self {
            listing,
            order,
            key_types,
            filter_types,
            scope: nulls(listing.scope.len()),
            parameters: nulls(listing.parameters.len()),
            filters: listing.filters.iter().map(filter).collect(),
        }
    }
}

pub(super) async fn check(connection: &mut PgConnection, selection: &Selection<'_>) -> Result<(), Fault> {
    let anchor = Position::After(vec![Some(Vec::new()); selection.order.keys.len()]);
    for direction in [Direction::Forward, Direction::Backward] {
        for position in [&Position::Start, &anchor] {
            let statement = selection.page(direction, position, Extent { limit: 1, skip: 0 });
            let explained = explain(connection, statement).await?;
            let nodes = plan::nodes(&explained);
            let mut faults = plan::faults(&nodes);
            for scan in nodes.iter().filter(|node| node.is_scan()) {
                faults.extend(stray_column(connection, selection, scan).await?);
            }
            if let Some(fault) = faults.first() {
                return Err(missing(selection, fault).into());
            }
        }
    }
    Ok(())
}

/// The generic plan of a statement.
async fn explain(connection: &mut PgConnection, statement: Statement) -> Result<serde_json::Value, Fault> {
    let nulls = vec!["null"; statement.values.len()].join(", ");
    let arguments = if nulls.is_empty() { String::new() } else { format!("({nulls})") };
    let explain = format!(
        "prepare keyset_check as {}; explain (format json) execute keyset_check{arguments}; deallocate keyset_check",
        statement.text
    );
    Ok(raw_sql(AssertSqlSafe(explain)).fetch_one(connection).await?.try_get(0)?)
}

/// A column that stands among the first of the index and is neither the scope's nor a filter's. Postgres would read, and
/// pass over, all entries between those that are wanted, and EXPLAIN would not show it.
async fn stray_column(
    connection: &mut PgConnection,
    selection: &Selection<'_>,
    scan: &Node<'_>,
) -> Result<Option<String>, Fault> {
    let leading = leading_columns(selection);
    let columns = "
        select pg_get_indexdef(c.oid, place, true)
        from pg_class c, generate_series(1, $2) as place
        where c.oid = (select oid from pg_class where relname = $1 and relkind in ('i', 'I')
            order by pg_table_is_visible(oid) desc limit 1)";
    let index = scan.text("Index Name");
    let count = i32::try_from(leading.len()).unwrap_or_default();
    let columns: Vec<String> = sqlx::query_scalar(columns).bind(index).bind(count).fetch_all(connection).await?;
    let stray = columns.into_iter().find(|column| !leading.iter().any(|name| plain(name) == plain(column)));
    Ok(stray.map(|column| format!("{index} has {column} before the columns that the query fixes")))
}

fn leading_columns(selection: &Selection<'_>) -> Vec<&'static str> {
    let named = |name: &&str| selection.listing.filters.iter().find(|filter| filter.name == *name);
    let column = |filter: &Filter| match filter.test {
        Test::Equal(column) | Test::AnyOf(column) => Some(column),
        Test::Prefix(_) | Test::AtLeast(_) | Test::LessThan(_) | Test::Condition(_) => None,
    };
    let filters = selection.index().iter().filter_map(named).filter_map(column);
    selection.listing.scope.iter().copied().chain(filters).collect()
}

fn missing(selection: &Selection<'_>, fault: &str) -> String {
    let (listing, order) = (selection.listing, selection.order);
    let filters = selection.index();
    let under = if filters.is_empty() { String::new() } else { format!(" with {}", filters.join(" and ")) };
    let parenthesized = |expression: &str| {
        let is_column = expression.chars().all(|char| char.is_alphanumeric() || matches!(char, '_' | '"'));
        if is_column { expression.to_owned() } else { format!("({expression})") }
    };
    let leading = leading_columns(selection).into_iter().map(parenthesized);
    let keys = order.keys.iter().map(|key| key.order_by(&parenthesized(key.expression)));
    let columns = leading.chain(keys).collect::<Vec<_>>().join(", ");
    format!(
        "no index serves the order \"{}\"{under} ({fault}): create index on {} ({columns})",
        order.name, listing.from
    )
}
