//! Metrics of pages, recorded through the facade `metrics`. Without a recorder they do nothing.

use metrics::{counter, gauge};
use pagination::{PageTokenErrorKind, proto::TotalCountPrecision};

use crate::Paging;

/// Counts a fetched page, its rows, and the index entries that its statement is known to have examined.
pub(crate) fn page(paging: &Paging, list: &'static str, rows: usize, examined: u64) {
    counter!(paging.metric("pages_total"), "list" => list).increment(1);
    counter!(paging.metric("rows_total"), "list" => list).increment(rows as u64);
    counter!(paging.metric("rows_examined_total"), "list" => list).increment(examined);
}

/// Counts a total.
pub(crate) fn count(paging: &Paging, list: &'static str, precision: TotalCountPrecision) {
    counter!(paging.metric("counts_total"), "list" => list, "precision" => precision.as_str_name()).increment(1);
}

/// Counts a row that no message can carry.
pub(crate) fn unfit_row(paging: &Paging, list: &'static str) {
    counter!(paging.metric("unfit_rows_total"), "list" => list).increment(1);
}

/// Sets the number of problems that a check of the list has found.
pub(crate) fn problems(paging: &Paging, list: &'static str, problems: usize) {
    gauge!(paging.metric("list_problems"), "list" => list).set(problems as f64);
}

/// Counts a refused page token.
pub(crate) fn refused_token(paging: &Paging, list: &'static str, kind: PageTokenErrorKind) {
    counter!(paging.metric("page_tokens_refused_total"), "list" => list, "reason" => kind.reason()).increment(1);
}

impl Paging {
    fn metric(&self, name: &str) -> String {
        format!("{}_{name}", self.metrics)
    }
}
