//! The tests of the service.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod any_order;
mod batch;
mod conformance;
mod contract;
mod create;
mod delete;
mod event_bounds;
mod events;
mod get;
mod indexes;
mod list;
mod model;
mod retry;
mod stats;
mod status;
mod support;
mod totals;
