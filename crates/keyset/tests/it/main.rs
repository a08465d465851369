//! The tests of the crate.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod catalogue;
mod churn;
mod conformance;
mod connections;
mod counters;
mod declarations;
mod expressions;
mod indexes;
mod masks;
mod messages;
mod mistakes;
mod orders;
mod own_types;
mod pages;
mod queries;
mod rarely;
mod recipes;
mod references;
mod scripts;
mod searches;
mod sql;
mod support;
mod unfit;
mod values;
