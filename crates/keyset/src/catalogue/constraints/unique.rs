//! Checks that the keys of an order are unique.

use sqlx::FromRow;

use super::{Check, Expression, Order, has_every_row, named};

/// A unique index whose columns are all NOT NULL and are compared as the table compares them.
#[derive(Debug, FromRow)]
pub(in crate::catalogue) struct Unique {
    /// Its name, as a statement writes it.
    name: String,
    /// Its columns, in order.
    pub(in crate::catalogue) columns: Vec<String>,
    predicate: Option<String>,
    is_usable: bool,
}

/// Checks that some unique index has only columns of the scope and the keys. [`unique`] says which indexes count.
pub(super) async fn check(check: &mut Check<'_>, order: &Order, expressions: &[Expression]) -> sqlx::Result<()> {
    let listing = check.listing;
    let texts: Vec<_> = listing.scope.iter().copied().chain(order.keys.iter().map(|key| key.expression)).collect();
    let mut fixed = Vec::new();
    for found in texts.iter().filter_map(|text| named(expressions, text)) {
        if found.is_column || is_deterministic(check, found).await? {
            fixed.push(found);
        }
    }
    let is_fixed = |column: &String| fixed.iter().any(|found| found.definition == *column);
    let mut invalid = None;
    for index in unique(check, listing.from).await? {
        if !index.columns.iter().all(is_fixed) {
            continue;
        }
        check.begin().await?;
        let has_every_row = has_every_row(check.connection, listing, index.predicate.as_deref()).await;
        match (check.end(&index.name, has_every_row).await?, index.is_usable) {
            (Some(true), true) => return Ok(()),
            (Some(true), false) => invalid = Some(index.name),
            (Some(false) | None, _) => {}
        }
    }
    let name = order.name;
    match invalid {
        Some(index) => check.advise(
            format!("the index {index} is INVALID, so the order \"{name}\" may not be unique"),
            &[format!("reindex index concurrently {index}")],
        ),
        None => check.report(format!(
            "the order \"{name}\" is not unique: no unique index has only NOT NULL columns from ({}); end the order with \
             the primary key",
            texts.join(", ")
        )),
    }
    Ok(())
}

/// Whether texts that the key holds equal are the same. If not, they may differ in a unique index of another collation.
async fn is_deterministic(check: &mut Check<'_>, Expression { collation, .. }: &Expression) -> sqlx::Result<bool> {
    let all = "select coalesce(bool_and(collisdeterministic), true) from pg_collation where oid = $1::regcollation";
    sqlx::query_scalar(all).bind(collation).fetch_one(&mut *check.connection).await
}

/// The unique indexes of a table that prove that rows are unique.
pub(in crate::catalogue) async fn unique(check: &mut Check<'_>, table: &str) -> sqlx::Result<Vec<Unique>> {
    let unique = "
        select i.indexrelid::regclass::text as name,
            array_agg(quote_ident(a.attname) order by place) as columns,
            pg_get_expr(i.indpred, i.indrelid) as predicate,
            i.indisvalid and i.indisready as is_usable
        from pg_index i
        cross join generate_series(1, i.indnkeyatts) as place
        join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[place - 1]
        join pg_opclass o on o.oid = i.indclass[place - 1]
        where i.indrelid = to_regclass($1) and i.indisunique and i.indislive and i.indimmediate and i.indexprs is null
        group by i.indexrelid
        having bool_and(a.attnotnull and i.indcollation[place - 1] = a.attcollation and o.opcdefault and not exists (
            select from pg_constraint c
            where c.conrelid = a.attrelid and c.contype = 'n' and c.conkey[1] = a.attnum and not c.convalidated
        ))";
    sqlx::query_as(unique).bind(table).fetch_all(&mut *check.connection).await
}

impl Unique {
    /// Whether it holds for all rows of the table.
    pub(in crate::catalogue) fn is_whole(&self) -> bool {
        self.is_usable && self.predicate.is_none()
    }
}
