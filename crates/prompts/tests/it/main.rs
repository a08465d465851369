//! The tests of the service.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod batch;
mod conformance;
mod contract;
mod create;
mod deployments;
mod filters;
mod get;
mod indexes;
mod labels;
mod list;
mod resolve;
mod support;
mod tokens;
mod update;
mod versions;
mod walk;
