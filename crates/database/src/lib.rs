//! The connections to Postgres.
//!
//! - [`Database`] is a pool of connections. A statement on it outlives its caller: when the caller goes away, the statement
//!   ends or is cancelled, and its connection is used again.
//! - [`Availability`] watches whether the database answers.
//! - [`migrate`] brings its schema up to date.

mod availability;
mod connect;
mod database;
mod maker;
mod migration;
mod pool;
mod reserved;
mod running;

pub use availability::Availability;
pub use database::Database;
pub use migration::{MigrationError, migrate};

use sqlx::postgres::PgConnectOptions;

/// What Postgres shows as the name of the connections.
const APPLICATION_NAME: &str = "quire";

/// The database that a server's services share, with at most so many connections. They are made as they are needed.
pub fn connect(options: PgConnectOptions, max_connections: usize) -> Database {
    Database::new(options.application_name(APPLICATION_NAME), max_connections)
}
