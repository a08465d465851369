//! Checks that Postgres seeks by the index of each order.

use std::sync::Arc;

use pagination::{Direction, Position};
use sqlx::{AssertSqlSafe, Executor, PgConnection, Row, SqlSafeStr, raw_sql};

use super::{
    Check, Fault,
    types::{Expression, named},
};
use crate::{
    plan,
    selection::{Extent, Selection, Types},
};

/// Checks that Postgres seeks by the index of each order that has one.
pub(super) async fn check(
    check: &mut Check<'_>,
    types: &Arc<Types>,
    expressions: &[Expression],
    served: &[&str],
) -> sqlx::Result<()> {
    for (place, order) in check.listing.orders.iter().enumerate() {
        if order.keys.is_empty() || !served.contains(&order.name) {
            continue;
        }
        let selection = Selection { place, order, types: types.clone(), ..Selection::of_nulls(check.listing) };
        check.begin().await?;
        let seek = check_seek(check.connection, &selection, expressions).await;
        check.end(&format!("the order \"{}\"", order.name), seek).await?;
    }
    Ok(())
}

/// Checks that Postgres seeks by the index. The operators that it finds on the search_path may not be those of the
/// index.
async fn check_seek(
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
        if !scans.is_empty() && !scans.iter().any(|scan| has_words(scan.text("Index Cond"), definition)) {
            return Err(no_seek(connection, selection, definition).await?.into());
        }
    }
    Ok(())
}

/// Whether the text contains these words, and not as a part of longer ones.
fn has_words(text: &str, words: &str) -> bool {
    let is_letter = |letter: char| letter.is_alphanumeric() || letter == '_';
    text.match_indices(words).any(|(start, _)| {
        let before = text.get(..start).unwrap_or_default();
        let after = text.get(start + words.len()..).unwrap_or_default();
        !before.ends_with(is_letter) && !after.starts_with(is_letter)
    })
}

/// Why Postgres does not seek by the index.
async fn no_seek(connection: &mut PgConnection, selection: &Selection, definition: &str) -> sqlx::Result<String> {
    let order = selection.order.name;
    let is_secured = sqlx::query_scalar("select row_security_active($1)").bind(selection.listing.from);
    Ok(if is_secured.fetch_one(connection).await? {
        format!(
            "Postgres cannot seek by the index of order \"{order}\": under row-level security, it tests the keys row by row, \
             because the comparison of one of their types is not leakproof, such as that of numeric or of an enum; order by a \
             generated column of another type, such as int8 or text"
        )
    } else {
        format!(
            "Postgres cannot seek by the index of order \"{order}\": are the operators of the type of {definition} on the \
             search_path?"
        )
    })
}
