//! Checks that need only the declaration, the descriptors and the kind of the table.

use prost_reflect::{DescriptorPool, MessageDescriptor};
use sqlx::PgConnection;

use super::{
    Fault,
    types::{Expression, named},
};
use crate::{
    counter::Counter,
    listing::{Filter, Listing, Order, Test},
};

pub(super) fn check(listing: &Listing) -> Result<(), Fault> {
    if listing.name.is_empty() || listing.from.is_empty() || listing.columns.is_empty() {
        return Err("name, from and columns must not be empty".to_owned().into());
    }
    if !listing.is_table() && !listing.from.starts_with('(') {
        return Err("from must be the name of a table, without an alias, or a query in parentheses".to_owned().into());
    }
    let mut columns = listing.columns.split(',').map(str::trim);
    if columns.any(|column| column == "*" || column.ends_with(".*")) {
        return Err("columns must name each column; * would change with the table".to_owned().into());
    }
    if !(1..=100_000).contains(&listing.examined_rows) {
        return Err("examined_rows must be 1 to 100000".to_owned().into());
    }
    if let Err(problem) = listing.page.check() {
        return Err(format!("page: {problem}").into());
    }
    if listing.orders.is_empty() {
        return Err("it must have at least one order".to_owned().into());
    }
    for (place, Filter { name, .. }) in listing.filters.iter().enumerate() {
        if listing.filters.iter().take(place).any(|other| other.name == *name) {
            return Err(format!("two filters are called {name}").into());
        }
    }
    listing.orders.iter().try_for_each(|order| check_order(listing, order))?;
    listing.counters.iter().try_for_each(|counter| check_counter(listing, counter))
}

/// The message of the list's rows, if it names one.
pub(super) fn message(listing: &Listing, descriptors: &[u8]) -> Result<Option<MessageDescriptor>, Fault> {
    let name = listing.message;
    if name.is_empty() {
        return Ok(None);
    }
    let pool =
        DescriptorPool::decode(descriptors).map_err(|error| format!("the descriptors cannot be read: {error}"))?;
    let message = pool.get_message_by_name(name);
    Ok(Some(message.ok_or_else(|| format!("the descriptors have no message {name}"))?))
}

fn check_order(listing: &Listing, Order { name, keys, indexed }: &Order) -> Result<(), Fault> {
    if !(1..=4).contains(&keys.len()) {
        return Err(format!("order \"{name}\" must have one to four keys").into());
    }
    let check = |filter: &&str| check_equality(listing, filter, &format!("order \"{name}\""), "indexed");
    indexed.iter().copied().flatten().try_for_each(check)
}

fn check_counter(listing: &Listing, Counter { table, filters }: &Counter) -> Result<(), Fault> {
    if !listing.is_table() {
        return Err(format!("the counter {table}: from is a query, but a counter counts the rows of a table").into());
    }
    filters.iter().try_for_each(|filter| check_equality(listing, filter, &format!("the counter {table}"), "counted"))
}

/// Checks that the filter exists and that it fixes the value of a column.
fn check_equality(listing: &Listing, filter: &str, what: &str, done: &str) -> Result<(), Fault> {
    match listing.filter(filter).map(|filter| &filter.test) {
        Some(Test::Equal(_) | Test::AnyOf(_)) => Ok(()),
        Some(Test::Prefix(_) | Test::AtLeast(_) | Test::LessThan(_) | Test::Condition(_) | Test::Search(_)) => {
            Err(format!("{what}: {filter} cannot be {done}, because it does not test equality").into())
        }
        None => Err(format!("{what}: there is no filter {filter}").into()),
    }
}

/// Checks that `from` is a table whose catalogue entries hold for all its rows.
pub(super) async fn check_table(connection: &mut PgConnection, listing: &Listing) -> Result<(), Fault> {
    let from = listing.from;
    let kind = "
        select case
            when relkind = 'v' then 'a view: select from it in a query, as in (select * from it) as rows'
            when relkind not in ('r', 'p') then 'not a table: select from it in a query, as in (select * from it) as rows'
            when relkind = 'r' and relhassubclass then 'a parent of other tables: its constraints need not hold for their rows'
            when relkind = 'p' and not relhassubclass then 'partitioned and has no partitions yet'
            else ''
        end
        from pg_class where oid = to_regclass($1)";
    let problem: Option<String> = sqlx::query_scalar(kind).bind(from).fetch_optional(connection).await?;
    match problem.as_deref() {
        Some("") => Ok(()),
        Some(problem) => Err(format!("{from} is {problem}").into()),
        None => Err(format!("the table {from} does not exist").into()),
    }
}

/// Checks that the columns of prefix filters sort by code point.
pub(super) fn check_prefixes(listing: &Listing, expressions: &[Expression]) -> Result<(), Fault> {
    for Filter { name, test } in listing.filters {
        let Test::Prefix(column) = test else { continue };
        let found = named(expressions, column);
        let collation = found.map(|expression| expression.collation.as_deref());
        if !matches!(collation, None | Some(Some("\"C\"" | "\"POSIX\""))) {
            return Err(format!(
                "filter {name}: the column of a prefix filter must have the collation \"C\"; {column} does not"
            )
            .into());
        }
    }
    Ok(())
}
