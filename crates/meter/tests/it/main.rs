//! The tests of the service.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod conformance;
mod contract;
mod cost;
mod indexes;
mod record;
mod summarize;
mod support;
