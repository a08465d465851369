//! The environment of the program, and process 1.
use std::{collections::BTreeSet, ffi::OsStr, fs, os::unix::ffi::OsStrExt, process::Command};

use crate::support::{DataDir, Program, Server, database, eventually, free_address, make, names, quire};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// Every variable of libpq, and others that libraries read.
const VARIABLES: [&str; 46] = [
    "HOME",
    "LANG",
    "LC_ALL",
    "LOGNAME",
    "NO_COLOR",
    "PGAPPNAME",
    "PGCHANNELBINDING",
    "PGCLIENTENCODING",
    "PGCONNECT_TIMEOUT",
    "PGDATA",
    "PGDATABASE",
    "PGDATESTYLE",
    "PGGEQO",
    "PGGSSDELEGATION",
    "PGGSSENCMODE",
    "PGGSSLIB",
    "PGHOST",
    "PGHOSTADDR",
    "PGKRBSRVNAME",
    "PGLOADBALANCEHOSTS",
    "PGOPTIONS",
    "PGPASSFILE",
    "PGPASSWORD",
    "PGPORT",
    "PGREQUIREAUTH",
    "PGREQUIREPEER",
    "PGREQUIRESSL",
    "PGSERVICE",
    "PGSERVICEFILE",
    "PGSSLCERT",
    "PGSSLCERTMODE",
    "PGSSLCOMPRESSION",
    "PGSSLCRL",
    "PGSSLKEY",
    "PGSSLMAXPROTOCOLVERSION",
    "PGSSLMINPROTOCOLVERSION",
    "PGSSLMODE",
    "PGSSLROOTCERT",
    "PGSYSCONFDIR",
    "PGTARGETSESSIONATTRS",
    "PGTZ",
    "PGUSER",
    "RUST_LOG",
    "TMPDIR",
    "TZ",
    "XDG_DATA_HOME",
];

/// What the program writes, to either stream.
fn output(mut command: Command) -> String {
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    format!("{}: {}{}", output.status, text(output.stdout), text(output.stderr))
}

/// Every command, and the variables of its arguments, from its help.
fn commands(of: &[String]) -> Vec<(Vec<String>, BTreeSet<String>)> {
    let help = output(quire(&[of, &["--help".to_owned()]].concat()));
    let subcommands = help.split_once("\nCommands:\n").map_or("", |(_, rest)| rest.split("\n\n").next().unwrap());
    let subcommands =
        subcommands.lines().filter_map(|line| line.strip_prefix("  ")).filter(|line| !line.starts_with(' '));
    let subcommands: Vec<&str> = subcommands.filter_map(|line| line.split(' ').next()).collect();
    if subcommands.is_empty() {
        let names = help.split("[env:").skip(1).map(|rest| rest.split(['=', ']']).next().unwrap());
        let variables = names.map(|name| name.trim().to_owned());
        return vec![(of.to_vec(), variables.collect())];
    }
    let others = subcommands.into_iter().filter(|name| *name != "help");
    others.flat_map(|name| commands(&[of, &[name.to_owned()]].concat())).collect()
}

/// As many arguments as the command requires, which are at most two.
fn identity(command: &[String]) -> &'static [&'static str] {
    let help = output(quire(&[command, &["--help".to_owned()]].concat()));
    let usage = help.lines().find(|line| line.starts_with("Usage: ")).unwrap();
    &["1", "2"][..usage.matches(" <").count()]
}

/// Arguments with which a command fails early, in two ways, so that no variable is hidden by its argument in both.
fn failing(command: &[String]) -> Vec<Vec<&'static str>> {
    let (also, ways): (&[&str], [&[&str]; 2]) = match command.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve"] => (&[], [&["--token-keys", "x"], &["--signing-keys", "/dev/null/x"]]),
        ["migrate"] => (&[], [&[], &[]]),
        ["keys", "bootstrap"] => (&[], [&["--database-url", "x"], &["--data-dir", "/dev/null/x"]]),
        ["keys", "create"] => (
            &["--name", "x", "--subject", "x", "--scopes", "x"],
            [&["--server", "http://127.0.0.1:1"], &["--workspace", "!"]],
        ),
        ["exporter"] => (&[], [&["--listen", "0.0.0.0:1"], &["--otlp-endpoint", "x"]]),
        ["completions"] => (&["no-shell"], [&[], &[]]),
        ["man"] => (&["/dev/null/x"], [&[], &[]]),
        [_, "import" | "export"] => (&["/dev/null"], [&["--server", "http://127.0.0.1:1"], &["--workspace", "!"]]),
        // The commands that follow from the descriptors.
        [_, _] => (identity(command), [&["--server", "http://127.0.0.1:1"], &["--workspace", "!"]]),
        _ => panic!("add the arguments with which {command:?} fails"),
    };
    ways.map(|way| [also, way].concat()).to_vec()
}

#[test]
fn an_empty_variable_is_an_unset_one() {
    let commands = commands(&[]);
    assert!(commands.len() > 8, "{commands:?}");
    for (command, variables) in commands {
        assert!(variables.contains("QUIRE_LOG"), "{command:?} has no variables");
        for arguments in failing(&command) {
            let run = || {
                let mut program = quire(&command);
                program.args(&arguments);
                program
            };
            let mut with_empty = run();
            with_empty.envs(variables.iter().map(|name| (name, "")));
            assert_eq!(output(with_empty), output(run()), "{command:?} {arguments:?}");
        }
    }
}

