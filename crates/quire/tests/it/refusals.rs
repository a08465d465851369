//! What the program refuses: one line that says what to do, and exit code 1. And the help that says it beforehand.
use std::{
    fs,
    net::TcpListener,
    path::Path,
    process::{Command, Output},
};

use crate::support::{DataDir, KeyFile, Program, Server, free_address, quire};
use platform::testing::TOKEN_KEYS;

/// The one line that the program ends with.
async fn refusal(command: Command) -> String {
    let mut program = Program::start(command);
    assert_eq!(program.exit_code().await, Some(1));
    let stderr = program.stderr();
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    stderr.trim_end().strip_prefix("quire: ").unwrap().to_owned()
}

/// `quire serve` on a free port with these arguments.
fn serve(arguments: &[&str]) -> Command {
    let mut command = quire(&["serve", "--listen", &free_address().to_string()]);
    command.args(arguments);
    command
}

#[tokio::test]
async fn a_port_that_is_taken() {
    let data_dir = DataDir::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let mut command = quire(&["serve", "--listen", &address.to_string(), "--data-dir"]);
    command.arg(data_dir.path());
    let expected = format!("{address} is taken: stop what listens there, or choose another address with --listen");
    assert_eq!(refusal(command).await, expected);
    assert!(!data_dir.path().exists(), "nothing is made before the port is known to be free");
}

#[tokio::test]
async fn an_address_that_others_reach() {
    let loopback = free_address().to_string();
    for (address, arguments) in [
        ("0.0.0.0:50051", ["--listen", "0.0.0.0:50051"].as_slice()),
        ("[::]:50051", &["--listen", "[::]:50051"]),
        ("0.0.0.0:50052", &["--listen", &loopback, "--admin-listen", "0.0.0.0:50052"]),
    ] {
        let expected = format!(
            "{address} is not a loopback address, and without authentication nothing else is served: listen on 127.0.0.1, or \
             name keys with --signing-keys, made with `openssl genpkey -algorithm ed25519`"
        );
        let mut command = quire(&["serve"]);
        command.args(arguments);
        assert_eq!(refusal(command).await, expected);
    }
}

#[tokio::test]
async fn signing_keys_that_are_none() {
    let missing = refusal(serve(&["--signing-keys", "/nowhere/at/all"])).await;
    assert_eq!(missing, "cannot use /nowhere/at/all: No such file or directory (os error 2)");
    let key = KeyFile::new();
    for (text, why) in [
        ("", "there is no signing key; make one with: openssl genpkey -algorithm ed25519"),
        (
            "-----BEGIN PRIVATE KEY-----\nMC4C",
            "signing keys are written in PEM; make one with: openssl genpkey -algorithm ed25519",
        ),
        (
            &key.pem.replace("PRIVATE KEY", "EC PRIVATE KEY"),
            "a signing key is a PRIVATE KEY or PUBLIC KEY of Ed25519; make one with: openssl genpkey -algorithm ed25519",
        ),
        (&key.pem.repeat(2), "a signing key is there twice"),
        (&(key.pem.clone() + &key.public()), "a signing key is there twice"),
    ] {
        let file = KeyFile::with(text);
        let expected = format!("{} does not hold signing keys: {why}", file.path());
        assert_eq!(refusal(serve(&["--signing-keys", file.path()])).await, expected);
    }
}

#[tokio::test]
async fn a_data_directory_in_use() {
    let data_dir = DataDir::new();
    let mut server = Server::on_data_dir(&data_dir, &[]);
    server.connect().await;
    let path = data_dir.path().display().to_string();
    let expected = format!(
        "{path} is in use by process {}: stop that process, or name another data directory",
        server.program.id()
    );
    assert_eq!(refusal(serve(&["--data-dir", &path])).await, expected);
    // Nothing happened to the server that was first.
    server.connect().await;
}

#[tokio::test]
async fn a_data_directory_of_another_version() {
    let data_dir = DataDir::new();
    fs::create_dir_all(data_dir.file("postgres")).unwrap();
    fs::write(data_dir.file("postgres/PG_VERSION"), "9\n").unwrap();
    let path = data_dir.path().display().to_string();
    let message = refusal(serve(&["--data-dir", &path])).await;
    let start = format!("{path}/postgres was written by PostgreSQL 9, but only PostgreSQL ");
    assert!(message.starts_with(&start), "{message}");
    let end = " is installed: install PostgreSQL 9, or name another data directory";
    assert!(message.ends_with(end), "{message}");
}

