//! The sweeps that delete sessions and keys which have ended long ago.

use std::time::Duration;

use futures_util::future::BoxFuture;
use platform::{Sweep, Swept};
use sqlx::PgConnection;

/// How many rows a page deletes at most.
const PAGE: i64 = 1_000;

/// Deletes rows that ended longer ago than the time to keep them.
#[derive(Debug)]
pub(crate) struct Ended {
    name: &'static str,
    sql: &'static str,
    retention: Duration,
}

impl Ended {
    pub(crate) fn sessions(retention: Duration) -> Self {
        let sql = "
            delete from sessions where (workspace_id, id) in (
                select workspace_id, id from sessions
                where least(expire_time, revoke_time) < (now() - $1 * interval '1 second')
                order by least(expire_time, revoke_time) limit $2
            )";
        Self { name: "ended_sessions", sql, retention }
    }

    /// A key remains while it has sessions, or while keys remain that were made with it: it says who made those.
    pub(crate) fn api_keys(retention: Duration) -> Self {
        let sql = "
            delete from api_keys where (workspace_id, id) in (
                select workspace_id, id from api_keys as key
                where least(expire_time, revoke_time) < (now() - $1 * interval '1 second')
                    and not exists (select from sessions where workspace_id = key.workspace_id and api_key_id = key.id)
                    and not exists (select from api_keys as made where made.ancestor_ids @> array[key.id])
                order by least(expire_time, revoke_time) limit $2
            )";
        Self { name: "ended_api_keys", sql, retention }
    }
}

impl Sweep for Ended {
    fn name(&self) -> &'static str {
        self.name
    }

    fn page<'a>(&'a mut self, connection: &'a mut PgConnection) -> BoxFuture<'a, sqlx::Result<Swept>> {
        let page = sqlx::query(self.sql).bind(self.retention.as_secs_f64()).bind(PAGE);
        Box::pin(async move {
            let rows = page.execute(connection).await?.rows_affected();
            Ok(Swept { rows, is_last: rows < PAGE.unsigned_abs() })
        })
    }
}
