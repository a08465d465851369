//! A statement behind the page, on the same connection. The connection is left as it was, whether the statement fails or
//! not, and wherever its future is dropped.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use futures_util::FutureExt;
use sqlx::{
    AssertSqlSafe, Connection, Executor, Postgres, Row, Transaction,
    postgres::{PgConnection, PgRow},
};

use crate::{Statement, connection::begin};

/// Runs a statement for at most this time. An error does not make the caller's transaction fail, and no setting remains.
pub(crate) async fn rows(
    connection: &mut PgConnection,
    most: Duration,
    statement: Statement,
) -> sqlx::Result<Vec<PgRow>> {
    let timeout = format!("set local statement_timeout = {}", most.as_millis().max(1));
    if connection.is_in_transaction() {
        let mut savepoint = begin(connection).await?;
        savepoint.execute(sqlx::raw_sql(AssertSqlSafe(timeout))).await?;
        rows_and_rollback(savepoint, statement).await
    } else if is_idle(connection).await? {
        rows_in_transaction(connection, &timeout, statement).await
    } else {
        rows_in_unknown_transaction(connection, timeout, statement).await
    }
}

async fn rows_and_rollback(
    mut transaction: Transaction<'_, Postgres>,
    statement: Statement,
) -> sqlx::Result<Vec<PgRow>> {
    let rows = statement.query()?.fetch_all(&mut *transaction).await;
    transaction.rollback().await?;
    rows
}

/// A transaction that sqlx begins. If the future of sqlx is dropped before it has finished, the transaction stays open. So
/// dropping this value ends it.
struct Beginning<'c> {
    connection: &'c mut PgConnection,
    has_begun: &'c AtomicBool,
}

impl Drop for Beginning<'_> {
    fn drop(&mut self) {
        if !self.has_begun.load(Ordering::Relaxed) {
            // The first poll queues the statement, which the next use of the connection sends.
            let _ = self.connection.begin_with("rollback").now_or_never();
        }
    }
}

async fn rows_in_transaction(
    connection: &mut PgConnection,
    timeout: &str,
    statement: Statement,
) -> sqlx::Result<Vec<PgRow>> {
    let has_begun = AtomicBool::new(false);
    let beginning = Beginning { connection, has_begun: &has_begun };
    let begin = AssertSqlSafe(format!("begin; {timeout}"));
    let transaction = beginning.connection.begin_with(begin).await?;
    has_begun.store(true, Ordering::Relaxed);
    rows_and_rollback(transaction, statement).await
}

/// Whether the connection is in no transaction: then `now()`, the start of the transaction, is the start of this statement.
async fn is_idle(connection: &mut PgConnection) -> sqlx::Result<bool> {
    let is_idle = "select now() = statement_timestamp()";
    sqlx::raw_sql(is_idle).fetch_one(connection).await?.try_get(0)
}

/// Runs in a transaction that sqlx does not know of. If the future is dropped, the savepoint remains.
async fn rows_in_unknown_transaction(
    connection: &mut PgConnection,
    timeout: String,
    statement: Statement,
) -> sqlx::Result<Vec<PgRow>> {
    let begin = format!("savepoint keyset_total; {timeout}");
    connection.execute(sqlx::raw_sql(AssertSqlSafe(begin))).await?;
    let rows = statement.query()?.fetch_all(&mut *connection).await;
    let end = "rollback to savepoint keyset_total; release savepoint keyset_total";
    connection.execute(sqlx::raw_sql(end)).await?;
    rows
}
