//! The contract's pages: which methods return pages, and that `EncodedPage` has the same bytes as each response. Also
//! what its requests may cost.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "tests"
)]

mod decoding;
mod encoding;
mod methods;
mod requests;
mod rows;

use proptest::prelude::*;
use quire_proto::pagination::v1::PageResponse;

/// Any page, down to one without content.
fn page() -> impl Strategy<Value = PageResponse> {
    ("[a-z]{0,200}", any::<Option<i64>>(), 0..4, "[a-z]{0,3}").prop_map(
        |(next_page_token, total_count, total_count_precision, previous_page_token)| PageResponse {
            next_page_token,
            total_count,
            total_count_precision,
            previous_page_token,
        },
    )
}
