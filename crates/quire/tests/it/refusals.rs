//! Errors of the program: one line that says what to do, and exit code 1. Also the help texts.
use std::{
    fs,
    net::TcpListener,
    path::Path,
    process::{Command, Output},
};

use crate::support::{DataDir, KeyFile, Program, Server, free_address, quire, write_secret};
use platform::testing::TOKEN_KEYS;

/// The error line of a command that must fail.
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
async fn a_port_in_use_is_refused() {
    let data_dir = DataDir::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let mut command = quire(&["serve", "--listen", &address.to_string(), "--data-dir"]);
    command.arg(data_dir.path());
    let expected =
        format!("{address} is in use: stop the program that listens there, or choose another address with --listen");
    assert_eq!(refusal(command).await, expected);
    assert!(!data_dir.path().exists(), "nothing is created before the port is bound");
}

#[tokio::test]
async fn a_public_address_requires_authentication() {
    let loopback = free_address().to_string();
    for (address, arguments) in [
        ("0.0.0.0:50051", ["--listen", "0.0.0.0:50051"].as_slice()),
        ("[::]:50051", &["--listen", "[::]:50051"]),
        ("0.0.0.0:50052", &["--listen", &loopback, "--admin-listen", "0.0.0.0:50052"]),
    ] {
        let expected = format!(
            "{address} is not a loopback address, which requires authentication: listen on 127.0.0.1, or set --signing-keys to \
             a file made with `openssl genpkey -algorithm ed25519`"
        );
        let mut command = quire(&["serve"]);
        command.args(arguments);
        assert_eq!(refusal(command).await, expected);
    }
}

#[tokio::test]
async fn a_public_admin_address_requires_tls_or_consent() {
    let keys = KeyFile::new();
    let arguments = ["--admin-listen", "0.0.0.0:50052", "--signing-keys", keys.path(), "--token-keys", TOKEN_KEYS];
    assert_eq!(
        refusal(serve(&arguments)).await,
        "0.0.0.0:50052 is not a loopback address, and the admin port would send metrics in plain text to everybody: use TLS \
         with --admin-tls, or accept that with --admin-insecure"
    );
    let tls = [&arguments[..], &["--admin-tls"]].concat();
    assert_eq!(refusal(serve(&tls)).await, "--admin-tls needs --tls-cert and --tls-key");
    // The next error is another one.
    let accepted = [&arguments[..], &["--admin-insecure", "--database-url", "nothing"]].concat();
    let message = refusal(serve(&accepted)).await;
    assert!(message.contains("the database URL is not valid"), "{message}");
}

#[tokio::test]
async fn invalid_signing_keys_are_refused() {
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
        (&key.pem.repeat(2), "a signing key appears twice"),
        (&(key.pem.clone() + &key.public()), "a signing key appears twice"),
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
    // The first server is still running.
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
    // PATH can be emptied, but these directories are always searched.
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
    let expected = "with a database URL, --token-keys (or QUIRE_TOKEN_KEYS) or --token-keys-file is required: id:base64, with \
         a key from `openssl rand -base64 32`; every server needs the same keys";
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
    assert!(message.starts_with("the database URL is not valid: "), "{message}");
    assert!(message.ends_with("; write it as postgres://user@host/name"), "{message}");
    assert!(!message.contains("hidden"), "{message}");
}

#[tokio::test]
async fn an_invalid_database_url_is_refused() {
    for url in ["", "hidden/name", "postgres://user:hidden@127.0.0.1:port/name"] {
        assert_is_no_database_url(url).await;
    }
}

#[tokio::test]
async fn the_url_of_another_database_system_is_refused() {
    // If the scheme were not checked, both would connect to a Postgres, the second to the one on this machine.
    assert_is_no_database_url(&format!("mysql://user:hidden@{}/name", free_address())).await;
    assert_is_no_database_url("user:hidden@host").await;
}

#[tokio::test]
async fn a_file_that_does_not_hold_token_keys() {
    let data_dir = DataDir::new();
    fs::create_dir_all(data_dir.path()).unwrap();
    write_secret(data_dir.file("token-keys"), "1:aGlkZGVu\n");
    // Log lines would not be part of the error.
    let mut command = serve(&["--log", "error", "--data-dir"]);
    command.arg(data_dir.path());
    let expected = format!(
        "{}/token-keys does not hold token keys (a token key is 32 bytes in base64; make one with: openssl rand -base64 \
         32): restore the file; with other keys, all page tokens become invalid",
        data_dir.path().display()
    );
    assert_eq!(refusal(command).await, expected);
    assert!(!data_dir.file("postgres").exists(), "Postgres is not started");
    assert_eq!(fs::read_to_string(data_dir.file("token-keys")).unwrap(), "1:aGlkZGVu\n");
}

