//! Connections to Postgres.
//!
//! - [`Database`] is a pool of connections. A statement on it outlives its caller: if the caller leaves, the statement
//!   ends or is cancelled, and its connection is reused.
//! - [`Tenant`]s share the connections, within [`Limits`], so that no tenant can take all of them.
//! - [`DatabaseClock`] tells the time of the database.
//! - [`Availability`] watches whether the database answers.
//! - [`migrate`] brings the schema up to date.

mod availability;
mod clock;
mod connect;
mod database;
mod limits;
mod maker;
mod measure;
mod migration;
mod pool;
mod queue;
mod reserved;
mod running;
mod stopped;
mod tenant;

pub use availability::Availability;
pub use clock::DatabaseClock;
pub use database::Database;
pub use limits::{Limits, Percent};
pub use migration::{MigrationError, migrate};
pub use tenant::Tenant;

use keyset::Statement;
use sqlx::postgres::PgConnectOptions;

/// The application name that Postgres shows for the connections.
const APPLICATION_NAME: &str = "quire";

/// The audience of access tokens, which the servers of a migrated database have in common.
///
/// # Errors
///
/// Those of [`Database::read_rows`].
pub async fn audience(database: &Database) -> sqlx::Result<String> {
    let mut rows = database.read(Statement::new("select audience from deployment")).await?;
    let (audience,) = rows.pop().ok_or(sqlx::Error::RowNotFound)?;
    Ok(audience)
}

/// The database that the services of a server share, with these limits. Connections are opened when needed.
pub fn connect(options: PgConnectOptions, limits: Limits) -> Database {
    Database::with_limits(options.application_name(APPLICATION_NAME), limits)
}
