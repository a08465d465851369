//! The tests of the service.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod batch;
mod conformance;
mod contract;
mod deployments;
mod indexes;
mod labels;
mod prompts;
mod resolve;
mod support;
mod versions;
