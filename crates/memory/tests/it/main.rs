//! The tests of the service.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod batch;
mod conformance;
mod get;
mod indexes;
mod list;
mod recall;
mod store;
mod support;
mod update;
