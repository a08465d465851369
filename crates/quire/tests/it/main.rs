//! The tests of the program.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod access;
mod access_tokens;
mod admin;
mod connections;
/// Included for its unit tests, because a program has no library that a test could call.
#[allow(dead_code, reason = "the program uses the rest")]
#[path = "../../src/deadline.rs"]
mod deadline;
mod deadlines;
mod faults;
mod fleet;
mod import;
mod keys;
mod limits;
mod refusals;
mod registration;
mod serve;
mod support;
mod tls;
