use std::time::Duration;

use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, PgConnection,
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
    /// The database refuses the connection.
    #[error(
        "the database at {address} refuses the connection: {reason}; check the database URL, and variables such as \
         PGOPTIONS that complete it"
    )]
    Refused {
        /// The address of the database.
        address: String,
        /// The database's reason.
        reason: String,
    },
    /// The database failed.
    #[error("cannot migrate the database: {}", reason(.0))]
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
        match source.as_database_error() {
            Some(_) => MigrationError::Refused { address, reason: reason(&source) },
            None => MigrationError::Unreachable { address, source },
        }
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
    drop_unfinished_indexes(connection).await?;
    let mut migrator = Migrator { migrations: MIGRATIONS.migrations.clone(), ..Migrator::DEFAULT };
    // A newer release may have migrated the database already. This release runs on its schema.
    migrator.set_ignore_missing(true).set_locking(false);
    migrator
        .run(connection)
        .await
        .map_err(|error| if let MigrateError::Execute(error) = error { error.into() } else { error.into() })
}

/// Why the database failed, without the place in Postgres's source that the text of the error has.
fn reason(error: &sqlx::Error) -> String {
    error.as_database_error().map_or_else(|| error.to_string(), |error| error.message().to_owned())
}

/// Drops the indexes that a `create index concurrently` has left unfinished, because its process was stopped. The migration
/// was not recorded, so it runs again, and would skip an index of this name. An index that somebody is building is left
/// alone.
async fn drop_unfinished_indexes(connection: &mut PgConnection) -> Result<(), MigrationError> {
    let sql = "
        select format('drop index %I.%I', nspname, relname)
        from pg_index
            join pg_class on pg_class.oid = indexrelid
            join pg_namespace on pg_namespace.oid = relnamespace
        where not indisvalid and nspname = current_schema()
            and not exists (select from pg_stat_progress_create_index where index_relid = indexrelid)";
    let drops: Vec<String> = sqlx::query_scalar(sql).fetch_all(&mut *connection).await?;
    for drop in drops {
        sqlx::raw_sql(AssertSqlSafe(drop)).execute(&mut *connection).await?;
    }
    Ok(())
}
