//! Opens connections, and classifies their errors.

use std::{
    io::{self, ErrorKind},
    time::Duration,
};

use sqlx::{
    ConnectOptions, Row,
    postgres::{PgConnectOptions, PgConnection, PgDatabaseError, PgSeverity},
};
use tokio::time::{error::Elapsed, timeout};

use crate::Limits;

/// How long opening a connection may take.
pub(crate) const CONNECT_LIMIT: Duration = Duration::from_millis(700);

/// Opens a connection, and asks for the process id of its backend, which sqlx does not return.
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

/// Sets the options for pages and the timeouts of statements, and makes Postgres notice when this end of a connection is gone.
///
/// A client would usually also set `TCP_NODELAY` and keepalives on its own socket. sqlx 0.9 sets neither and gives no
/// access to the socket. They are not needed: a request is one write followed by a wait for the response, which Nagle's
/// algorithm does not delay, and a connection that was idle for long is pinged before it is used.
pub(crate) fn prepared(options: PgConnectOptions, limits: &Limits) -> PgConnectOptions {
    let milliseconds = |limit: Duration| limit.as_millis().max(1).to_string();
    let timeouts = [
        ("statement_timeout", milliseconds(limits.statement_timeout)),
        ("lock_timeout", milliseconds(limits.lock_timeout)),
    ];
    keyset::options_for_pages(options).options(timeouts).options([
        // A statement stops within this time after its connection was closed.
        ("client_connection_check_interval", "250ms"),
        // For TCP only; a Unix socket ignores them. Firewalls see an idle connection once a minute.
        ("tcp_keepalives_idle", "60"),
        ("tcp_keepalives_interval", "10"),
        ("tcp_keepalives_count", "3"),
        ("tcp_user_timeout", "30s"),
    ])
}

/// Whether the connection cannot be used any more after this error.
pub(crate) fn ends_connection(error: &sqlx::Error) -> bool {
    let severity = || error.as_database_error()?.try_downcast_ref().map(PgDatabaseError::severity);
    matches!(error, sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_))
        || matches!(severity(), Some(PgSeverity::Fatal | PgSeverity::Panic))
}

/// Whether a live server has no room for another connection at the moment: `too_many_connections`, by a limit of the
/// server, the role or the database, or a full listen queue of a Unix socket.
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

/// The error for each caller that waits for a connection that could not be opened.
pub(crate) fn unreachable(error: &sqlx::Error) -> sqlx::Error {
    let kind = if let sqlx::Error::Io(error) = error { error.kind() } else { ErrorKind::ConnectionRefused };
    sqlx::Error::Io(io::Error::new(kind, error.to_string()))
}
