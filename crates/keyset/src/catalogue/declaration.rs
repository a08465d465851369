//! Checks that need only the declaration, the descriptors, the kind of the table and the types of the filters.

use pagination::find_order;
use prost_reflect::{DescriptorPool, MessageDescriptor};
use sqlx::{AssertSqlSafe, raw_sql};

use super::{
    Check, Fault, is_refusal,
    types::{self, Expression, named},
};
use crate::{
    counter::Counter,
    listing::{Filter, Listing, Order, Test},
};

/// Checks everything that the declaration alone shows.
pub(super) fn check(check: &mut Check<'_>) {
    let listing = check.listing;
    if listing.name.is_empty() || listing.from.is_empty() || listing.columns.is_empty() {
        check.report("name, from and columns must not be empty");
    }
    let mut columns = listing.columns.split(',').map(str::trim);
    if columns.any(|column| column == "*" || column.ends_with(".*")) {
        check.report("columns must name each column; * would change with the table");
    }
    if !(1..=100_000).contains(&listing.examined_rows) {
        check.report("examined_rows must be 1 to 100000");
    }
    if let Err(problem) = listing.page.check() {
        check.report(format!("page: {problem}"));
    }
    if listing.orders.is_empty() {
        check.report("it must have at least one order");
    }
    check_names(check);
    listing.filters.iter().for_each(|filter| check_filter(check, filter));
    listing.orders.iter().enumerate().for_each(|(place, order)| check_order(check, place, order));
    listing.counters.iter().for_each(|counter| check_counter(check, counter));
}

/// Checks that no two things have one name.
fn check_names(check: &mut Check<'_>) {
    let listing = check.listing;
    let filters: Vec<_> = listing.filters.iter().map(|filter| filter.name).collect();
    let counters: Vec<_> = listing.counters.iter().map(|counter| counter.table).collect();
    for name in repeated(&filters) {
        check.report(format!("two filters are called {name}"));
    }
    for column in repeated(listing.scope) {
        check.report(format!("the scope has {column} twice"));
    }
    for name in repeated(listing.parameters) {
        check.report(format!("two parameters are called {name}"));
    }
    for table in repeated(&counters) {
        check.report(format!("two counters have the table {table}"));
    }
    for name in listing.parameters {
        if filters.contains(name) {
            check.report(format!("a filter and a parameter are called {name}"));
        }
        if matches!(*name, "" | "where") {
            check.report(format!("a parameter must not be called \"{name}\""));
        } else if !listing.from.contains(&format!("{{{name}}}")) {
            check.report(format!("from does not contain the parameter {{{name}}}"));
        }
    }
}

fn repeated<'n>(names: &[&'n str]) -> Vec<&'n str> {
    let is_repeated = |(place, name): &(usize, &&str)| names.iter().take(*place).any(|other| other == *name);
    names.iter().enumerate().filter(is_repeated).map(|(_, name)| *name).collect()
}

fn check_filter(check: &mut Check<'_>, filter: &Filter) {
    if matches!(filter.test, Test::Search(_)) && !check.listing.is_table() {
        let name = filter.name;
        check.report(format!("the filter {name}: from is a query, and a search filter finds the rows of a table"));
    }
    if filter.name.is_empty() {
        check.report("a filter must have a name");
    }
    if let Some(problem) = types::without_marker(filter) {
        check.report(problem);
    }
}

fn check_order(check: &mut Check<'_>, place: usize, Order { name, keys, indexed }: &Order) {
    let listing = check.listing;
    if name.trim().is_empty() {
        check.report("an order must have a name");
    } else {
        // An order is found by its name as a request would be.
        match find_order(name, listing.orders.iter().map(|order| order.name)) {
            Ok(found) if found == place => {}
            Ok(_) => check.report(format!("two orders are called \"{name}\"")),
            Err(_) => check.report(format!(
                "no request can choose the order \"{name}\": write its name with one space between words and after \
                 commas"
            )),
        }
    }
    if !(1..=4).contains(&keys.len()) {
        check.report(format!("the order \"{name}\" must have one to four keys"));
    }
    for filter in indexed.iter().copied().flatten() {
        check_equality(check, filter, &format!("the order \"{name}\""), "indexed");
    }
}

fn check_counter(check: &mut Check<'_>, Counter { table, filters }: &Counter) {
    if !check.listing.is_table() {
        check.report(format!("the counter {table}: from is a query, but a counter counts the rows of a table"));
    }
    filters.iter().for_each(|filter| check_equality(check, filter, &format!("the counter {table}"), "counted"));
}

