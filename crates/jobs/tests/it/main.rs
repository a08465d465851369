//! The tests of the service.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod conformance;
mod contract;
mod create;
mod events;
mod hosts;
mod indexes;
mod list;
mod model;
mod retry;
mod status;
mod support;
