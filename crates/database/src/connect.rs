//! How a connection is made, and what its errors mean.

use std::{
    io::{self, ErrorKind},
    time::Duration,
};

use sqlx::{
    ConnectOptions, Row,
    postgres::{PgConnectOptions, PgConnection, PgDatabaseError, PgSeverity},
};
use tokio::time::{error::Elapsed, timeout};

/// How long a new connection may take.
pub(crate) const CONNECT_LIMIT: Duration = Duration::from_millis(700);

/// Makes a connection, and asks for the process that serves it, since sqlx does not tell.
pub(crate) async fn connect(options: &PgConnectOptions) -> sqlx::Result<(PgConnection, i32)> {
    let connecting = async {
        let mut connection = options.connect().await?;
        let row = sqlx::raw_sql("select pg_backend_pid()").fetch_one(&mut connection).await?;
        let pid = row.try_get(0)?;
        Ok((connection, pid))
    };
    let too_late = |_: Elapsed| Err(sqlx::Error::Io(ErrorKind::TimedOut.into()));
    timeout(CONNECT_LIMIT, connecting).await.unwrap_or_else(too_late)
}

/// Makes connections fit for pages, and has Postgres find out when this end of one is gone.
///
/// A client would set `TCP_NODELAY` and keepalives on its own socket too. sqlx 0.9 sets neither, and gives no access to the
/// socket. A request is one write that waits for its answer, which Nagle's algorithm does not delay; and a connection that
/// was idle for long is asked for an answer before it is used.
pub(crate) fn prepared(options: PgConnectOptions) -> PgConnectOptions {
    keyset::options_for_pages(options).options([
        // A statement whose connection was closed is stopped after this long.
        ("client_connection_check_interval", "250ms"),
        // Over TCP only; on a Unix socket they do nothing. A firewall hears of an idle connection once a minute.
        ("tcp_keepalives_idle", "60"),
        ("tcp_keepalives_interval", "10"),
        ("tcp_keepalives_count", "3"),
        ("tcp_user_timeout", "30s"),
    ])
}

/// Whether no statement can be run on the connection after this error.
pub(crate) fn ends_connection(error: &sqlx::Error) -> bool {
    let severity = || error.as_database_error()?.try_downcast_ref().map(PgDatabaseError::severity);
    matches!(error, sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_))
        || matches!(severity(), Some(PgSeverity::Fatal | PgSeverity::Panic))
}

/// Whether a live server has no room for one more connection at the moment: `too_many_connections`, of the server, the role
/// or the database, or a Unix socket whose listen queue is full.
pub(crate) fn is_full(error: &sqlx::Error) -> bool {
    has_code(error, "53300") || matches!(error, sqlx::Error::Io(error) if error.kind() == ErrorKind::WouldBlock)
}

/// Whether a statement was cancelled.
pub(crate) fn is_cancelled(error: &sqlx::Error) -> bool {
    has_code(error, "57014")
}

fn has_code(error: &sqlx::Error, code: &str) -> bool {
    error.as_database_error().and_then(|error| error.code()).is_some_and(|found| found == code)
}

/// The error for each of those who wait for a connection that could not be made.
pub(crate) fn unreachable(error: &sqlx::Error) -> sqlx::Error {
    let kind = if let sqlx::Error::Io(error) = error { error.kind() } else { ErrorKind::ConnectionRefused };
    sqlx::Error::Io(io::Error::new(kind, error.to_string()))
}
