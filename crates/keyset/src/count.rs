//! The total of a list, if a request asks for it: a separate statement that never makes the page fail.

use pagination::proto::{TotalCount, TotalCountPrecision};
use sqlx::{Row, postgres::PgRow};
use tokio::{sync::AcquireError, time::error::Elapsed};

use crate::{
    On, Paging, behind,
    select::{self, HIT},
    selection::Selection,
    shape::{Draft, Purpose, Shape, indented},
    source::{Reading, Source},
};

/// The limit of a capped count, in rows.
pub const COUNT_CAP: u32 = 10_000;

/// A number of rows and its precision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Total {
    pub(crate) count: i64,
    pub(crate) precision: TotalCountPrecision,
}

/// The total of the requested kind; if that fails, the estimate; if the estimate fails too, nothing.
pub(crate) async fn total(paging: &Paging, on: On<'_>, selection: &Selection, kind: TotalCount) -> Option<Total> {
    let mut on = on;
    let list = selection.listing.name;
    let counted = match kind {
        TotalCount::Unspecified => return None,
        TotalCount::Exact | TotalCount::Capped | TotalCount::Estimated => count(paging, &mut on, selection, kind, true),
    };
    let counted = match counted.await {
        Err(error) if kind != TotalCount::Estimated => {
            tracing::debug!(%error, list, "the count failed; using the planner's estimate");
            count(paging, &mut on, selection, TotalCount::Estimated, false).await
        }
        counted => counted,
    };
    counted.inspect_err(|error| tracing::debug!(%error, list, "the estimate failed")).ok()
}

/// Stops counting at the timeout, which includes the wait for a turn and for a connection.
async fn count(
    paging: &Paging,
    on: &mut On<'_>,
    selection: &Selection,
    kind: TotalCount,
    takes_turn: bool,
) -> sqlx::Result<Total> {
    let counter = selection.counter().filter(|_| kind == TotalCount::Exact);
    let purpose = match (kind, counter) {
        (TotalCount::Capped, _) => Purpose::Capped,
        (TotalCount::Exact, Some(counter)) => Purpose::Counter(counter),
        (TotalCount::Exact, None) => Purpose::Count { is_estimated: false },
        (TotalCount::Estimated | TotalCount::Unspecified, _) => Purpose::Count { is_estimated: true },
    };
    let statement = selection.count(purpose).statement();
    let mut rows = match on {
        On::Pool(pool) => {
            let rows = async {
                // Reading a counter is as fast as a page, so it does not wait for a turn.
                let _turn = match takes_turn && counter.is_none() {
                    true => {
                        Some(paging.turns.next(selection).await.map_err(|_: AcquireError| sqlx::Error::PoolClosed)?)
                    }
                    false => None,
                };
                pool.rows(statement).await
            };
            let rows = tokio::time::timeout(paging.count_timeout, rows).await;
            rows.unwrap_or_else(|_: Elapsed| Err(sqlx::Error::PoolTimedOut))?
        }
        On::Connection(connection) => behind::rows(connection, paging.count_timeout, statement).await?,
    };
    let row = rows.pop().ok_or(sqlx::Error::RowNotFound)?;
    match kind {
        TotalCount::Exact => Ok(Total { count: row.try_get(0)?, precision: TotalCountPrecision::Exact }),
        TotalCount::Capped => capped_total(&row),
        TotalCount::Estimated | TotalCount::Unspecified => estimate(&row),
    }
}

fn capped_total(row: &PgRow) -> sqlx::Result<Total> {
    let (count, examined): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
    let (cap, precision) = if examined > i64::from(COUNT_CAP) {
        (i64::from(COUNT_CAP), TotalCountPrecision::AtLeast)
    } else {
        (count, TotalCountPrecision::Exact)
    };
    Ok(Total { count: count.min(cap), precision })
}

fn estimate(row: &PgRow) -> sqlx::Result<Total> {
    let plan: serde_json::Value = row.try_get(0)?;
    let rows = plan.pointer("/0/Plan/Plan Rows").and_then(serde_json::Value::as_f64);
    let rows = rows.ok_or_else(|| sqlx::Error::Protocol("EXPLAIN returned no Plan Rows".to_owned()))?;
    Ok(Total { count: rows as i64, precision: TotalCountPrecision::Estimate })
}

/// The statement of a capped count: how many rows match, and how many were examined.
pub(crate) fn capped(selection: &Selection) -> Shape {
    let mut draft = Draft::default();
    let examined = select::examined(selection, &mut draft, COUNT_CAP + 1);
    let examined = indented(&examined);
    draft.finish(format!("select count(*) filter (where {HIT}), count(*) from (\n    {examined}\n) as examined"))
}

/// The statement that counts all matching rows, or asks the planner to estimate their number.
pub(crate) fn exact(selection: &Selection, is_estimated: bool) -> Shape {
    let select = if is_estimated { "explain (format json) select 1" } else { "select count(*)" };
    matching(selection, Reading::All, select)
}

/// The statement that reads the number of matching rows from a counter.
pub(crate) fn of_counter(selection: &Selection, place: usize) -> Shape {
    let table = selection.listing.counters.get(place).map(|counter| counter.table).unwrap_or_default();
    matching(selection, Reading::Counter(table), "select coalesce(sum(row_count), 0)::int8")
}

fn matching(selection: &Selection, reading: Reading, select: &str) -> Shape {
    let mut draft = Draft::default();
    let source = Source::new(selection, &mut draft, reading);
    draft.finish(format!("{select}\nfrom {}\nwhere {}", source.from, source.condition()))
}
