//! Checks that the table of a counter can be read, and written as the documentation of [`Counter`] describes.

use sqlx::{AssertSqlSafe, Executor, FromRow, PgConnection, SqlSafeStr};

use super::{
    Check, Fault, constraints,
    types::{Expression, named},
};
use crate::{counter::Counter, listing::Listing, selection::Selection, shape::Purpose, value::Value};

/// A column of a table.
#[derive(Debug, Clone, PartialEq, FromRow)]
struct Column {
    name: String,
    /// Its type, with its collation if that is not the default of the type.
    data_type: String,
    is_not_null: bool,
}

impl Column {
    const SELECT: &str = "
        select quote_ident(a.attname) as name, a.attnotnull as is_not_null,
            format_type(a.atttypid, a.atttypmod)
                || case when a.attcollation = t.typcollation then '' else ' collate ' || a.attcollation::regcollation end
                as data_type
        from pg_attribute a join pg_type t on t.oid = a.atttypid
        where a.attrelid = to_regclass($1) and a.attnum > 0 and not a.attisdropped";

    async fn all(connection: &mut PgConnection, table: &str) -> sqlx::Result<Vec<Self>> {
        sqlx::query_as(Self::SELECT).bind(table).fetch_all(connection).await
    }

    fn new(name: &str, data_type: &str) -> Self {
        Self { name: name.to_owned(), data_type: data_type.to_owned(), is_not_null: true }
    }
}

/// The columns that a counter's table must have for its list.
struct Wanted {
    table: &'static str,
    scope: Vec<Column>,
    filters: Vec<Column>,
}

pub(super) async fn check(check: &mut Check<'_>, expressions: &[Expression]) -> sqlx::Result<()> {
    let listing = check.listing;
    for (place, counter) in listing.counters.iter().enumerate() {
        let column = |name: &&str| listing.filter(name).and_then(|filter| filter.equal_column());
        if counter.filters.iter().any(|name| column(name).is_none()) {
            continue;
        }
        let columns = Column::all(check.connection, listing.from).await?;
        let wanted = match Wanted::new(listing, counter, expressions, &columns) {
            Ok(wanted) => wanted,
            Err(problem) => {
                check.report(problem);
                continue;
            }
        };
        let found = Column::all(check.connection, counter.table).await?;
        let unique = constraints::unique(check, counter.table).await?;
        let unique: Vec<_> = unique.into_iter().filter(|index| index.is_whole()).map(|index| index.columns).collect();
        let changes = wanted.changes(&found, &unique);
        if changes.is_empty() {
            check.begin().await?;
            let prepared = prepare(check.connection, listing, place, counter).await;
            check.end(&format!("the counter {}", counter.table), prepared).await?;
        }
        for (what, statement) in changes {
            check.advise(what, &[statement]);
        }
    }
    Ok(())
}

async fn prepare(
    connection: &mut PgConnection,
    listing: &'static Listing,
    place: usize,
    counter: &Counter,
) -> Result<(), Fault> {
    let is_counted = |name| counter.filters.contains(&name).then(|| Value::key(None));
    let filters = listing.filters.iter().map(|filter| is_counted(filter.name)).collect();
    let statement = Selection { filters, ..Selection::of_nulls(listing) }.count(Purpose::Counter(place));
    connection.prepare(AssertSqlSafe(statement.shape.sql.clone()).into_sql_str()).await?;
    Ok(())
}

impl Wanted {
    fn new(
        listing: &Listing,
        Counter { table, filters }: &Counter,
        expressions: &[Expression],
        columns: &[Column],
    ) -> Result<Self, String> {
        let column = |text: &str| {
            let definition = named(expressions, text).map(|expression| &expression.definition);
            let column = columns.iter().find(|column| Some(&column.name) == definition);
            let column = column.map(|Column { name, data_type, .. }| Column::new(name, data_type));
            column.ok_or_else(|| format!("the counter {table}: {text} is not a column: add a generated column for it"))
        };
        let scope = listing.scope.iter().copied().map(column).collect::<Result<_, _>>()?;
        let mut wanted = Self { table, scope, filters: Vec::new() };
        for text in filters.iter().filter_map(|name| listing.filter(name)?.equal_column()) {
            let column = column(text)?;
            // Two filters may test one column.
            if !wanted.filters.contains(&column) {
                wanted.filters.push(column);
            }
        }
        Ok(wanted)
    }

    /// All columns, in the order of a new table.
    fn columns(&self) -> impl Iterator<Item = Column> {
        let own = [Column::new("slot", "integer"), Column::new("row_count", "bigint")];
        self.scope.iter().chain(&self.filters).cloned().chain(own)
    }

    fn key(&self) -> String {
        let names = self.columns().map(|column| column.name).filter(|name| name != "row_count");
        names.collect::<Vec<_>>().join(", ")
    }

    /// What is missing, and the statement that adds it.
    fn changes(&self, found: &[Column], unique: &[Vec<String>]) -> Vec<(String, String)> {
        let table = self.table;
        let definition = |Column { name, data_type, .. }: &Column| format!("{name} {data_type} not null");
        if found.is_empty() {
            let columns: Vec<_> = self.columns().map(|column| definition(&column)).collect();
            let create = format!("create table {table} ({}, primary key ({}))", columns.join(", "), self.key());
            return vec![(format!("the counter {table} does not exist"), create)];
        }
        let mut changes = Vec::new();
        for wanted in self.columns() {
            let Column { name, data_type, .. } = &wanted;
            let mut alter = |change| {
                let what = format!("the counter {table} must have {}", definition(&wanted));
                changes.push((what, format!("alter table {table} {change}")));
            };
            let Some(column) = found.iter().find(|column| column.name == *name) else {
                alter(format!("add column {}", definition(&wanted)));
                continue;
            };
            if column.data_type != *data_type {
                alter(format!("alter column {name} type {data_type}"));
            }
            if !column.is_not_null {
                alter(format!("alter column {name} set not null"));
            }
        }
        if !unique.iter().any(|index| self.is_right(index).unwrap_or(false)) {
            let what = format!(
                "the counter {table} has no unique index on its scope, then its filters, then slot, without row_count"
            );
            changes.push((what, format!("create unique index on {table} ({})", self.key())));
        }
        changes
    }

    /// Whether a unique index begins with the scope, continues with the filters and has the slot.
    fn is_right(&self, index: &[String]) -> Option<bool> {
        let (scope, rest) = index.split_at_checked(self.scope.len())?;
        let (filters, rest) = rest.split_at_checked(self.filters.len())?;
        let has = |names: &[String], name: &str| names.iter().any(|column| column == name);
        let begins = self.scope.iter().all(|column| has(scope, &column.name))
            && self.filters.iter().all(|column| has(filters, &column.name));
        Some(begins && has(rest, "slot") && !has(rest, "row_count"))
    }
}
