//! What the program refuses: one line that says what to do, and exit code 1. And the help that says it beforehand.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::{
    fs,
    net::TcpListener,
    path::Path,
    process::{Command, Output},
};

use platform::testing::TOKEN_KEYS;
use support::{DataDir, Program, Server, free_address, quire};

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
    for listen in ["0.0.0.0:50051", "[::]:50051"] {
        let expected = format!(
            "{listen} is not a loopback address, and without authentication nothing else is served: listen on 127.0.0.1"
        );
        assert_eq!(refusal(quire(&["serve", "--listen", listen])).await, expected);
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
        let Output { status, stdout, .. } = command.output().unwrap();
        assert!(status.success());
        String::from_utf8(stdout).unwrap()
    };
    insta::assert_snapshot!(help(&["serve", "--help"]), @r"
    Serve the services, with gRPC health and reflection

    Usage: quire serve [OPTIONS]

    Options:
          --listen <LISTEN>                The address to listen on; it must be a loopback address [env: QUIRE_LISTEN=] [default: 127.0.0.1:50051]
          --database-url <DATABASE_URL>    The Postgres database to use, as in `postgres://user@host/name`; without one, a private Postgres is started [env: DATABASE_URL]
          --data-dir <DATA_DIR>            Where the private Postgres keeps its data [default: /var/lib/quire for root, otherwise ~/.local/share/quire] [env: QUIRE_DATA_DIR=]
          --log <LOG>                      What to log, as in `info` or `warn,quire=debug` [env: QUIRE_LOG=] [default: info,sqlx=warn]
          --token-keys <TOKEN_KEYS>        The keys that seal page tokens, as `id:base64,…`, each of 32 bytes: the first seals, all open. Required with a database URL; otherwise one is made and kept in the data directory [env: QUIRE_TOKEN_KEYS]
          --token-ttl <TOKEN_TTL>          How long a page token can be used [env: QUIRE_TOKEN_TTL=] [default: 72h]
          --token-version <TOKEN_VERSION>  The version of page tokens to write, 1 or 2. While servers of the release before are in use, which read no other, write 1 [env: QUIRE_TOKEN_VERSION=] [default: 2]
          --drain-timeout <DRAIN_TIMEOUT>  How long calls in flight may take to finish once the server is told to stop [env: QUIRE_DRAIN_TIMEOUT=] [default: 30s]
          --sample                         Load sample prompts into the workspace `default` if it has none [env: QUIRE_SAMPLE=]
      -h, --help                           Print help
      -V, --version                        Print version
    ");
    insta::assert_snapshot!(help(&["migrate", "--help"]), @r"
    Bring the schema of a database up to date, which `serve` does as well

    Usage: quire migrate [OPTIONS] --database-url <DATABASE_URL>

    Options:
          --database-url <DATABASE_URL>  The Postgres database to migrate, as in `postgres://user@host/name` [env: DATABASE_URL]
          --log <LOG>                    What to log, as in `info` or `warn,quire=debug` [env: QUIRE_LOG=] [default: info,sqlx=warn]
      -h, --help                         Print help
      -V, --version                      Print version
    ");
    insta::assert_snapshot!(help(&["prompts", "import", "--help"]), @r"
    Make prompts from a file that has a CreatePrompt request on each line, in protobuf's JSON. Prompts that are there already, and the same, are passed over: an import that was cut off is simply run again

    Usage: quire prompts import [OPTIONS] <FILE>

    Arguments:
      <FILE>  The file, or `-` for standard input

    Options:
          --server <SERVER>        The server [env: QUIRE_SERVER=] [default: http://127.0.0.1:50051]
          --workspace <WORKSPACE>  The workspace to make the prompts in [env: QUIRE_WORKSPACE=] [default: default]
          --log <LOG>              What to log, as in `info` or `warn,quire=debug` [env: QUIRE_LOG=] [default: info,sqlx=warn]
      -h, --help                   Print help
      -V, --version                Print version
    ");
}
