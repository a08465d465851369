use std::time::Duration;

use sqlx::{
    ConnectOptions, Connection, PgConnection,
    migrate::{MigrateError, Migrator},
    postgres::PgConnectOptions,
};

static MIGRATIONS: Migrator = sqlx::migrate!("../../migrations");

/// The key of the advisory lock that one migrator at a time holds: "quire" in ASCII.
const MIGRATION_LOCK: i64 = 0x71_75_69_72_65;

/// Why the database could not be migrated.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    /// The database cannot be reached.
    #[error("cannot reach the database at {address}: {source}; start it, or correct the database URL")]
    Unreachable {
        /// The address of the database.
        address: String,
        /// The error of the attempt to connect.
        source: sqlx::Error,
    },
    /// The database failed.
    #[error("cannot migrate the database: {0}")]
    Database(#[from] sqlx::Error),
    /// A migration failed, or something else has migrated the database.
    #[error("cannot migrate the database: {0}")]
    Migration(#[from] MigrateError),
}

/// Brings the database's schema up to date. Safe to run from several processes at once.
///
/// It polls for the advisory lock and does not wait in Postgres. A waiting statement holds a snapshot, and
/// `create index concurrently` in the process that has the lock would wait for that snapshot.
///
/// # Errors
///
/// See [`MigrationError`]. Each migration file is applied separately. Files applied before the failure stay applied.
pub async fn migrate(options: &PgConnectOptions) -> Result<(), MigrationError> {
    let connection = options.clone().application_name("quire migrate").connect().await;
    let mut connection = connection.map_err(|source| {
        let address = match options.get_socket() {
            Some(socket) => socket.display().to_string(),
            None => format!("{}:{}", options.get_host(), options.get_port()),
        };
        MigrationError::Unreachable { address, source }
    })?;
    let done = migrate_alone(&mut connection).await;
    // Closing the connection releases the lock, also after a failure.
    let closed = connection.close().await;
    done.and(closed.map_err(MigrationError::from))
}

async fn migrate_alone(connection: &mut PgConnection) -> Result<(), MigrationError> {
    while !sqlx::query_scalar::<_, bool>("select pg_try_advisory_lock($1)")
        .bind(MIGRATION_LOCK)
        .fetch_one(&mut *connection)
        .await?
    {
        tracing::info!("another process is migrating the database; waiting");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let mut migrator = Migrator { migrations: MIGRATIONS.migrations.clone(), ..Migrator::DEFAULT };
    // A newer release may have migrated the database already. This release runs on its schema.
    migrator.set_ignore_missing(true).set_locking(false);
    migrator.run(connection).await?;
    Ok(())
}
