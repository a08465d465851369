//! A private PostgreSQL server. It listens on a Unix socket that only its owner can reach, and ends together with the
//! process that started it, however that process ends.
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
//! All functions block. Runs on Linux and macOS. PostgreSQL does not run as root: if root starts it, it runs as the
//! user `postgres` or `nobody`, on Linux only.
//!
//! The user of this process connects, and root; each must have a name, in `/etc/passwd` for example. The server takes
//! nothing from the environment but `PATH` and `LD_LIBRARY_PATH`. Its log, `postgres.log`, is copied to `postgres.log.1` and
//! emptied when it is larger than 8 MiB.

mod account;
mod binaries;
mod cluster;
mod environment;
mod error;
mod lock;
mod peers;
mod pid_file;
mod poll;
mod rotation;
mod server;
mod socket;
mod start;
mod supervisor;
#[cfg(feature = "testing")]
pub mod testing;
#[cfg(test)]
mod tests;

pub use error::Error;
pub use server::{Running, Server, Settings};

/// The port of every server, which is part of its socket's name.
pub const PORT: u16 = 5432;
/// The superuser of every server. The user that started the server connects as it without a password, and so does root.
pub const USER: &str = "quire";
