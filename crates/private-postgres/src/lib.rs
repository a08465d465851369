//! A PostgreSQL server of one's own: started on a Unix socket that only its owner can reach, and
//! ended together with the process that started it, in whatever way that process ends.
//!
//! ```no_run
//! # fn main() -> Result<(), private_postgres::Error> {
//! let server = private_postgres::Server::start(&private_postgres::Settings {
//!     data_dir: "/var/lib/example".into(),
//!     durable: true,
//!     extra: Vec::new(),
//! })?;
//! // Connect to server.socket_dir() and server.port() as server.user(), database "postgres".
//! server.stop()?;
//! # Ok(())
//! # }
//! ```
//!
//! All of it blocks. Linux and macOS; PostgreSQL itself does not run as root, so for root it runs as
//! the user `postgres` or `nobody`, on Linux only.

mod account;
mod binaries;
mod cluster;
mod error;
mod lock;
mod pid_file;
mod poll;
mod server;
mod socket;
mod supervisor;
#[cfg(test)]
mod tests;

pub use error::Error;
pub use server::{Running, Server, Settings};

/// The port of every server, which is part of its socket's name.
pub const PORT: u16 = 5432;
/// The superuser of every server, who connects without a password.
pub const USER: &str = "quire";