/// Checks that the filter exists and that it fixes the value of a column.
fn check_equality(check: &mut Check<'_>, filter: &str, what: &str, done: &str) {
    match check.listing.filter(filter).map(|filter| &filter.test) {
        Some(Test::Equal(_) | Test::AnyOf(_)) => {}
        Some(Test::Prefix(_) | Test::AtLeast(_) | Test::LessThan(_) | Test::Condition(_) | Test::Search(_)) => {
            check.report(format!("{what}: {filter} cannot be {done}, because it does not test equality"));
        }
        None => check.report(format!("{what}: there is no filter {filter}")),
    }
}

/// The message of the list's rows, if it names one.
pub(super) fn message(listing: &Listing, descriptors: &[u8]) -> Result<Option<MessageDescriptor>, String> {
    let name = listing.message;
    if name.is_empty() {
        return Ok(None);
    }
    let pool =
        DescriptorPool::decode(descriptors).map_err(|error| format!("the descriptors cannot be read: {error}"))?;
    let message = pool.get_message_by_name(name);
    Ok(Some(message.ok_or_else(|| format!("the descriptors have no message {name}"))?))
}

/// Checks that `from` can be read, and that the catalogue entries of a table hold for all its rows. Returns whether the
/// check can go on.
pub(super) async fn check_from(check: &mut Check<'_>) -> sqlx::Result<bool> {
    let listing = check.listing;
    let has_parameters = repeated(listing.parameters).is_empty()
        && listing.parameters.iter().all(|name| listing.from.contains(&format!("{{{name}}}")));
    if listing.from.is_empty() || listing.columns.is_empty() || !has_parameters {
        return Ok(false);
    }
    check.begin().await?;
    let kind = if listing.is_table() { kind(check).await } else { prepare(check).await.map(|()| None) };
    let Some(kind) = check.end("from", kind).await? else { return Ok(false) };
    check.is_partitioned = kind.as_deref() == Some("p");
    Ok(true)
}

/// The kind of the table, as the catalogue writes it.
async fn kind(check: &mut Check<'_>) -> Result<Option<String>, Fault> {
    let from = check.listing.from;
    let name = sqlx::query("select from pg_class where oid = to_regclass($1)").bind(from);
    match name.execute(&mut *check.connection).await {
        Err(error) if is_refusal(&error) => {
            let problem = "from must be the name of a table, without an alias, or a query in parentheses";
            return Err(problem.to_owned().into());
        }
        name => name?,
    };
    let kind = "
        select case
            when relkind = 'v' then 'a view: select from it in a query, as in (select * from it) as rows'
            when relkind not in ('r', 'p') then 'not a table: select from it in a query, as in (select * from it) as rows'
            when relkind = 'r' and relhassubclass then 'a parent of other tables: its constraints need not hold for their rows'
            when relkind = 'p' and not relhassubclass then 'partitioned and has no partitions yet'
            else ''
        end, relkind::text
        from pg_class where oid = to_regclass($1)";
    let found: Option<(String, String)> =
        sqlx::query_as(kind).bind(from).fetch_optional(&mut *check.connection).await?;
    match found {
        Some((problem, kind)) if problem.is_empty() => Ok(Some(kind)),
        Some((problem, _)) => Err(format!("{from} is {problem}").into()),
        None => Err(format!("the table {from} does not exist").into()),
    }
}

/// Makes Postgres parse `from`.
async fn prepare(check: &mut Check<'_>) -> Result<(), Fault> {
    let from = types::from(check.listing, "true");
    let prepare = format!("prepare keyset_from as select from {from}; deallocate keyset_from");
    raw_sql(AssertSqlSafe(prepare)).execute(&mut *check.connection).await?;
    Ok(())
}

/// Checks that the columns of prefix filters are texts that sort by code point.
pub(super) async fn check_prefixes(check: &mut Check<'_>, expressions: &[Expression]) -> sqlx::Result<()> {
    const TEXTS: &[&str] = &["text", "character varying", "name"];
    for Filter { name, test } in check.listing.filters {
        let Test::Prefix(column) = test else { continue };
        let encoding: String =
            sqlx::query_scalar("select current_setting('server_encoding')").fetch_one(&mut *check.connection).await?;
        if encoding != "UTF8" {
            check.report(format!(
                "the filter {name}: a prefix filter needs a database in UTF8; this one is in {encoding}"
            ));
        }
        let Some(found) = named(expressions, column) else { continue };
        let type_name = found.value_type.name.as_str();
        if !TEXTS.contains(&type_name) {
            check.report(format!(
                "the filter {name}: the column of a prefix filter must be text or varchar, because {type_name} does not \
                 compare by characters; cast {column} to text"
            ));
        } else if !matches!(found.collation.as_deref(), Some("\"C\"" | "\"POSIX\"")) {
            check.report(format!(
                "the filter {name}: the column of a prefix filter must have the collation \"C\"; {column} does not"
            ));
        }
    }
    Ok(())
}
