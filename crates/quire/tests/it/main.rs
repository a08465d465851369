//! The tests of the program.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod access;
mod access_tokens;
mod admin;
mod arguments;
mod audit;
mod budget;
mod causes;
mod client;
mod clocks;
mod compression;
mod connections;
mod crowds;
mod deadlines;
mod environment;
mod export;
mod exporter;
mod faults;
mod fleet;
mod import;
mod interrupts;
mod keys;
mod limits;
mod lists;
mod malformed;
mod manual;
mod output;
mod reflection;
mod refusals;
mod registration;
mod reload;
mod requests;
mod serve;
mod support;
mod telemetry;
mod tls;
