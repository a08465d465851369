//! The connections of a [`Database`](database::Database): what a dead one does to reads and writes, what becomes of a
//! statement whose caller has gone, limits of the server, and how it is noticed that a database is gone.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod available;
mod callers;
mod deaths;
mod limits;
mod migrating;
mod pool;
mod support;