#[test]
fn a_variable_that_is_not_utf8_is_named() {
    let mut command = quire(&["keys", "list", "--server", "http://127.0.0.1:1"]);
    command.env("QUIRE_WORKSPACE", OsStr::from_bytes(b"\xff"));
    let refused = output(command);
    assert!(refused.contains("error: these variables are not UTF-8: QUIRE_WORKSPACE\n"), "{refused}");
}

/// They make tokio panic, and the threads of other libraries overflow their stacks.
#[tokio::test]
async fn no_variable_changes_the_threads() {
    for value in ["0", "many"] {
        let data_dir = DataDir::new();
        let mut command = quire(&["serve", "--otlp-endpoint", "http://127.0.0.1:1", "--data-dir"]);
        command.arg(data_dir.path()).env("TOKIO_WORKER_THREADS", value).env("RUST_MIN_STACK", value);
        let mut server = Server::start(command);
        make(&server.client().await, "any").await.unwrap();
        assert_eq!(server.program.stop().await, Some(0), "{value}: {}", server.program.stderr());
    }
}

#[tokio::test]
async fn no_variable_reaches_the_private_postgres() {
    for value in ["", "/nonsense"] {
        let data_dir = DataDir::new();
        let bootstrap = || {
            let mut command = quire(&["keys", "bootstrap", "--data-dir"]);
            command.arg(data_dir.path()).envs(VARIABLES.map(|name| (name, value)));
            tokio::task::spawn_blocking(move || output(command))
        };
        let stopped = bootstrap().await.unwrap();
        assert!(stopped.contains("quire-key_"), "{stopped}");

        let mut command = quire(&["serve"]);
        command.arg("--data-dir").arg(data_dir.path()).envs(VARIABLES.map(|name| (name, value)));
        let mut server = Server::start(command);
        make(&server.client().await, "any").await.unwrap();
        let running = bootstrap().await.unwrap();
        assert!(running.contains("quire-key_"), "{running}");
        assert_eq!(server.program.stop().await, Some(0));
    }
}

#[tokio::test]
async fn variables_complete_a_database_url() {
    let (database, url) = database().await;
    let rest = url.split_once('?').map_or("", |(_, rest)| rest);
    let migrate = |url: &str, variables: &[(&str, &str)]| {
        let mut command = quire(&["migrate", "--database-url", url]);
        command.envs(variables.iter().copied());
        tokio::task::spawn_blocking(move || output(command))
    };
    let user = database.get_username().to_owned();
    let host = database.get_socket().unwrap().to_str().unwrap().to_owned();
    let short = format!("postgres:///{}?{rest}", database.get_database().unwrap());
    let done = migrate(&short, &[("PGUSER", &user), ("PGHOST", &host)]).await.unwrap();
    assert!(done.starts_with("exit status: 0"), "{done}");
    for (name, value) in [("PGSSLMODE", "verify_full"), ("PGPORT", "many")] {
        let refused = migrate(&url, &[(name, value)]).await.unwrap();
        let expected = format!("quire: the variable {name}, which completes the database URL, is not valid: {value}\n");
        assert!(refused.ends_with(&expected), "{refused}");
    }
}

/// The children of a process.
fn children(parent: i32) -> Vec<i32> {
    let stat = |id: i32| fs::read_to_string(format!("/proc/{id}/stat")).ok();
    let ids = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    ids.filter(|id| {
        stat(*id).is_some_and(|stat| stat.rsplit_once(") ").unwrap().1[2..].starts_with(&format!("{parent} ")))
    })
    .collect()
}

/// Only some users may make a process 1.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn process_1_reaps_and_stops() {
    let unshare = |arguments: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(["--pid", "--fork", "--mount-proc", "--kill-child"]).args(arguments);
        command
    };
    if !unshare(&["true"]).status().is_ok_and(|status| status.success()) {
        return;
    }
    let data_dir = DataDir::new();
    let address = free_address();
    let mut command = unshare(&[env!("CARGO_BIN_EXE_quire"), "serve", "--listen", &address.to_string(), "--data-dir"]);
    command.arg(data_dir.path());
    let mut server = Server { program: Program::start(command), address };
    assert!(names(&server.client().await).await.is_empty());

    let only = |parent| children(parent)[0];
    let first = only(server.program.id().cast_signed());
    let shell = only(only(first));
    let orphans = children(shell);
    kill(Pid::from_raw(shell), Signal::SIGKILL).unwrap();
    eventually("process 1 inherited the orphans", async || {
        orphans.iter().all(|orphan| children(first).contains(orphan)).then_some(())
    })
    .await;
    // Postgres ends when the server stops.
    for orphan in orphans.iter().filter(|id| fs::read_to_string(format!("/proc/{id}/comm")).unwrap() != "postgres\n") {
        kill(Pid::from_raw(*orphan), Signal::SIGKILL).unwrap();
        eventually("process 1 reaped it", async || (!children(first).contains(orphan)).then_some(())).await;
    }
    kill(Pid::from_raw(first), Signal::SIGTERM).unwrap();
    assert_eq!(server.program.exit_code().await, Some(0));
    assert!(!server.program.stderr().contains("ERROR"), "{}", server.program.stderr());
    assert!(!data_dir.file("postgres/postmaster.pid").exists(), "Postgres was killed");
}
