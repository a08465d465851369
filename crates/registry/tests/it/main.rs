//! The tests of the service.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod batch;
mod conformance;
mod discover;
mod get;
mod heartbeat;
mod hot;
mod indexes;
mod list;
mod register;
mod support;
mod sweep;
mod update;
