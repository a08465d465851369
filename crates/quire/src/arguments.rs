mod audit;
mod exporter;
mod limits;
mod otlp;
mod retention;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{
    Args, Parser, Subcommand, ValueEnum,
    builder::{BoolishValueParser, PossibleValuesParser},
};
use clap_complete::Shell;
use pagination::TokenVersion;
use platform::{DEFAULT_WORKSPACE, Service};

pub(crate) use self::{audit::AuditLog, exporter::Exporter, limits::Limits, otlp::Otlp, retention::Retention};
use crate::{resources::Resource, services::SERVICES, terminal::Terminal};

const EXIT_STATUSES: &str = "\
Exit status:
  0    done, also when a signal has stopped a server
  1    failed, with the reason on standard error
  2    the command line is not valid
  130  interrupted by SIGINT (143 by SIGTERM)";

/// gRPC services over Postgres; all their lists are paged the same way.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true, after_long_help = EXIT_STATUSES, term_width = help_width())]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,

    /// What to log, as in `info` or `warn,quire=debug`
    // The order puts this argument after those of the command itself.
    #[arg(long, global = true, display_order = 900, env = "QUIRE_LOG", default_value = "info,sqlx=warn")]
    pub(crate) log: String,
}

/// The width of help: that of the terminal. Help that goes elsewhere is not wrapped.
fn help_width() -> usize {
    Terminal::stdout().map_or(0, |terminal| terminal.width)
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve the services, with gRPC health and reflection
    Serve(Box<Serve>),
    /// Migrate a database; `serve` does this too when it starts
    Migrate(Migrate),
    #[command(flatten)]
    Resource(Box<Resource>),
    /// Serve Prometheus metrics of a server's jobs, which are read from the server when Prometheus scrapes them
    Exporter(Box<Exporter>),
    /// Print a script that completes this program's commands and flags in a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the manual page of the program, or write the pages of all commands to a directory
    Man {
        /// The directory, which is created if it does not exist. Pages in it are replaced
        dir: Option<PathBuf>,
    },
}

impl Command {
    /// Where the spans of the command go. Only commands that serve have any.
    pub(crate) fn otlp(&self) -> Option<&Otlp> {
        if let Self::Serve(serve) = self {
            Some(&serve.otlp)
        } else if let Self::Exporter(exporter) = self {
            Some(&exporter.otlp)
        } else {
            None
        }
    }

    /// Whether the command itself handles SIGINT and SIGTERM, which otherwise end it at once.
    pub(crate) fn handles_interrupts(&self) -> bool {
        match self {
            Self::Serve(_) | Self::Exporter(_) => true,
            Self::Resource(resource) => resource.handles_interrupts(),
            Self::Migrate(_) | Self::Completions { .. } | Self::Man { .. } => false,
        }
    }

