//! Checks what the table's constraints guarantee about its rows: the keys of an order are unique, never null if
//! declared so, and short enough for a page token. Most checks explain a query for rows that violate the declaration.
//! If the planner can prove from the constraints that no such row exists, its plan does not read the table.

mod lengths;
mod unique;

use sqlx::{AssertSqlSafe, PgConnection};
pub(super) use unique::unique;

use super::{
    Check, Fault,
    types::{Expression, named},
};
use crate::{
    listing::{Key, Listing, Nulls, Order},
    plan,
};

pub(super) async fn check(check: &mut Check<'_>, expressions: &[Expression]) -> sqlx::Result<()> {
    let listing = check.listing;
    for order in listing.orders {
        for key in order.keys {
            if let Some(expression) = named(expressions, key.expression) {
                check_null(check, order, key, expression).await?;
            }
        }
    }
    lengths::check(check, expressions).await?;
    for order in listing.orders {
        if !order.keys.is_empty() && order.keys.iter().all(|key| named(expressions, key.expression).is_some()) {
            unique::check(check, order, expressions).await?;
        }
    }
    Ok(())
}

async fn check_null(check: &mut Check<'_>, order: &Order, key: &Key, expression: &Expression) -> sqlx::Result<()> {
    let (name, text, table) = (order.name, key.expression, check.listing.from);
    if key.nulls != Nulls::Never {
        if expression.value_type.is_row {
            check.report(format!("the order \"{name}\": {text} has a row type and must be declared never null"));
        }
        return Ok(());
    }
    check.begin().await?;
    let is_never_null = is_never_null(check.connection, check.listing, expression).await;
    if check.end(text, is_never_null).await? != Some(false) {
        return Ok(());
    }
    let what = format!(
        "the order \"{name}\" declares {text} never null, but the table does not; declare nulls_first or nulls_last if it \
         may be null"
    );
    if expression.is_column {
        check.advise(what, &[format!("alter table {table} alter column {} set not null", expression.definition)]);
    } else {
        advise_check(check, &what, "not_null", &format!("({text}) is not null"));
    }
    Ok(())
}

/// Advises a constraint, which is added without a long lock. Its name says what it is for, and is the same each time.
fn advise_check(check: &mut Check<'_>, what: &str, purpose: &str, condition: &str) {
    let table = check.listing.from;
    let condition = match check.predicate {
        // Rows outside the list may violate it.
        Some(of_every_row) if purpose == "not_null" => format!("(({of_every_row}) is not true) or ({condition})"),
        Some(_) | None => condition.to_owned(),
    };
    let name = format!("keyset_{purpose}_{:016x}", hash(&format!("{table} {condition}")));
    check.advise(
        what,
        &[
            format!("alter table {table} add constraint {name} check ({condition}) not valid"),
            format!("alter table {table} validate constraint {name}"),
        ],
    );
}

/// FNV-1a, which is the same in every version.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// For a row type, IS NULL tests the fields, so the planner cannot prove it. The column's NOT NULL is checked instead.
async fn is_never_null(
    connection: &mut PgConnection,
    listing: &Listing,
    expression: &Expression,
) -> Result<bool, Fault> {
    let column = "select true from pg_attribute a
        where attrelid = $1::regclass and quote_ident(attname) = $2 and attnotnull and not exists (
            select from pg_constraint where conrelid = attrelid and contype = 'n' and conkey[1] = attnum and not convalidated
        )";
    if expression.value_type.is_row {
        let column = sqlx::query(column).bind(listing.from).bind(&expression.definition);
        return Ok(column.fetch_optional(connection).await?.is_some());
    }
    is_impossible(connection, listing, &format!("({}) is null", expression.text)).await
}

/// Whether the table's constraints and the condition of every row rule out each row for which this condition is true.
pub(super) async fn is_impossible(
    connection: &mut PgConnection,
    listing: &Listing,
    condition: &str,
) -> Result<bool, Fault> {
    let of_every_row = listing.condition.unwrap_or("true");
    let explain = format!("explain (format json) select from {} where ({of_every_row}) and {condition}", listing.from);
    let explained = sqlx::query_scalar(AssertSqlSafe(explain)).persistent(false).fetch_one(connection).await?;
    Ok(!plan::nodes(&explained).iter().any(plan::Node::is_scan))
}

/// Whether every row of the list is in a partial index with this predicate.
pub(super) async fn has_every_row(
    connection: &mut PgConnection,
    listing: &Listing,
    predicate: Option<&str>,
) -> Result<bool, Fault> {
    match predicate {
        Some(predicate) => is_impossible(connection, listing, &format!("({predicate}) is not true")).await,
        None => Ok(true),
    }
}
