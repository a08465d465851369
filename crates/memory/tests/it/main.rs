//! The tests of the service.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod batch;
mod conformance;
mod contract;
mod earlier;
mod indexes;
mod memories;
mod recall;
mod support;
mod words;