#[test]
fn invalid_token_keys_are_refused() {
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
            if keys.is_empty() && !is_argument {
                // An empty variable is an unset one.
                continue;
            }
            // The address is refused too, so that if the keys were accepted, the test would fail instead of serving.
            let mut command = quire(&["serve", "--listen", "0.0.0.0:50051"]);
            if is_argument {
                command.arg("--token-keys").arg(keys);
            } else {
                command.env("QUIRE_TOKEN_KEYS", keys);
            }
            let Output { status, stderr, .. } = command.output().unwrap();
            let stderr = String::from_utf8(stderr).unwrap();
            assert!(!status.success() && stderr.contains(reason), "{keys}: {stderr}");
            // The secret could end up in a log.
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
          --listen <LISTEN>                        The address to listen on. Without signing keys it must be a loopback address [env: QUIRE_LISTEN=] [default: 127.0.0.1:50051]
          --services <SERVICES>                    The services to serve [env: QUIRE_SERVICES=] [default: prompts memory registry meter identity jobs] [possible values: prompts, memory, registry, meter, identity, jobs]
          --admin-listen <ADMIN_LISTEN>            An address for operators: /metrics for Prometheus, /healthz, /readyz, and /.well-known/jwks.json. Without signing keys it must be a loopback address [env: QUIRE_ADMIN_LISTEN=]
          --admin-tls                              Use TLS on the admin port, with the certificate of the server. Clients of the admin port need no certificate [env: QUIRE_ADMIN_TLS=]
          --admin-insecure                         Allow an admin address that is not a loopback address without TLS [env: QUIRE_ADMIN_INSECURE=]
          --signing-keys <SIGNING_KEYS>            A PEM file with the Ed25519 keys of access tokens: the first private key signs, and all keys verify. With this file, every call needs a credential. SIGHUP reloads it [env: QUIRE_SIGNING_KEYS=]
          --audience <AUDIENCE>                    The audience of access tokens. Servers accept only tokens with their own audience. Without it, servers of the same database have the same one, which is stored there; give it to servers of other databases to share tokens with them [env: QUIRE_AUDIENCE=]
          --reflection <REFLECTION>                Who may use reflection, which describes the services: callers with an access token, if there are signing keys, or everybody, or nobody [env: QUIRE_REFLECTION=] [default: authenticated] [possible values: authenticated, open, off]
          --tls-cert <TLS_CERT>                    A PEM file with the server's certificate chain. With this file, the server uses TLS. SIGHUP reloads the files of TLS [env: QUIRE_TLS_CERT=]
          --tls-key <TLS_KEY>                      A PEM file with the private key of the certificate [env: QUIRE_TLS_KEY=]
          --tls-client-ca <TLS_CLIENT_CA>          A PEM file with certificate authorities. With this file, every client needs a certificate from one of them [env: QUIRE_TLS_CLIENT_CA=]
          --database-url <DATABASE_URL>            The Postgres database, as in `postgres://user@host/name`. Without it, a private Postgres is started [env: DATABASE_URL]
          --data-dir <DATA_DIR>                    Where the private Postgres keeps its data [default: /var/lib/quire for root, otherwise ~/.local/share/quire] [env: QUIRE_DATA_DIR=]
          --token-keys <TOKEN_KEYS>                The keys of page tokens, as `id:base64,…`, with 32 bytes each: the first encrypts, and all decrypt. Required with a database URL. Otherwise a key is created and stored in the data directory [env: QUIRE_TOKEN_KEYS]
          --token-keys-file <FILE>                 A file with the keys of page tokens, instead of `--token-keys`. SIGHUP reloads it [env: QUIRE_TOKEN_KEYS_FILE=]
          --token-ttl <TOKEN_TTL>                  How long a page token is valid [env: QUIRE_TOKEN_TTL=] [default: 72h]
          --token-version <TOKEN_VERSION>          The version of page tokens to write, 2 or 3. Use 2 while servers of the previous release are running, because they refuse version 3 [env: QUIRE_TOKEN_VERSION=] [default: 3]
          --drain-timeout <DRAIN_TIMEOUT>          How long calls in flight may take to finish after the server is told to stop [env: QUIRE_DRAIN_TIMEOUT=] [default: 30s]
          --sample                                 Load samples into the workspace `default`. Kinds of records that it already has are skipped [env: QUIRE_SAMPLE=]
          --audit-log <FILE>                       A file for the audit log, one JSON object on each line [default: the log, as lines of `audit`] [env: QUIRE_AUDIT_LOG=]
          --audit-log-size <MIB>                   How large a file of the audit log may become, in MiB. Then it is renamed to FILE.1 [env: QUIRE_AUDIT_LOG_SIZE=] [default: 64]
          --audit-log-files <NUMBER>               How many files the audit log may have. The oldest is overwritten [env: QUIRE_AUDIT_LOG_FILES=] [default: 8]
          --otlp-endpoint <URL>                    An OpenTelemetry collector that gets spans of calls and statements by OTLP over gRPC, as in http://127.0.0.1:4317 [env: QUIRE_OTLP_ENDPOINT=]
          --otlp-sample-ratio <RATIO>              How many of the traces to export, from 0 to 1 [env: QUIRE_OTLP_SAMPLE_RATIO=] [default: 1]
          --session-retention <SESSION_RETENTION>  How long sessions are kept after they expired or were revoked [env: QUIRE_SESSION_RETENTION=] [default: 30d]
          --api-key-retention <API_KEY_RETENTION>  How long API keys are kept after they expired or were revoked. A key is kept as long as its sessions and the keys that were made with it [env: QUIRE_API_KEY_RETENTION=] [default: 90d]
          --agent-retention <AGENT_RETENTION>      How long agents are kept that are offline, after their last heartbeat. Without this, they are kept [env: QUIRE_AGENT_RETENTION=]
          --log <LOG>                              What to log, as in `info` or `warn,quire=debug` [env: QUIRE_LOG=] [default: info,sqlx=warn]
      -h, --help                                   Print help
      -V, --version                                Print version

    Limits:
          --max-connections <NUMBER>                 The maximum number of connections to the database [env: QUIRE_MAX_CONNECTIONS=] [default: 16]
          --tenant-connections <PERCENT>             How much of these connections one workspace may hold, in percent [env: QUIRE_TENANT_CONNECTIONS=] [default: 75]
          --slow-connections <PERCENT>               How much of these connections one workspace may hold with slow statements, in percent. Beyond that, they are stopped when another workspace waits [env: QUIRE_SLOW_CONNECTIONS=] [default: 25]
          --slow-after <SLOW_AFTER>                  How long a statement runs until it counts as slow [env: QUIRE_SLOW_AFTER=] [default: 500ms]
          --statement-timeout <STATEMENT_TIMEOUT>    How long a statement may run in Postgres. Then its call gets RESOURCE_EXHAUSTED [env: QUIRE_STATEMENT_TIMEOUT=] [default: 10s]
          --lock-timeout <LOCK_TIMEOUT>              How long a statement may wait for a lock that another call holds. Then its call gets ABORTED [env: QUIRE_LOCK_TIMEOUT=] [default: 2s]
          --call-memory <MIB>                        How much memory the messages and the unread answers of all calls in flight may take, in MiB [env: QUIRE_CALL_MEMORY=] [default: 512]
          --tenant-memory <MIB>                      How much of that the calls of one workspace may take, and all calls without a credential together, in MiB [env: QUIRE_TENANT_MEMORY=] [default: 128]
          --address-memory <MIB>                     How much of that the calls without a credential from one address may take, in MiB [env: QUIRE_ADDRESS_MEMORY=] [default: 16]
          --connection-memory <MIB>                  How much of that the calls on one client connection may take, in MiB [env: QUIRE_CONNECTION_MEMORY=] [default: 64]
          --sessions-per-minute <NUMBER>             How many sessions one API key may create in a minute, and how often one session may be refreshed [env: QUIRE_SESSIONS_PER_MINUTE=] [default: 60]
          --failures-per-minute <NUMBER>             How many wrong secrets an address may send in a minute until it gets RESOURCE_EXHAUSTED [env: QUIRE_FAILURES_PER_MINUTE=] [default: 20]
          --call-timeout <CALL_TIMEOUT>              How long a call may take, including its message, even if its `grpc-timeout` is longer [env: QUIRE_CALL_TIMEOUT=] [default: 60s]
          --connection-calls <NUMBER>                How many calls can be in flight on a client connection [env: QUIRE_CONNECTION_CALLS=] [default: 100]
          --max-client-connections <NUMBER>          How many clients can be connected. It is lowered if the process may open fewer files [env: QUIRE_MAX_CLIENT_CONNECTIONS=] [default: 4096]
          --max-address-connections <NUMBER>         How many clients can be connected from one IPv4 address, or one /64 network of IPv6. Behind a proxy, all clients have its address [default: a quarter of all] [env: QUIRE_MAX_ADDRESS_CONNECTIONS=]
          --connection-timeout <CONNECTION_TIMEOUT>  How long a client may take for the TLS handshake, and then until its first call. Then it is disconnected [env: QUIRE_CONNECTION_TIMEOUT=] [default: 10s]
          --stall-timeout <STALL_TIMEOUT>            How long a client may take nothing of an answer. Then the call ends, and if nothing else was taken, the client is disconnected [env: QUIRE_STALL_TIMEOUT=] [default: 30s]
          --idle-timeout <IDLE_TIMEOUT>              How long a connection may have no call. Then the client is asked to close it [env: QUIRE_IDLE_TIMEOUT=] [default: 5m]
          --connection-age <CONNECTION_AGE>          How old a connection may become, more or less a tenth. Then the client is asked to close it [env: QUIRE_CONNECTION_AGE=] [default: 1h]
          --stream-age <STREAM_AGE>                  How old a stream of health may become. Then it gets UNAVAILABLE. A stream of reflection gets it after the time of a call [env: QUIRE_STREAM_AGE=] [default: 1h]
    ");
    insta::assert_snapshot!(help(&["keys", "--help"]), @"
    Work with the api keys of a running server

    Usage: quire keys [OPTIONS] <COMMAND>

    Commands:
      list       List the api keys
      delete     Revoke an API key, all keys that were made with it, directly or through other keys, and the sessions of all of them [alias: revoke]
      bootstrap  Create the first key of a workspace, with every scope. Run it on the machine that has the database. The secret is printed only once
      create     Create a key. It can have only scopes of the key that creates it. The secret is printed only once
      help       Print this message or the help of the given subcommand(s)

    Options:
          --log <LOG>  What to log, as in `info` or `warn,quire=debug` [env: QUIRE_LOG=] [default: info,sqlx=warn]
      -h, --help       Print help
      -V, --version    Print version
    ");
    insta::assert_snapshot!(help(&["keys", "bootstrap", "--help"]), @"
    Create the first key of a workspace, with every scope. Run it on the machine that has the database. The secret is printed only once

    Usage: quire keys bootstrap [OPTIONS]

    Options:
          --database-url <DATABASE_URL>  The Postgres database, as in `postgres://user@host/name`. Without it, a private Postgres is started [env: DATABASE_URL]
          --data-dir <DATA_DIR>          Where the private Postgres keeps its data [default: /var/lib/quire for root, otherwise ~/.local/share/quire] [env: QUIRE_DATA_DIR=]
          --workspace <WORKSPACE>        The workspace [env: QUIRE_WORKSPACE=] [default: default]
          --name <NAME>                  The name of the key, for people [default: bootstrap]
          --subject <SUBJECT>            The subject of the key: the program or person that uses it [default: admin]
          --log <LOG>                    What to log, as in `info` or `warn,quire=debug` [env: QUIRE_LOG=] [default: info,sqlx=warn]
      -h, --help                         Print help
      -V, --version                      Print version
    ");
    insta::assert_snapshot!(help(&["keys", "create", "--help"]), @"
    Create a key. It can have only scopes of the key that creates it. The secret is printed only once

    Usage: quire keys create [OPTIONS] --name <NAME> --subject <SUBJECT> --scopes <SCOPES>

    Options:
          --server <SERVER>        The server [env: QUIRE_SERVER=] [default: http://127.0.0.1:50051]
          --api-key <API_KEY>      The secret of an API key, if the server has authentication. Use the environment variable, because other users can see arguments [env: QUIRE_API_KEY]
          --workspace <WORKSPACE>  The workspace. It is for a server without authentication; otherwise the API key decides [env: QUIRE_WORKSPACE=] [default: default]
          --tls-ca <TLS_CA>        A PEM file with the certificate authorities to trust for the server [default: those of the system] [env: QUIRE_CLIENT_TLS_CA=]
          --tls-cert <TLS_CERT>    A PEM file with the client's certificate chain, if the server requires one [env: QUIRE_CLIENT_TLS_CERT=]
          --tls-key <TLS_KEY>      A PEM file with the private key of the certificate [env: QUIRE_CLIENT_TLS_KEY=]
          --name <NAME>            The name of the key, for people
          --subject <SUBJECT>      The subject of the key: the program or person that uses it
          --scopes <SCOPES>        The scopes of the key, as in `memory:read,memory:write`
          --expire-in <EXPIRE_IN>  How long the key is valid, as in `90d`. Without it, the key does not expire
          --log <LOG>              What to log, as in `info` or `warn,quire=debug` [env: QUIRE_LOG=] [default: info,sqlx=warn]
      -h, --help                   Print help
      -V, --version                Print version
    ");
    insta::assert_snapshot!(help(&["migrate", "--help"]), @"
    Migrate a database; `serve` does this too when it starts

    Usage: quire migrate [OPTIONS] --database-url <DATABASE_URL>

    Options:
          --database-url <DATABASE_URL>  The Postgres database, as in `postgres://user@host/name` [env: DATABASE_URL]
          --log <LOG>                    What to log, as in `info` or `warn,quire=debug` [env: QUIRE_LOG=] [default: info,sqlx=warn]
      -h, --help                         Print help
      -V, --version                      Print version
    ");
    insta::assert_snapshot!(help(&["--help"]), @"
    gRPC services over Postgres; all their lists are paged the same way

    Usage: quire [OPTIONS] <COMMAND>

    Commands:
      serve        Serve the services, with gRPC health and reflection
      migrate      Migrate a database; `serve` does this too when it starts
      agents       Work with the agents of a running server
      deployments  Work with the deployments of a running server
      events       Work with the job events of a running server [alias: job-events]
      jobs         Work with the jobs of a running server
      keys         Work with the api keys of a running server [alias: api-keys]
      labels       Work with the labels of a running server
      memories     Work with the memories of a running server
      prompts      Work with the prompts of a running server
      sessions     Work with the sessions of a running server
      usage        Work with the usage of a running server
      versions     Work with the prompt versions of a running server [alias: prompt-versions]
      exporter     Serve Prometheus metrics of a server's jobs, which are read from the server when Prometheus scrapes them
      completions  Print a script that completes this program's commands and flags in a shell
      man          Print the manual page of the program, or write the pages of all commands to a directory
      help         Print this message or the help of the given subcommand(s)

    Options:
          --log <LOG>
              What to log, as in `info` or `warn,quire=debug`
              
              [env: QUIRE_LOG=]
              [default: info,sqlx=warn]

      -h, --help
              Print help (see a summary with '-h')

      -V, --version
              Print version

    Exit status:
      0    done, also when a signal has stopped a server
      1    failed, with the reason on standard error
      2    the command line is not valid
      130  interrupted by SIGINT (143 by SIGTERM)
    ");
    insta::assert_snapshot!(help(&["usage", "--help"]), @"
    Work with the usage of a running server

    Usage: quire usage [OPTIONS] <COMMAND>

    Commands:
      list       List the usage
      summarize  Sum the usage of a time range by groups, one page of groups at a time
      import     Import records from a file with one UsageRecord on each line, in protobuf's JSON. Records that are identical to an existing record or to an earlier line are skipped, so an interrupted import can be run again
      export     Export all usage records to a file that `import` reads, with one UsageRecord on each line, in protobuf's JSON. While the export runs, the rows are in FILE.partial. What the service sets is not exported: id, create_time
      help       Print this message or the help of the given subcommand(s)

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
        assert!(help.contains(&format!("with one {message} on each line")), "{help}");
    }
    insta::assert_snapshot!(help(&["prompts", "import", "--help"]), @"
    Import records from a file with one CreatePromptRequest on each line, in protobuf's JSON. Records that are identical to an existing record or to an earlier line are skipped, so an interrupted import can be run again

    Usage: quire prompts import [OPTIONS] <FILE>

    Arguments:
      <FILE>  The file, or `-` for standard input

    Options:
          --server <SERVER>        The server [env: QUIRE_SERVER=] [default: http://127.0.0.1:50051]
          --api-key <API_KEY>      The secret of an API key, if the server has authentication. Use the environment variable, because other users can see arguments [env: QUIRE_API_KEY]
          --workspace <WORKSPACE>  The workspace. It is for a server without authentication; otherwise the API key decides [env: QUIRE_WORKSPACE=] [default: default]
          --tls-ca <TLS_CA>        A PEM file with the certificate authorities to trust for the server [default: those of the system] [env: QUIRE_CLIENT_TLS_CA=]
          --tls-cert <TLS_CERT>    A PEM file with the client's certificate chain, if the server requires one [env: QUIRE_CLIENT_TLS_CERT=]
          --tls-key <TLS_KEY>      A PEM file with the private key of the certificate [env: QUIRE_CLIENT_TLS_KEY=]
          --log <LOG>              What to log, as in `info` or `warn,quire=debug` [env: QUIRE_LOG=] [default: info,sqlx=warn]
      -h, --help                   Print help
      -V, --version                Print version
    ");
}