#[tokio::test]
async fn a_data_directory_of_something_else() {
    let data_dir = DataDir::new();
    fs::create_dir_all(data_dir.file("postgres")).unwrap();
    fs::write(data_dir.file("postgres/letter"), "Dear Sir").unwrap();
    let path = data_dir.path().display().to_string();
    let expected = format!(
        "{path}/postgres holds files that are not a PostgreSQL database: move them away, or name another data directory"
    );
    assert_eq!(refusal(serve(&["--data-dir", &path])).await, expected);
    assert_eq!(fs::read_to_string(data_dir.file("postgres/letter")).unwrap(), "Dear Sir");
}

#[tokio::test]
async fn a_machine_without_postgres() {
    // PATH can be emptied, a directory that is searched in any case cannot.
    let always = ["/usr/lib/postgresql", "/opt/homebrew/opt", "/usr/local/opt", "/Applications/Postgres.app"];
    let is_empty = |dir: &str| fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_none());
    if always.iter().any(|dir| Path::new(dir).exists() && !is_empty(dir)) {
        eprintln!("not tested: a PostgreSQL is installed");
        return;
    }
    let data_dir = DataDir::new();
    let mut command = serve(&["--data-dir"]);
    command.arg(data_dir.path()).env("PATH", "");
    let expected = "no PostgreSQL found: install it (Debian: apt-get install postgresql; macOS: brew install \
         postgresql) or name a database with --database-url";
    assert_eq!(refusal(command).await, expected);
}

#[tokio::test]
async fn a_database_url_without_token_keys() {
    let mut command = serve(&[]);
    command.env("DATABASE_URL", "postgres://user:hidden@127.0.0.1/name");
    let expected = "with a database URL, --token-keys (or QUIRE_TOKEN_KEYS) is required, the same on every replica: \
         id:base64, made with `openssl rand -base64 32`";
    assert_eq!(refusal(command).await, expected);
}

#[tokio::test]
async fn a_database_that_cannot_be_reached() {
    let url = format!("postgres://user:hidden@{}/name", free_address());
    for command in
        [serve(&["--token-keys", TOKEN_KEYS, "--database-url", &url]), quire(&["migrate", "--database-url", &url])]
    {
        let message = refusal(command).await;
        assert!(message.contains("database") && message.contains("Connection refused"), "{message}");
        assert!(!message.contains("hidden"), "{message}");
    }
}

async fn assert_is_no_database_url(url: &str) {
    let message = refusal(serve(&["--token-keys", TOKEN_KEYS, "--database-url", url])).await;
    assert!(message.starts_with("the database URL is not one: "), "{message}");
    assert!(message.ends_with("; write postgres://user@host/name"), "{message}");
    assert!(!message.contains("hidden"), "{message}");
}

#[tokio::test]
async fn a_database_url_that_is_none() {
    for url in ["", "hidden/name", "postgres://user:hidden@127.0.0.1:port/name"] {
        assert_is_no_database_url(url).await;
    }
}

#[tokio::test]
async fn the_url_of_something_else() {
    // Without a look at the scheme, each would lead to a Postgres, the second to the one on this machine.
    assert_is_no_database_url(&format!("mysql://user:hidden@{}/name", free_address())).await;
    assert_is_no_database_url("user:hidden@host").await;
}

#[tokio::test]
async fn a_file_that_does_not_hold_token_keys() {
    let data_dir = DataDir::new();
    fs::create_dir_all(data_dir.path()).unwrap();
    fs::write(data_dir.file("token-keys"), "1:aGlkZGVu\n").unwrap();
    // What is logged on the way there would be lines of its own.
    let mut command = serve(&["--log", "error", "--data-dir"]);
    command.arg(data_dir.path());
    let expected = format!(
        "{}/token-keys does not hold token keys (a token key is 32 bytes in base64; make one with: openssl rand -base64 \
         32): put back what it held, or remove it, and all page tokens with it",
        data_dir.path().display()
    );
    assert_eq!(refusal(command).await, expected);
    assert!(!data_dir.is_in_use(), "Postgres was started, and is to be stopped");
    assert_eq!(fs::read_to_string(data_dir.file("token-keys")).unwrap(), "1:aGlkZGVu\n");
}

