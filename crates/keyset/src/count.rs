//! The total of a list, when a request asks for it: a statement beside the page's, never a reason for the page to fail.

use std::time::Duration;

use pagination::proto::{TotalCount, TotalCountPrecision};
use sqlx::{PgPool, Row};
use tokio::{sync::AcquireError, task::JoinError, time::error::Elapsed};

use crate::{
    Paging,
    select::HIT,
    statement::{Purpose, Selection, Statement, or_true},
};

/// Where a capped count stops.
pub const COUNT_CAP: u32 = 10_000;

/// How many rows there are, and what kind of number that is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Total {
    pub(crate) count: i64,
    pub(crate) precision: TotalCountPrecision,
}

/// The total of the kind asked for. Where it cannot be had the estimate is given, and where that cannot be had, nothing.
pub(crate) async fn total(paging: &Paging, selection: &Selection<'_>, kind: TotalCount) -> Option<Total> {
    let counted = match kind {
        TotalCount::Unspecified => return None,
        TotalCount::Exact => exact(paging, selection).await,
        TotalCount::Capped => capped(&paging.pool, selection).await,
        TotalCount::Estimated => estimate(&paging.pool, selection).await,
    };
    match counted {
        Ok(total) => Some(total),
        Err(error) => {
            tracing::debug!(%error, list = selection.listing.name, "no count in time; giving the estimate");
            let estimated = estimate(&paging.pool, selection).await;
            estimated.inspect_err(|error| tracing::warn!(%error, list = selection.listing.name, "no estimate")).ok()
        }
    }
}

/// Counts in a task of its own. The task goes on when nobody waits for it any more, since a client that hangs up while the
/// transaction begins would otherwise leave it open, and its connection in the pool with it: sqlx 0.9.0 does not undo a
/// BEGIN that was not waited for.
async fn exact(paging: &Paging, selection: &Selection<'_>) -> sqlx::Result<Total> {
    let (pool, timeout) = (paging.pool.clone(), paging.count_timeout);
    let statement = selection.matching("count(*)");
    let turn = paging.counts.clone().acquire_owned();
    let counted = async move {
        let turn = turn.await.map_err(|_: AcquireError| sqlx::Error::PoolClosed)?;
        let count = tokio::spawn(async move {
            let _turn = turn;
            count_within(&pool, statement, timeout).await
        });
        count.await.map_err(|_: JoinError| sqlx::Error::WorkerCrashed)?
    };
    let count = tokio::time::timeout(timeout, counted).await.map_err(|_: Elapsed| sqlx::Error::PoolTimedOut)??;
    Ok(Total { count, precision: TotalCountPrecision::Exact })
}

/// The time is kept by Postgres, so that a count whose time is up stops working as well as being waited for.
async fn count_within(pool: &PgPool, statement: Statement, timeout: Duration) -> sqlx::Result<i64> {
    let milliseconds = timeout.as_millis().max(1);
    let begin = format!("begin read only; set local statement_timeout = {milliseconds}");
    let mut transaction = pool.begin_with(sqlx::AssertSqlSafe(begin)).await?;
    let count = statement.query().fetch_one(&mut *transaction).await?.try_get(0)?;
    transaction.rollback().await?;
    Ok(count)
}

async fn capped(pool: &PgPool, selection: &Selection<'_>) -> sqlx::Result<Total> {
    let Statement { text, values } = selection.examine(COUNT_CAP + 1);
    let text = format!("select count(*) filter (where {HIT}), count(*) from ({text}) as examined");
    let row = Statement { text, values }.query().fetch_one(pool).await?;
    let (count, examined): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
    let (cap, precision) = if examined > i64::from(COUNT_CAP) {
        (i64::from(COUNT_CAP), TotalCountPrecision::AtLeast)
    } else {
        (count, TotalCountPrecision::Exact)
    };
    Ok(Total { count: count.min(cap), precision })
}

async fn estimate(pool: &PgPool, selection: &Selection<'_>) -> sqlx::Result<Total> {
    let Statement { text, values } = selection.matching("1");
    let explain = Statement { text: format!("explain (format json) {text}"), values };
    let plan: serde_json::Value = explain.query().fetch_one(pool).await?.try_get(0)?;
    let rows = plan.pointer("/0/Plan/Plan Rows").and_then(serde_json::Value::as_f64);
    let rows = rows.ok_or_else(|| sqlx::Error::Protocol("a plan without Plan Rows".to_owned()))?;
    Ok(Total { count: rows as i64, precision: TotalCountPrecision::Estimate })
}

impl Selection<'_> {
    /// The statement that selects `what` from all the rows that match.
    fn matching(&self, what: &str) -> Statement {
        let mut statement = Statement::default();
        let source = self.source(&mut statement, Purpose::All);
        let conditions: Vec<String> = source.conditions.into_iter().chain(source.hit).collect();
        statement.text = format!("select {what} from {} where {}", source.from, or_true(&conditions));
        statement
    }
}
