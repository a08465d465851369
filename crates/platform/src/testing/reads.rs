use std::{collections::BTreeMap, time::Duration};

use database::{Limits, connect};
use sqlx::{
    PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use super::{new_database, platform_on};
use crate::Platform;

/// The reads of each table: the number of sequential scans, of rows found by an index, and of index pages read, which
/// also shows skipped entries.
async fn reads(pool: &PgPool) -> BTreeMap<String, [i64; 3]> {
    let sql = "select relname::text, seq_scan, idx_tup_fetch, idx_blks_read + idx_blks_hit
        from pg_stat_user_tables join pg_statio_user_tables using (relid, relname) where idx_scan is not null";
    let rows: Vec<(String, i64, i64, i64)> = sqlx::query_as(sql).fetch_all(pool).await.unwrap();
    rows.into_iter().map(|(table, scans, rows, pages)| (table, [scans, rows, pages])).collect()
}

/// A database with many rows, for counting reads.
#[derive(Debug)]
pub struct Many {
    /// The connection options.
    pub options: PgConnectOptions,
    pool: PgPool,
}

impl Many {
    /// A new database, filled by these statements.
    pub async fn new(seed: &[&'static str]) -> Self {
        let options = new_database().await;
        let pool = PgPoolOptions::new().max_connections(1).connect_lazy_with(options.clone());
        for &sql in seed {
            sqlx::raw_sql(sql).execute(&pool).await.unwrap();
        }
        // Postgres counts all reads of a connection at the latest when the connection ends.
        pool.close().await;
        let pool = PgPoolOptions::new().max_connections(1).connect_lazy_with(options.clone());
        let many = Self { options, pool };
        many.wait().await;
        many
    }

    /// Waits until all other connections have ended.
    async fn wait(&self) {
        let sql = "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()
            and backend_type = 'client backend'";
        for _ in 0..3_000 {
            if sqlx::query_scalar::<_, i64>(sql).fetch_one(&self.pool).await.unwrap() == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("another connection is still open");
    }

    /// Asserts that calls read at most `most` rows in total, each by an index.
    pub async fn assert_reads(&self, what: &str, most: i64, calls: impl AsyncFn(&Platform)) {
        let before = reads(&self.pool).await;
        let platform = platform_on(connect(self.options.clone(), Limits::default()));
        calls(&platform).await;
        platform.database.close();
        self.wait().await;
        let after = reads(&self.pool).await;
        let read = before.iter().map(|(table, before)| (table, std::array::from_fn(|i| after[table][i] - before[i])));
        let read: BTreeMap<_, [i64; 3]> = read.collect();
        let [scans, rows, pages] = std::array::from_fn(|place| read.values().map(|read| read[place]).sum::<i64>());
        assert_eq!(scans, 0, "{what} scans a table: {read:?}");
        assert!((1..=most).contains(&rows), "{what} reads {rows} rows: {read:?}");
        assert!(pages <= most * 10 + 20, "{what} reads {pages} pages: {read:?}");
    }
}
