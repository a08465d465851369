//! Tables that change under prepared statements.

use database::Database;
use futures_util::FutureExt;
use keyset::Failure;
use sqlx::Row;

use crate::support::{pid, run, statement, tested};

const READ: &str = "select * from things order by id";
const WRITE: &str = "insert into things (id) values ($1) returning *";

/// Reads the things in a transaction.
async fn read_in_transaction(database: &Database) -> sqlx::Result<usize> {
    let rows = database.transaction("begin", |connection| statement(READ).fetch_all(connection).boxed());
    Ok(rows.await?.len())
}

#[tokio::test]
async fn a_changed_table_is_read_and_written() {
    let (database, pool) = tested(1).await;
    let write = async |id: i64| database.write_rows(statement(WRITE).bind(id)).await.unwrap()[0].len();
    let read = async || database.read_rows(statement(READ)).await.unwrap().len();
    let used = pid(&database).await;
    assert_eq!((write(1).await, read().await), (1, 1));
    run(&pool, "alter table things add column name text").await;
    assert_eq!((write(2).await, read().await), (2, 2));
    run(&pool, "alter table things drop column name").await;
    assert_eq!((read().await, write(3).await), (2, 1));
    assert_eq!(pid(&database).await, used);
}

#[tokio::test]
async fn a_changed_table_fails_a_transaction_once() {
    let (database, pool) = tested(1).await;
    let used = pid(&database).await;
    assert_eq!(read_in_transaction(&database).await.unwrap(), 0);
    run(&pool, "alter table things add column name text").await;
    let failed = read_in_transaction(&database).await.unwrap_err();
    assert_eq!(Failure::of(&failed), Failure::Changed, "{failed}");
    assert_eq!(read_in_transaction(&database).await.unwrap(), 0);
    assert_eq!(pid(&database).await, used);
}
