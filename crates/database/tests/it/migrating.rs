//! Migrations.

use database::{MigrationError, migrate};
use futures_util::future::join_all;
use sqlx::postgres::PgConnectOptions;

use crate::support::{database, options, run};

#[tokio::test]
async fn concurrent_migrations_are_applied_once() {
    let pool = database().await;
    let options = options(&pool);
    for migrated in join_all((0..3).map(|_| migrate(&options))).await {
        migrated.unwrap();
    }
    migrate(&options).await.unwrap();
    let applied: i64 =
        sqlx::query_scalar("select count(*) from _sqlx_migrations where success").fetch_one(&pool).await.unwrap();
    assert!(applied > 0);
}

/// A process that is stopped while it creates an index concurrently leaves an invalid index and an unrecorded migration.
#[tokio::test]
async fn an_unfinished_index_is_created_again() {
    let pool = database().await;
    let options = options(&pool);
    migrate(&options).await.unwrap();
    run(&pool, "update pg_index set indisvalid = false where indexrelid = 'memories_words'::regclass").await;
    run(&pool, "delete from _sqlx_migrations where description = 'memories words index'").await;
    migrate(&options).await.unwrap();
    let sql = "select indisvalid from pg_index where indexrelid = 'memories_words'::regclass";
    assert!(sqlx::query_scalar::<_, bool>(sql).fetch_one(&pool).await.unwrap());
}

#[tokio::test]
async fn a_database_that_cannot_be_reached_is_reported() {
    let nowhere = PgConnectOptions::new_without_pgpass().username("nobody").socket("/nonexistent");
    let refused = migrate(&nowhere).await.unwrap_err();
    assert!(matches!(&refused, MigrationError::Unreachable { address, .. } if address == "/nonexistent"), "{refused}");
}

#[tokio::test]
async fn a_database_that_refuses_the_connection_says_why() {
    let options = options(&database().await).options([("nonsense", "1")]);
    let refused = migrate(&options).await.unwrap_err().to_string();
    let why = "refuses the connection: unrecognized configuration parameter \"nonsense\"; check the database URL";
    assert!(refused.contains(why), "{refused}");
}

#[tokio::test]
async fn a_failed_migration_says_why() {
    let options = options(&database().await).options([("default_transaction_read_only", "on")]);
    let failed = migrate(&options).await.unwrap_err().to_string();
    let why = "cannot migrate the database: cannot execute CREATE TABLE in a read-only transaction";
    assert_eq!(failed, why);
}
