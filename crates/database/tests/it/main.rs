//! The connections of a [`Database`](database::Database): how a dead connection affects reads and writes, what happens
//! to a statement whose caller leaves, limits of the server, and how a missing database is noticed.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod available;
mod callers;
mod changes;
mod clock;
mod deaths;
mod limits;
mod migrating;
mod pool;
mod support;
mod tenants;
