//! What is counted of pages, by the facade `metrics`: nothing where the program has no recorder.

use metrics::counter;
use pagination::{PageTokenErrorKind, proto::TotalCountPrecision};

/// A page that was fetched: so many rows, and so many index entries that its statement is known to have examined for them.
pub(crate) fn page(list: &'static str, rows: usize, examined: u64) {
    counter!("keyset_pages_total", "list" => list).increment(1);
    counter!("keyset_rows_total", "list" => list).increment(rows as u64);
    counter!("keyset_rows_examined_total", "list" => list).increment(examined);
}

/// A total that was given.
pub(crate) fn count(list: &'static str, precision: TotalCountPrecision) {
    counter!("keyset_counts_total", "list" => list, "precision" => precision.as_str_name()).increment(1);
}

/// A page token that was refused.
pub(crate) fn refused_token(list: &'static str, kind: PageTokenErrorKind) {
    counter!("keyset_page_tokens_refused_total", "list" => list, "reason" => kind.reason()).increment(1);
}
