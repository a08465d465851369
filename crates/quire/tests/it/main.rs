//! The tests of the program.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod access;
mod access_tokens;
/// For `places`.
#[allow(dead_code, reason = "the program uses the rest")]
#[path = "../../src/listener/activity.rs"]
mod activity;
mod admin;
/// Like `deadline`.
#[allow(dead_code, reason = "the program uses the rest")]
#[path = "../../src/audit/allowance.rs"]
mod allowance;
mod arguments;
mod audit;
/// Like `deadline`.
#[path = "../../src/audit/file.rs"]
mod audit_file;
mod budget;
mod causes;
mod client;
mod clocks;
mod compression;
mod connections;
mod crowds;
/// Included for its unit tests, because a program has no library that a test could call.
#[allow(dead_code, reason = "the program uses the rest")]
#[path = "../../src/deadline.rs"]
mod deadline;
mod deadlines;
mod environment;
mod exporter;
mod faults;
mod fleet;
mod import;
mod interrupts;
mod keys;
/// For `activity`.
#[allow(dead_code, reason = "the program uses the rest")]
#[path = "../../src/listener/lasting.rs"]
mod lasting;
mod limits;
/// For `allowance`.
#[allow(dead_code, reason = "the program uses the rest")]
#[path = "../../src/audit/line.rs"]
mod line;
mod malformed;
mod manual;
/// Like `deadline`.
#[path = "../../src/listener/places.rs"]
mod places;
mod reflection;
mod refusals;
mod registration;
mod reload;
mod requests;
mod serve;
mod support;
mod telemetry;
mod tls;
