//! The database: either the one that a URL names, or a private Postgres with its data in a directory.

use std::{
    env::{self, VarError},
    fs::DirBuilder,
    io::Write,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    str::FromStr,
};

use pagination::TokenKeys;
use private_postgres::{Running, Server, Settings};
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use tempfile::NamedTempFile;

use crate::{
    arguments::{self, Migrate, Serve},
    error::Error,
    files::read_secret,
    private,
};

/// The file with token keys in the data directory.
const TOKEN_KEYS: &str = "token-keys";
/// How many connections a private Postgres has for other programs, such as `quire keys bootstrap` and psql.
const OTHER_CONNECTIONS: u16 = 84;

/// The database to serve, and the keys of its page tokens.
pub(crate) struct Database {
    pub(crate) options: PgConnectOptions,
    pub(crate) token_keys: TokenKeys,
    /// The private Postgres, if there is one, and its settings. It stops when it is dropped.
    pub(crate) private: Option<(Server, Settings)>,
}

/// `quire migrate`.
pub(crate) async fn migrate(Migrate { database_url }: Migrate) -> Result<(), Error> {
    Ok(::database::migrate(&parse_url(&database_url)?).await?)
}

/// Opens the database that the arguments name. A private Postgres stores token keys in its data directory, for use if
/// none are given.
pub(crate) async fn open(arguments: &Serve, token_keys: Option<TokenKeys>) -> Result<Database, Error> {
    if let Some(url) = &arguments.database.database_url {
        let token_keys = token_keys.ok_or(Error::NoTokenKeys)?;
        return Ok(Database { options: parse_url(url)?, token_keys, private: None });
    }
    let mut settings = settings(&arguments.database)?;
    let max_connections = arguments.limits.max_connections.saturating_add(OTHER_CONNECTIONS);
    settings.extra.push(("max_connections".to_owned(), max_connections.to_string()));
    let data_dir = settings.data_dir.clone();
    let server = private::start(&settings, Server::start).await?;
    tracing::info!(data_dir = %data_dir.display(), "started a private Postgres");
    // No other process uses the data directory while this process's Postgres runs.
    let token_keys = token_keys.map_or_else(|| create_token_keys(&data_dir.join(TOKEN_KEYS)), Ok)?;
    Ok(Database { options: private::options(&server), token_keys, private: Some((server, settings)) })
}

/// How a database was reached. Keep this value while the database is in use.
pub(crate) enum Reached {
    /// A URL names it.
    ByUrl,
    /// The private Postgres was started for this command.
    Started(Server),
    /// The private Postgres of a running server.
    Running(Running),
}

/// Reaches the database that the arguments name, whether or not a server is running its private Postgres.
pub(crate) async fn reach(arguments: &arguments::Database) -> Result<(PgConnectOptions, Reached), Error> {
    if let Some(url) = &arguments.database_url {
        return Ok((parse_url(url)?, Reached::ByUrl));
    }
    let settings = settings(arguments)?;
    match private::start(&settings, Server::start).await {
        Ok(server) => Ok((private::options(&server), Reached::Started(server))),
        Err(Error::PrivatePostgres(private_postgres::Error::InUse { .. })) => {
            let running = Running::at(&settings.data_dir)?;
            Ok((private::options_at(running.socket_dir()), Reached::Running(running)))
        }
        Err(error) => Err(error),
    }
}

/// The settings of the private Postgres that the arguments name.
fn settings(arguments: &arguments::Database) -> Result<Settings, Error> {
    let data_dir = arguments.data_dir.clone().map_or_else(create_default_data_dir, Ok)?;
    Ok(Settings { data_dir, durable: true, extra: Vec::new() })
}

/// Reads the options from the URL. As in every client of Postgres, variables such as `PGSSLMODE` give what the URL leaves
/// out.
fn parse_url(url: &str) -> Result<PgConnectOptions, Error> {
    if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        return Err(Error::DatabaseUrl("it does not begin with postgres://".to_owned()));
    }
    // sqlx ignores values that it cannot read, and would use its default: a connection that may be without TLS.
    check_variable::<PgSslMode>("PGSSLMODE")?;
    check_variable::<u16>("PGPORT")?;
    url.parse().map_err(|error: sqlx::Error| Error::DatabaseUrl(error.to_string()))
}

fn check_variable<T: FromStr>(name: &'static str) -> Result<(), Error> {
    match env::var(name) {
        Ok(value) if value.parse::<T>().is_err() => Err(Error::PostgresVariable { name, value }),
        Ok(_) | Err(VarError::NotPresent) => Ok(()),
        Err(VarError::NotUnicode(value)) => {
            Err(Error::PostgresVariable { name, value: value.to_string_lossy().into_owned() })
        }
    }
}

fn create_default_data_dir() -> Result<PathBuf, Error> {
    let path = default_data_dir()?;
    let created = DirBuilder::new().recursive(true).mode(0o700).create(&path);
    created.map_err(|source| Error::DefaultDataDirectory { path: path.clone(), source })?;
    Ok(path)
}

fn default_data_dir() -> Result<PathBuf, Error> {
    if nix::unistd::geteuid().is_root() {
        return Ok(PathBuf::from("/var/lib/quire"));
    }
    let absolute = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || absolute("HOME").map(|home| home.join(".local/share"));
    Ok(absolute("XDG_DATA_HOME").or_else(home).ok_or(Error::NoDataDirectory)?.join("quire"))
}

/// The token keys of the arguments, or of a file that they name, or of the data directory. Returns `None` if there are
/// none yet.
pub(crate) fn token_keys(arguments: &Serve) -> Result<Option<TokenKeys>, Error> {
    if let Some(keys) = &arguments.token_keys {
        return Ok(Some(keys.parse()?));
    }
    if let Some(path) = &arguments.token_keys_file {
        return read_token_keys(path).map(Some);
    }
    if arguments.database.database_url.is_some() {
        return Ok(None);
    }
    let path = settings(&arguments.database)?.data_dir.join(TOKEN_KEYS);
    let exists = path.try_exists().map_err(|source| Error::File { path: path.clone(), source })?;
    exists.then(|| read_token_keys(&path)).transpose()
}

/// Creates a file with one new key, unless the file exists, and reads it.
fn create_token_keys(path: &Path) -> Result<TokenKeys, Error> {
    let failed = |source| Error::File { path: path.to_owned(), source };
    if !path.try_exists().map_err(failed)? {
        let keys = TokenKeys::generate().map_err(|error| Error::Random(error.to_string()))?;
        // A temporary file has mode 0600, and is renamed only when it is complete.
        let mut file = NamedTempFile::new_in(path.parent().unwrap_or(path)).map_err(failed)?;
        writeln!(file, "{keys}").and_then(|()| file.as_file().sync_all()).map_err(failed)?;
        file.persist_noclobber(path).map_err(|error| failed(error.error))?;
    }
    read_token_keys(path)
}

fn read_token_keys(path: &Path) -> Result<TokenKeys, Error> {
    read_secret(path)?.trim().parse().map_err(|source| Error::TokenKeysFile { path: path.to_owned(), source })
}
