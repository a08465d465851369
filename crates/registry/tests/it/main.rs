//! The tests of the service.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod agents;
mod batch;
mod conformance;
mod contract;
mod discover;
mod heartbeat;
mod hot;
mod indexes;
mod support;
mod sweep;
mod take_over;