#[test]
fn token_keys_that_are_none() {
    let zero = format!("a:{}=", "A".repeat(43));
    let twice = format!("{TOKEN_KEYS},{TOKEN_KEYS}");
    let long_id = TOKEN_KEYS.replace("test", "seventeen_letters");
    for (keys, reason) in [
        ("", "token keys are written id:base64, separated by commas"),
        ("aGlkZGVuaGlkZGVuaGlkZGVuaGlkZGVu", "token keys are written id:base64, separated by commas"),
        ("a:aGlkZGVu?", "token keys are written id:base64, separated by commas"),
        (&long_id, "an id has 1 to 16 letters, digits, _ or -"),
        ("a:aGlkZGVu", "a token key is 32 bytes in base64; make one with: openssl rand -base64 32"),
        (&zero, "an all-zero token key protects nothing; make one with: openssl rand -base64 32"),
        (&twice, "two token keys have the same id"),
    ] {
        let secret = keys.split([':', ',']).rfind(|part| part.len() > 4);
        for is_argument in [false, true] {
            // An address that is refused as well, so that keys that are let through fail the test and serve nothing.
            let mut command = quire(&["serve", "--listen", "0.0.0.0:50051"]);
            if is_argument {
                command.arg("--token-keys").arg(keys);
            } else {
                command.env("QUIRE_TOKEN_KEYS", keys);
            }
            let Output { status, stderr, .. } = command.output().unwrap();
            let stderr = String::from_utf8(stderr).unwrap();
            assert!(!status.success() && stderr.contains(reason), "{keys}: {stderr}");
            // A log would keep it.
            assert!(secret.is_none_or(|secret| !stderr.contains(secret)), "{keys} is secret: {stderr}");
        }
    }
}

