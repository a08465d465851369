//! Connections to Postgres.
//!
//! - [`Database`] is a pool of connections. A statement on it outlives its caller: if the caller leaves, the statement
//!   ends or is cancelled, and its connection is reused.
//! - [`Availability`] watches whether the database answers.
//! - [`migrate`] brings the schema up to date.

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

/// The application name that Postgres shows for the connections.
const APPLICATION_NAME: &str = "quire";

/// The database that the services of a server share, with at most `max_connections` connections. They are opened when
/// needed.
pub fn connect(options: PgConnectOptions, max_connections: usize) -> Database {
    Database::new(options.application_name(APPLICATION_NAME), max_connections)
}
