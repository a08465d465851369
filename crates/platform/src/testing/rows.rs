use std::{ops::Range, time::Duration};

use keyset::conformance::RARE;
use sqlx::{AssertSqlSafe, PgPool};
use uuid::Uuid;

use super::pool;
use crate::Platform;

/// The id of the row with this number.
pub fn id(number: u128) -> String {
    Uuid::from_u128(number).to_string()
}

/// Inserts rows with these numbers. The statement gets the first and the last number as `$1` and `$2`; the numbers of
/// rare rows are multiples of `$3`.
pub async fn insert(pool: &PgPool, sql: &'static str, numbers: Range<u32>) {
    let [first, end, rare] = [numbers.start, numbers.end, RARE].map(i64::from);
    sqlx::query(sql).bind(first).bind(end - 1).bind(rare).execute(pool).await.unwrap();
}

/// All rows of these tables as text, each with the transaction that wrote it, sorted within each table.
pub async fn rows(platform: &Platform, tables: &[&str]) -> Vec<String> {
    let pool = pool(platform);
    let mut rows = Vec::new();
    for table in tables {
        let sql = format!("select xmin || ' ' || {table}::text from {table} order by {table}::text");
        rows.extend(sqlx::query_scalar::<_, String>(AssertSqlSafe(sql)).fetch_all(&pool).await.unwrap());
    }
    rows
}

/// Waits until this many connections wait for a lock.
pub async fn wait_for_waiting(pool: &PgPool, count: i64) {
    let sql = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    while sqlx::query_scalar::<_, i64>(sql).fetch_one(pool).await.unwrap() != count {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