#[test]
fn help_names_every_setting_and_no_secret() {
    let help = |arguments: &[&str]| {
        let mut command = quire(arguments);
        command.env("DATABASE_URL", "postgres://user:hidden@host/name").env("QUIRE_TOKEN_KEYS", TOKEN_KEYS);
        command.env("QUIRE_API_KEY", "hidden");
        let Output { status, stdout, .. } = command.output().unwrap();
        assert!(status.success());
        String::from_utf8(stdout).unwrap()
    };
    insta::assert_snapshot!(help(&["serve", "--help"]), @"
    Serve the services, with gRPC health and reflection

    Usage: quire serve [OPTIONS]

    Options:
          --listen <LISTEN>                The address to listen on; without signing keys it must be a loopback address [env: QUIRE_LISTEN=] [default: 127.0.0.1:50051]
          --services <SERVICES>            The services to serve [env: QUIRE_SERVICES=] [default: prompts memory registry meter identity jobs] [possible values: prompts, memory, registry, meter, identity, jobs]
          --admin-listen <ADMIN_LISTEN>    An address for operators: /metrics for Prometheus, /healthz, /readyz, and /.well-known/jwks.json. Without signing keys it must be a loopback address [env: QUIRE_ADMIN_LISTEN=]
          --signing-keys <SIGNING_KEYS>    A file with the Ed25519 keys, in PEM, that access tokens are signed with and checked against: the first private key signs, all check. With it, every call needs a credential [env: QUIRE_SIGNING_KEYS=]
          --tls-cert <TLS_CERT>            A file with the server's certificate and those that lead to its authority, in PEM: with it, TLS is spoken [env: QUIRE_TLS_CERT=]
          --tls-key <TLS_KEY>              A file with the certificate's private key, in PEM [env: QUIRE_TLS_KEY=]
          --tls-client-ca <TLS_CLIENT_CA>  A file with the certificates of the authorities, in PEM, of which every client must have a certificate as well [env: QUIRE_TLS_CLIENT_CA=]
          --database-url <DATABASE_URL>    The Postgres database to use, as in `postgres://user@host/name`; without one, a private Postgres is started [env: DATABASE_URL]
          --data-dir <DATA_DIR>            Where the private Postgres keeps its data [default: /var/lib/quire for root, otherwise ~/.local/share/quire] [env: QUIRE_DATA_DIR=]
          --token-keys <TOKEN_KEYS>        The keys that seal page tokens, as `id:base64,…`, each of 32 bytes: the first seals, all open. Required with a database URL; otherwise one is made and kept in the data directory [env: QUIRE_TOKEN_KEYS]
          --token-ttl <TOKEN_TTL>          How long a page token can be used [env: QUIRE_TOKEN_TTL=] [default: 72h]
          --token-version <TOKEN_VERSION>  The version of page tokens to write, 1 or 2. While servers of the release before are in use, which read no other, write 1 [env: QUIRE_TOKEN_VERSION=] [default: 2]
          --max-connections <NUMBER>       The most connections to the database [env: QUIRE_MAX_CONNECTIONS=] [default: 16]
          --drain-timeout <DRAIN_TIMEOUT>  How long calls in flight may take to finish once the server is told to stop [env: QUIRE_DRAIN_TIMEOUT=] [default: 30s]
          --sample                         Load samples into the workspace `default`, of each kind if it has none [env: QUIRE_SAMPLE=]
          --log <LOG>                      What to log, as in `info` or `warn,quire=debug` [env: QUIRE_LOG=] [default: info,sqlx=warn]
      -h, --help                           Print help
      -V, --version                        Print version
    ");
    insta::assert_snapshot!(help(&["keys", "--help"]), @"
    Make, list and revoke API keys

    Usage: quire keys [OPTIONS] <COMMAND>

    Commands:
      bootstrap  Make the first key of a workspace, one that may do everything, on the machine that has the database. Its secret is printed, this once
      create     Make a key, with no more scopes than the one that it is made with. Its secret is printed, this once
      list       List the keys of the workspace
      revoke     Revoke a key and the sessions that were begun with it
      help       Print this message or the help of the given subcommand(s)

    Options:
          --log <LOG>  What to log, as in `info` or `warn,quire=debug` [env: QUIRE_LOG=] [default: info,sqlx=warn]
      -h, --help       Print help
      -V, --version    Print version
    ");
    insta::assert_snapshot!(help(&["keys", "bootstrap", "--help"]), @"
    Make the first key of a workspace, one that may do everything, on the machine that has the database. Its secret is printed, this once

    Usage: quire keys bootstrap [OPTIONS]

    Options:
          --database-url <DATABASE_URL>  The Postgres database to use, as in `postgres://user@host/name`; without one, a private Postgres is started [env: DATABASE_URL]
          --data-dir <DATA_DIR>          Where the private Postgres keeps its data [default: /var/lib/quire for root, otherwise ~/.local/share/quire] [env: QUIRE_DATA_DIR=]
          --workspace <WORKSPACE>        The workspace [env: QUIRE_WORKSPACE=] [default: default]
          --name <NAME>                  What people know the key by [default: bootstrap]
          --subject <SUBJECT>            Who calls with it [default: admin]
          --log <LOG>                    What to log, as in `info` or `warn,quire=debug` [env: QUIRE_LOG=] [default: info,sqlx=warn]
      -h, --help                         Print help
      -V, --version                      Print version
    ");
    insta::assert_snapshot!(help(&["keys", "create", "--help"]), @"
    Make a key, with no more scopes than the one that it is made with. Its secret is printed, this once

    Usage: quire keys create [OPTIONS] --name <NAME> --subject <SUBJECT> --scopes <SCOPES>

    Options:
          --server <SERVER>        The server [env: QUIRE_SERVER=] [default: http://127.0.0.1:50051]
          --api-key <API_KEY>      The secret of an API key, if the server has authentication: better given by the environment than by an argument, which others can see [env: QUIRE_API_KEY]
          --workspace <WORKSPACE>  The workspace to work in, if the server has no authentication [env: QUIRE_WORKSPACE=] [default: default]
          --tls-ca <TLS_CA>        A file with the certificates of the authorities, in PEM, that the server's may be of [default: those of the system] [env: QUIRE_TLS_CA=]
          --tls-cert <TLS_CERT>    A file with the client's certificate, in PEM, if the server asks for one [env: QUIRE_TLS_CERT=]
          --tls-key <TLS_KEY>      A file with the certificate's private key, in PEM [env: QUIRE_TLS_KEY=]
          --name <NAME>            What people know the key by
          --subject <SUBJECT>      Who calls with it
          --scopes <SCOPES>        What may be done with it, as in `memory:read,memory:write`
          --expire-in <EXPIRE_IN>  When it ends, as in `90d`; left out, never
          --log <LOG>              What to log, as in `info` or `warn,quire=debug` [env: QUIRE_LOG=] [default: info,sqlx=warn]
      -h, --help                   Print help
      -V, --version                Print version
    ");
    insta::assert_snapshot!(help(&["migrate", "--help"]), @"
    Bring the schema of a database up to date, which `serve` does as well

    Usage: quire migrate [OPTIONS] --database-url <DATABASE_URL>

    Options:
          --database-url <DATABASE_URL>  The Postgres database to migrate, as in `postgres://user@host/name` [env: DATABASE_URL]
          --log <LOG>                    What to log, as in `info` or `warn,quire=debug` [env: QUIRE_LOG=] [default: info,sqlx=warn]
      -h, --help                         Print help
      -V, --version                      Print version
    ");
    insta::assert_snapshot!(help(&["--help"]), @"
    gRPC services over Postgres whose every list is paged the same way

    Usage: quire [OPTIONS] <COMMAND>

    Commands:
      serve     Serve the services, with gRPC health and reflection
      migrate   Bring the schema of a database up to date, which `serve` does as well
      prompts   Work with the prompts of a server that runs
      memories  Work with the memories of a server that runs
      agents    Work with the agents of a server that runs
      usage     Work with the usage records of a server that runs
      jobs      Work with the jobs of a server that runs
      keys      Make, list and revoke API keys
      help      Print this message or the help of the given subcommand(s)

    Options:
          --log <LOG>  What to log, as in `info` or `warn,quire=debug` [env: QUIRE_LOG=] [default: info,sqlx=warn]
      -h, --help       Print help
      -V, --version    Print version
    ");
    insta::assert_snapshot!(help(&["usage", "--help"]), @"
    Work with the usage records of a server that runs

    Usage: quire usage [OPTIONS] <COMMAND>

    Commands:
      import  Create them from a file that has one on each line, in protobuf's JSON: a UsageRecord. Identical existing records are skipped: an import that was cut off is simply run again
      help    Print this message or the help of the given subcommand(s)

    Options:
          --log <LOG>  What to log, as in `info` or `warn,quire=debug` [env: QUIRE_LOG=] [default: info,sqlx=warn]
      -h, --help       Print help
      -V, --version    Print version
    ");
    for (noun, message) in [
        ("memories", "StoreMemoryRequest"),
        ("agents", "RegisterAgentRequest"),
        ("usage", "UsageRecord"),
        ("jobs", "CreateJobRequest"),
    ] {
        let help = help(&[noun, "import", "--help"]);
        assert!(help.contains(&format!("in protobuf's JSON: a {message}. ")), "{help}");
    }
    insta::assert_snapshot!(help(&["prompts", "import", "--help"]), @"
    Create them from a file that has one on each line, in protobuf's JSON: a CreatePromptRequest. Identical existing records are skipped: an import that was cut off is simply run again

    Usage: quire prompts import [OPTIONS] <FILE>

    Arguments:
      <FILE>  The file, or `-` for standard input

    Options:
          --server <SERVER>        The server [env: QUIRE_SERVER=] [default: http://127.0.0.1:50051]
          --api-key <API_KEY>      The secret of an API key, if the server has authentication: better given by the environment than by an argument, which others can see [env: QUIRE_API_KEY]
          --workspace <WORKSPACE>  The workspace to work in, if the server has no authentication [env: QUIRE_WORKSPACE=] [default: default]
          --tls-ca <TLS_CA>        A file with the certificates of the authorities, in PEM, that the server's may be of [default: those of the system] [env: QUIRE_TLS_CA=]
          --tls-cert <TLS_CERT>    A file with the client's certificate, in PEM, if the server asks for one [env: QUIRE_TLS_CERT=]
          --tls-key <TLS_KEY>      A file with the certificate's private key, in PEM [env: QUIRE_TLS_KEY=]
          --log <LOG>              What to log, as in `info` or `warn,quire=debug` [env: QUIRE_LOG=] [default: info,sqlx=warn]
      -h, --help                   Print help
      -V, --version                Print version
    ");
}
