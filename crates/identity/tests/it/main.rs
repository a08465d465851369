//! The tests of the service.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod api_keys;
mod conformance;
mod contract;
mod indexes;
mod limits;
mod sessions;
mod support;
mod trees;