    /// Whether the command starts a private Postgres, or uses the one of a running server.
    pub(crate) fn uses_private_postgres(&self) -> bool {
        match self {
            Self::Serve(serve) => serve.database.is_private(),
            Self::Resource(resource) => resource.uses_private_postgres(),
            Self::Migrate(_) | Self::Exporter(_) | Self::Completions { .. } | Self::Man { .. } => false,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// The address to listen on. Without signing keys it must be a loopback address
    #[arg(long, env = "QUIRE_LISTEN", default_value = "127.0.0.1:50051")]
    pub(crate) listen: SocketAddr,

    /// The services to serve
    #[arg(long, env = "QUIRE_SERVICES", value_delimiter = ',', default_values = service_names())]
    #[arg(value_parser = PossibleValuesParser::new(service_names()))]
    services: Vec<String>,

    /// An address for operators: /metrics for Prometheus, /healthz, /readyz, and /.well-known/jwks.json. Without signing keys
    /// it must be a loopback address
    #[arg(long, env = "QUIRE_ADMIN_LISTEN")]
    pub(crate) admin_listen: Option<SocketAddr>,

    /// Use TLS on the admin port, with the certificate of the server. Clients of the admin port need no certificate
    #[arg(long, env = "QUIRE_ADMIN_TLS", value_parser = BoolishValueParser::new())]
    pub(crate) admin_tls: bool,

    /// Allow an admin address that is not a loopback address without TLS
    #[arg(long, env = "QUIRE_ADMIN_INSECURE", value_parser = BoolishValueParser::new())]
    pub(crate) admin_insecure: bool,

    /// A PEM file with the Ed25519 keys of access tokens: the first private key signs, and all keys verify. With this file,
    /// every call needs a credential. SIGHUP reloads it
    #[arg(long, env = "QUIRE_SIGNING_KEYS")]
    pub(crate) signing_keys: Option<PathBuf>,

    /// The audience of access tokens. Servers accept only tokens with their own audience. Without it, servers of the same
    /// database have the same one, which is stored there; give it to servers of other databases to share tokens with them
    #[arg(long, env = "QUIRE_AUDIENCE")]
    pub(crate) audience: Option<String>,

    /// Who may use reflection, which describes the services: callers with an access token, if there are signing keys, or
    /// everybody, or nobody
    #[arg(long, env = "QUIRE_REFLECTION", value_enum, default_value_t)]
    pub(crate) reflection: Reflection,

    #[command(flatten)]
    pub(crate) tls: Tls,

    #[command(flatten)]
    pub(crate) database: Database,

    /// The keys of page tokens, as `id:base64,…`, with 32 bytes each: the first encrypts, and all decrypt. Required with a
    /// database URL. Otherwise a key is created and stored in the data directory
    #[arg(long, env = "QUIRE_TOKEN_KEYS", hide_env_values = true)]
    pub(crate) token_keys: Option<String>,

    /// A file with the keys of page tokens, instead of `--token-keys`. SIGHUP reloads it
    #[arg(long, env = "QUIRE_TOKEN_KEYS_FILE", value_name = "FILE", conflicts_with = "token_keys")]
    pub(crate) token_keys_file: Option<PathBuf>,

    /// How long a page token is valid
    #[arg(long, env = "QUIRE_TOKEN_TTL", default_value = "72h", value_parser = humantime::parse_duration)]
    pub(crate) token_ttl: Duration,

    /// The version of page tokens to write, 2 or 3. Use 2 while servers of the previous release are running, because they
    /// refuse version 3
    #[arg(long, env = "QUIRE_TOKEN_VERSION", default_value = "3")]
    pub(crate) token_version: TokenVersion,

    /// How long calls in flight may take to finish after the server is told to stop
    #[arg(long, env = "QUIRE_DRAIN_TIMEOUT", default_value = "30s", value_parser = humantime::parse_duration)]
    pub(crate) drain_timeout: Duration,

    /// Load samples into the workspace `default`. Kinds of records that it already has are skipped
    #[arg(long, env = "QUIRE_SAMPLE", value_parser = BoolishValueParser::new())]
    pub(crate) sample: bool,

    #[command(flatten)]
    pub(crate) audit: AuditLog,

    #[command(flatten)]
    pub(crate) otlp: Otlp,

    #[command(flatten)]
    pub(crate) retention: Retention,

    #[command(flatten)]
    pub(crate) limits: Limits,
}

impl Serve {
    /// The services to serve, each once.
    pub(crate) fn services(&self) -> Vec<&'static Service> {
        SERVICES.iter().copied().filter(|service| self.services.iter().any(|name| name == service.name)).collect()
    }
}

/// Who may use reflection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Reflection {
    #[default]
    Authenticated,
    Open,
    Off,
}

fn service_names() -> impl Iterator<Item = &'static str> {
    SERVICES.iter().map(|service| service.name)
}

/// Where the database is.
#[derive(Debug, Args)]
pub(crate) struct Database {
    /// The Postgres database, as in `postgres://user@host/name`. Without it, a private Postgres is started
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub(crate) database_url: Option<String>,

