use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, builder::BoolishValueParser};
use pagination::TokenVersion;

/// gRPC services over Postgres whose every list is paged the same way.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,

    /// What to log, as in `info` or `warn,quire=debug`
    #[arg(long, global = true, env = "QUIRE_LOG", default_value = "info,sqlx=warn")]
    pub(crate) log: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve the services, with gRPC health and reflection
    Serve(Serve),
    /// Bring the schema of a database up to date, which `serve` does as well
    Migrate(Migrate),
    /// Work with the prompts of a server that runs
    #[command(subcommand)]
    Prompts(Prompts),
}

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// The address to listen on; it must be a loopback address
    #[arg(long, env = "QUIRE_LISTEN", default_value = "127.0.0.1:50051")]
    pub(crate) listen: SocketAddr,

    /// The Postgres database to use, as in `postgres://user@host/name`; without one, a private Postgres is started
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub(crate) database_url: Option<String>,

    /// Where the private Postgres keeps its data [default: /var/lib/quire for root, otherwise ~/.local/share/quire]
    #[arg(long, env = "QUIRE_DATA_DIR")]
    pub(crate) data_dir: Option<PathBuf>,

    /// The keys that seal page tokens, as `id:base64,…`, each of 32 bytes: the first seals, all open. Required with a
    /// database URL; otherwise one is made and kept in the data directory
    #[arg(long, env = "QUIRE_TOKEN_KEYS", hide_env_values = true)]
    pub(crate) token_keys: Option<String>,

    /// How long a page token can be used
    #[arg(long, env = "QUIRE_TOKEN_TTL", default_value = "72h", value_parser = humantime::parse_duration)]
    pub(crate) token_ttl: Duration,

    /// The version of page tokens to write, 1 or 2. While servers of the release before are in use, which read no other,
    /// write 1
    #[arg(long, env = "QUIRE_TOKEN_VERSION", default_value = "2")]
    pub(crate) token_version: TokenVersion,

    /// How long calls in flight may take to finish once the server is told to stop
    #[arg(long, env = "QUIRE_DRAIN_TIMEOUT", default_value = "30s", value_parser = humantime::parse_duration)]
    pub(crate) drain_timeout: Duration,

    /// Load sample prompts into the workspace `default` if it has none
    #[arg(long, env = "QUIRE_SAMPLE", value_parser = BoolishValueParser::new())]
    pub(crate) sample: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Prompts {
    /// Make prompts from a file that has a CreatePrompt request on each line, in protobuf's JSON. Prompts that are there
    /// already, and the same, are passed over: an import that was cut off is simply run again
    Import(Import),
}

#[derive(Debug, Args)]
pub(crate) struct Import {
    /// The file, or `-` for standard input
    pub(crate) file: PathBuf,

    /// The server
    #[arg(long, env = "QUIRE_SERVER", default_value = "http://127.0.0.1:50051")]
    pub(crate) server: String,

    /// The workspace to make the prompts in
    #[arg(long, env = "QUIRE_WORKSPACE", default_value = "default")]
    pub(crate) workspace: String,
}

#[derive(Debug, Args)]
pub(crate) struct Migrate {
    /// The Postgres database to migrate, as in `postgres://user@host/name`
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub(crate) database_url: String,
}
