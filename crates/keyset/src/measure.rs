//! Metrics of pages, recorded through the facade `metrics`. Without a recorder they do nothing.

use metrics::{counter, gauge};
use pagination::{PageTokenErrorKind, proto::TotalCountPrecision};

/// Counts a fetched page, its rows, and the index entries that its statement is known to have examined.
pub(crate) fn page(list: &'static str, rows: usize, examined: u64) {
    counter!("keyset_pages_total", "list" => list).increment(1);
    counter!("keyset_rows_total", "list" => list).increment(rows as u64);
    counter!("keyset_rows_examined_total", "list" => list).increment(examined);
}

/// Counts a total.
pub(crate) fn count(list: &'static str, precision: TotalCountPrecision) {
    counter!("keyset_counts_total", "list" => list, "precision" => precision.as_str_name()).increment(1);
}

/// Counts a row that no message can carry.
pub(crate) fn unfit_row(list: &'static str) {
    counter!("keyset_unfit_rows_total", "list" => list).increment(1);
}

/// Sets the number of problems that a check of the list has found.
pub(crate) fn problems(list: &'static str, problems: usize) {
    gauge!("keyset_list_problems", "list" => list).set(problems as f64);
}

/// Counts a refused page token.
pub(crate) fn refused_token(list: &'static str, kind: PageTokenErrorKind) {
    counter!("keyset_page_tokens_refused_total", "list" => list, "reason" => kind.reason()).increment(1);
}