    /// Where the private Postgres keeps its data [default: /var/lib/quire for root, otherwise ~/.local/share/quire]
    #[arg(long, env = "QUIRE_DATA_DIR")]
    pub(crate) data_dir: Option<PathBuf>,
}

impl Database {
    pub(crate) fn is_private(&self) -> bool {
        self.database_url.is_none()
    }
}

/// The TLS of a server.
#[derive(Debug, Args)]
pub(crate) struct Tls {
    /// A PEM file with the server's certificate chain. With this file, the server uses TLS. SIGHUP reloads the files of TLS
    #[arg(long, env = "QUIRE_TLS_CERT", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,

    /// A PEM file with the private key of the certificate
    #[arg(long, env = "QUIRE_TLS_KEY", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,

    /// A PEM file with certificate authorities. With this file, every client needs a certificate from one of them
    #[arg(long, env = "QUIRE_TLS_CLIENT_CA", requires = "tls_cert")]
    pub(crate) tls_client_ca: Option<PathBuf>,
}

/// Which server to call, and as whom.
#[derive(Debug, Clone, Args)]
pub(crate) struct Connect {
    /// The server
    #[arg(long, env = "QUIRE_SERVER", default_value = "http://127.0.0.1:50051")]
    pub(crate) server: String,

    /// The secret of an API key, if the server has authentication. Use the environment variable, because other users can
    /// see arguments
    #[arg(long, env = "QUIRE_API_KEY", hide_env_values = true)]
    pub(crate) api_key: Option<String>,

    /// The workspace. It is for a server without authentication; otherwise the API key decides
    #[arg(long, env = "QUIRE_WORKSPACE", default_value = DEFAULT_WORKSPACE)]
    pub(crate) workspace: String,

    /// A PEM file with the certificate authorities to trust for the server [default: those of the system]
    #[arg(long, env = "QUIRE_CLIENT_TLS_CA")]
    pub(crate) tls_ca: Option<PathBuf>,

    /// A PEM file with the client's certificate chain, if the server requires one
    #[arg(long, env = "QUIRE_CLIENT_TLS_CERT", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,

    /// A PEM file with the private key of the certificate
    #[arg(long, env = "QUIRE_CLIENT_TLS_KEY", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Keys {
    /// Create the first key of a workspace, with every scope. Run it on the machine that has the database. The secret is
    /// printed only once
    Bootstrap(Bootstrap),
    /// Create a key. It can have only scopes of the key that creates it. The secret is printed only once
    Create(CreateKey),
}

#[derive(Debug, Args)]
pub(crate) struct Bootstrap {
    #[command(flatten)]
    pub(crate) database: Database,

    /// The workspace
    #[arg(long, env = "QUIRE_WORKSPACE", default_value = DEFAULT_WORKSPACE)]
    pub(crate) workspace: String,

    /// The name of the key, for people
    #[arg(long, default_value = "bootstrap")]
    pub(crate) name: String,

    /// The subject of the key: the program or person that uses it
    #[arg(long, default_value = "admin")]
    pub(crate) subject: String,
}

#[derive(Debug, Args)]
pub(crate) struct CreateKey {
    #[command(flatten)]
    pub(crate) connect: Connect,

    /// The name of the key, for people
    #[arg(long)]
    pub(crate) name: String,

    /// The subject of the key: the program or person that uses it
    #[arg(long)]
    pub(crate) subject: String,

    /// The scopes of the key, as in `memory:read,memory:write`
    #[arg(long, value_delimiter = ',', required = true)]
    pub(crate) scopes: Vec<String>,

    /// How long the key is valid, as in `90d`. Without it, the key does not expire
    #[arg(long, value_parser = humantime::parse_duration)]
    pub(crate) expire_in: Option<Duration>,
}

#[derive(Debug, Args)]
pub(crate) struct Migrate {
    /// The Postgres database, as in `postgres://user@host/name`
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub(crate) database_url: String,
}
