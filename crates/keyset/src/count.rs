//! The total of a list, if a request asks for it: a separate statement that never makes the page fail.

use pagination::proto::{TotalCount, TotalCountPrecision};
use sqlx::{Row, postgres::PgRow};
use tokio::{sync::AcquireError, time::error::Elapsed};

use crate::{
    Paging,
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
pub(crate) async fn total(paging: &Paging, selection: &Selection, kind: TotalCount) -> Option<Total> {
    let counted = match kind {
        TotalCount::Unspecified => return None,
        TotalCount::Exact => in_time(paging, count_exactly(paging, selection)).await,
        TotalCount::Capped => in_time(paging, in_turn(paging, selection, count_to_cap(paging, selection))).await,
        TotalCount::Estimated => in_time(paging, in_turn(paging, selection, estimate(paging, selection))).await,
    };
    let list = selection.listing.name;
    let counted = match counted {
        Err(error) if kind != TotalCount::Estimated => {
            tracing::debug!(%error, list, "the count failed; using the planner's estimate");
            in_time(paging, estimate(paging, selection)).await
        }
        counted => counted,
    };
    counted.inspect_err(|error| tracing::debug!(%error, list, "the estimate failed")).ok()
}

/// Stops counting at the timeout, which includes the wait for a turn and for a connection.
async fn in_time(paging: &Paging, count: impl Future<Output = sqlx::Result<Total>>) -> sqlx::Result<Total> {
    let counted = tokio::time::timeout(paging.count_timeout, count).await;
    counted.unwrap_or_else(|_: Elapsed| Err(sqlx::Error::PoolTimedOut))
}

async fn in_turn(
    paging: &Paging,
    selection: &Selection,
    count: impl Future<Output = sqlx::Result<Total>>,
) -> sqlx::Result<Total> {
    let _turn = paging.turns.next(selection).await.map_err(|_: AcquireError| sqlx::Error::PoolClosed)?;
    count.await
}

/// Reading a counter is as fast as a page, so it does not wait for a turn.
async fn count_exactly(paging: &Paging, selection: &Selection) -> sqlx::Result<Total> {
    let exact = async |purpose| {
        let row = one_row(paging, selection, purpose).await?;
        Ok(Total { count: row.try_get(0)?, precision: TotalCountPrecision::Exact })
    };
    match selection.counter() {
        Some(counter) => exact(Purpose::Counter(counter)).await,
        None => in_turn(paging, selection, exact(Purpose::Count { is_estimated: false })).await,
    }
}

async fn count_to_cap(paging: &Paging, selection: &Selection) -> sqlx::Result<Total> {
    let row = one_row(paging, selection, Purpose::Capped).await?;
    let (count, examined): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
    let (cap, precision) = if examined > i64::from(COUNT_CAP) {
        (i64::from(COUNT_CAP), TotalCountPrecision::AtLeast)
    } else {
        (count, TotalCountPrecision::Exact)
    };
    Ok(Total { count: count.min(cap), precision })
}

async fn estimate(paging: &Paging, selection: &Selection) -> sqlx::Result<Total> {
    let row = one_row(paging, selection, Purpose::Count { is_estimated: true }).await?;
    let plan: serde_json::Value = row.try_get(0)?;
    let rows = plan.pointer("/0/Plan/Plan Rows").and_then(serde_json::Value::as_f64);
    let rows = rows.ok_or_else(|| sqlx::Error::Protocol("EXPLAIN returned no Plan Rows".to_owned()))?;
    Ok(Total { count: rows as i64, precision: TotalCountPrecision::Estimate })
}

async fn one_row(paging: &Paging, selection: &Selection, purpose: Purpose) -> sqlx::Result<PgRow> {
    let mut rows = paging.connections.rows(selection.count(purpose).statement()).await?;
    rows.pop().ok_or(sqlx::Error::RowNotFound)
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
