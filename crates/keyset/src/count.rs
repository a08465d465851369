//! The total of a list, when a request asks for it: a statement beside the page's, never a reason for the page to fail.

use pagination::proto::{TotalCount, TotalCountPrecision};
use tokio::{sync::AcquireError, time::error::Elapsed};

use crate::{
    Counter, Database, Paging,
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
        TotalCount::Capped => capped(&paging.database, selection).await,
        TotalCount::Estimated => estimate(&paging.database, selection).await,
    };
    match counted {
        Ok(total) => Some(total),
        Err(error) => {
            tracing::debug!(%error, list = selection.listing.name, "no count in time; giving the estimate");
            let estimated = estimate(&paging.database, selection).await;
            estimated.inspect_err(|error| tracing::warn!(%error, list = selection.listing.name, "no estimate")).ok()
        }
    }
}

/// A count whose time is up, or that nobody waits for any more, is stopped, as its connection is closed. One that a counter
/// has is as quick as a page and does not wait for those that are not.
async fn exact(paging: &Paging, selection: &Selection<'_>) -> sqlx::Result<Total> {
    let counter = selection.counter();
    let statement = selection.count(counter);
    let counted = async {
        let _turn = match counter {
            Some(_) => None,
            None => Some(paging.counts.acquire().await.map_err(|_: AcquireError| sqlx::Error::PoolClosed)?),
        };
        paging.database.read(|| statement.query()).await
    };
    let counted = tokio::time::timeout(paging.count_timeout, counted).await;
    let (count,) = only(counted.map_err(|_: Elapsed| sqlx::Error::PoolTimedOut)??)?;
    Ok(Total { count, precision: TotalCountPrecision::Exact })
}

async fn capped(database: &Database, selection: &Selection<'_>) -> sqlx::Result<Total> {
    let Statement { text, values } = selection.examine(COUNT_CAP + 1);
    let text = format!("select count(*) filter (where {HIT}), count(*) from ({text}) as examined");
    let statement = Statement { text, values };
    let (count, examined): (i64, i64) = only(database.read(|| statement.query()).await?)?;
    let (cap, precision) = if examined > i64::from(COUNT_CAP) {
        (i64::from(COUNT_CAP), TotalCountPrecision::AtLeast)
    } else {
        (count, TotalCountPrecision::Exact)
    };
    Ok(Total { count: count.min(cap), precision })
}

async fn estimate(database: &Database, selection: &Selection<'_>) -> sqlx::Result<Total> {
    let Statement { text, values } = selection.matching(Purpose::All, "1");
    let explain = Statement { text: format!("explain (format json) {text}"), values };
    let (plan,): (serde_json::Value,) = only(database.read(|| explain.query()).await?)?;
    let rows = plan.pointer("/0/Plan/Plan Rows").and_then(serde_json::Value::as_f64);
    let rows = rows.ok_or_else(|| sqlx::Error::Protocol("a plan without Plan Rows".to_owned()))?;
    Ok(Total { count: rows as i64, precision: TotalCountPrecision::Estimate })
}

/// The one row that an aggregate has.
fn only<T>(mut rows: Vec<T>) -> sqlx::Result<T> {
    rows.pop().ok_or(sqlx::Error::RowNotFound)
}

impl Selection<'_> {
    /// The first of the list's counters that has what the request asks for.
    fn counter(&self) -> Option<&'static Counter> {
        self.listing.counters.iter().find(|counter| self.is_counted_by(counter))
    }

    /// Whether the counter has a column for every filter that the request has.
    pub(crate) fn is_counted_by(&self, counter: &Counter) -> bool {
        self.given().all(|(_, filter, _)| counter.filters.contains(&filter.name))
    }

    /// The statement that counts all the rows that match, or reads from a counter how many they are.
    pub(crate) fn count(&self, counter: Option<&Counter>) -> Statement {
        match counter {
            Some(Counter { table, .. }) => self.matching(Purpose::Counter(table), "coalesce(sum(row_count), 0)::int8"),
            None => self.matching(Purpose::All, "count(*)"),
        }
    }

    /// The statement that selects `what` from all the rows that match.
    fn matching(&self, purpose: Purpose, what: &str) -> Statement {
        let mut statement = Statement::default();
        let source = self.source(&mut statement, purpose);
        let conditions: Vec<String> = source.conditions.into_iter().chain(source.hit).collect();
        statement.text = format!("select {what} from {} where {}", source.from, or_true(&conditions));
        statement
    }
}
