//! `quire <noun> export`: exports the records of a running server to a file.
mod odd;
mod trouble;

use std::{
    fmt::Write as _,
    fs,
    path::PathBuf,
    process::{Command, Output},
};

use crate::support::{Program, Server, database, eventually, free_address, proxy::Proxy, quire};
use insta::assert_snapshot;
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

/// The nouns of all imports.
const NOUNS: [&str; 5] = ["prompts", "memories", "agents", "usage", "jobs"];

/// A server on its own database, and a directory for files.
struct Setup {
    server: Server,
    directory: TempDir,
}

impl Setup {
    async fn new(arguments: &[&str]) -> Self {
        let (_, url) = database().await;
        let mut server = Server::on_database(&url, arguments);
        server.connect().await;
        Self { server, directory: TempDir::new().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// The names of all files, in order.
    fn files(&self) -> Vec<String> {
        let files = fs::read_dir(self.directory.path()).unwrap();
        let mut names: Vec<_> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// A command in the directory of the files.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = quire(arguments);
        command.current_dir(self.directory.path()).env("QUIRE_SERVER", format!("http://{}", self.server.address));
        command
    }

    async fn run(&self, arguments: &[&str]) -> Output {
        run(self.command(arguments)).await
    }

    /// Runs a command that must succeed.
    async fn done(&self, arguments: &[&str]) {
        let output = self.run(arguments).await;
        assert!(output.status.success(), "{arguments:?}: {}", text(output.stderr));
    }

    /// Runs a command that must fail with status 1, and returns its last line.
    async fn refused(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments).await;
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {}", text(output.stderr));
        text(output.stderr)
    }

    /// Imports so many jobs.
    async fn import_jobs(&self, count: usize) {
        let lines = (0..count).fold(String::new(), |mut lines, number| {
            let data = json!({ "x": "x".repeat(number % 700) }).to_string();
            let job = json!({ "operation": { "type": "x", "data": data }, "target": number.to_string() });
            writeln!(lines, "{}", json!({ "job": job })).unwrap();
            lines
        });
        fs::write(self.path("jobs"), lines).unwrap();
        self.done(&["jobs", "import", "jobs"]).await;
        fs::remove_file(self.path("jobs")).unwrap();
    }
}

async fn run(mut command: Command) -> Output {
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap().trim_end().to_owned()
}

/// The targets of exported jobs, sorted.
fn targets(lines: &str) -> Vec<usize> {
    let jobs = lines.lines().map(|line| serde_json::from_str(line).unwrap());
    let mut targets: Vec<_> =
        jobs.map(|line: Value| line["job"]["target"].as_str().unwrap().parse().unwrap()).collect();
    targets.sort_unstable();
    targets
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_imported_export_is_exported_as_the_same_file() {
    let setup = Setup::new(&["--sample"]).await;
    for kind in NOUNS {
        let odd = odd::lines(kind);
        fs::write(setup.path("odd"), &odd).unwrap();
        setup.done(&[kind, "import", "odd"]).await;
        setup.done(&[kind, "export", "first"]).await;
        setup.done(&[kind, "import", "first", "--workspace", "copy"]).await;
        setup.done(&[kind, "export", "second", "--workspace", "copy"]).await;
        let first = setup.read("first");
        assert!(first.lines().count() > odd.lines().count(), "{kind}");
        assert_eq!(first, setup.read("second"), "{kind}");
        // The import skips them.
        setup.done(&[kind, "import", "second"]).await;
        setup.done(&[kind, "export", "second", "--force"]).await;
        assert_eq!(first, setup.read("second"), "{kind}");
        let stdout = text(setup.run(&[kind, "export", "-"]).await.stdout);
        assert_eq!(stdout, first.trim_end(), "{kind}");
        setup.done(&[kind, "export", "empty", "--workspace", "empty"]).await;
        assert_eq!(setup.read("empty"), "");
        for name in ["odd", "first", "second", "empty"] {
            fs::remove_file(setup.path(name)).unwrap();
        }
        assert_eq!(setup.files(), Vec::<String>::new());
    }
}

/// Each time, the export has come further than the time before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_that_is_killed_is_resumed_although_connections_break() {
    let setup = Setup::new(&[]).await;
    let count = 12_000;
    setup.import_jobs(count).await;
    let proxy = Proxy::start(setup.server.address).await;
    let address = format!("http://{}", proxy.address);
    let export = || setup.command(&["jobs", "export", "file", "--resume", "--server", &address]);
    let rows = || {
        let checkpoint: Value = serde_json::from_str(&fs::read_to_string(setup.path("file.checkpoint")).ok()?).unwrap();
        checkpoint["rows"].as_u64()
    };
    let (mut former, mut kills) = (0, 0);
    for signal in [Signal::SIGKILL, Signal::SIGINT, Signal::SIGKILL] {
        let mut program = Program::start(export());
        eventually("a checkpoint was saved", async || {
            // A connection can break while it connects.
            if !program.is_running() {
                program = Program::start(export());
            }
            rows().filter(|rows| *rows > former)
        })
        .await;
        program.signal(signal);
        let status = program.exit_code().await;
        assert_eq!(status, (signal == Signal::SIGINT).then_some(130), "{}", program.stderr());
        assert!(!setup.path("file").exists());
        former = rows().unwrap();
        kills += 1;
    }
    // A part of a line after the checkpoint, as a crash of the machine can leave it.
    let partial = setup.read("file.partial");
    fs::write(setup.path("file.partial"), partial + r#"{"job": {"#).unwrap();
    eventually("the export was complete", async || run(export()).await.status.success().then_some(())).await;
    assert_eq!(kills, 3);
    assert!(proxy.broken() > 10, "{}", proxy.broken());
    assert_eq!(targets(&setup.read("file")), (0..count).collect::<Vec<_>>());
    assert_eq!(setup.files(), ["file"]);
    setup.done(&["jobs", "export", "direct"]).await;
    assert_eq!(setup.read("file"), setup.read("direct"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn existing_files_are_refused_and_kept() {
    let setup = Setup::new(&["--sample"]).await;
    let export = ["jobs", "export", "file"];
    let with = |flag| [&export, [flag].as_slice()].concat();
    setup.done(&export).await;
    let complete = setup.read("file");

    // A complete export.
    assert_snapshot!(setup.refused(&export).await, @"quire: file exists: replace it with --force, or name another file");
    let output = setup.run(&with("--resume")).await;
    assert_eq!((output.status.code(), setup.files()), (Some(0), vec!["file".to_owned()]));
    assert!(text(output.stderr).ends_with("file is complete"));

    // One that has not ended.
    fs::write(setup.path("file.partial"), "x").unwrap();
    assert_snapshot!(setup.refused(&export).await, @"quire: file.partial is from an export that has not ended: continue it with --resume, or begin again with --force");
    fs::remove_file(setup.path("file")).unwrap();
    assert_snapshot!(setup.refused(&export).await, @"quire: file.partial is from an export that has not ended: continue it with --resume, or begin again with --force");
    // Nothing of it is saved, so it begins at the start.
    setup.done(&with("--resume")).await;
    assert_eq!((setup.read("file"), setup.files()), (complete.clone(), vec!["file".to_owned()]));

    // Checkpoints that do not fit.
    let checkpoint = |resource: &str, bytes: u64| {
        let text = format!(
            r#"{{"version": 1, "resource": "{resource}", "order": "id", "rows": 1, "bytes": {bytes}, "page_token": "x"}}"#
        );
        fs::write(setup.path("file.checkpoint"), text).unwrap();
    };
    checkpoint("jobs", 9);
    assert_snapshot!(setup.refused(&export).await, @"quire: file.checkpoint is from an export that has not ended: continue it with --resume, or begin again with --force");
    assert_snapshot!(setup.refused(&with("--resume")).await, @"quire: file.partial is missing, or shorter than its checkpoint says: begin again with --force");
    assert_eq!(setup.files(), ["file", "file.checkpoint"]);
    fs::write(setup.path("file.partial"), "x").unwrap();
    assert_snapshot!(setup.refused(&with("--resume")).await, @"quire: file.partial is missing, or shorter than its checkpoint says: begin again with --force");
    checkpoint("usage", 1);
    assert_snapshot!(setup.refused(&with("--resume")).await, @"quire: file.checkpoint is from an export of usage by id: name another file, or begin again with --force");
    let more_rows_than_bytes =
        br#"{"version": 1, "resource": "jobs", "order": "id", "rows": 18446744073709551615, "bytes": 1, "page_token": "x"}"#;
    for text in [b"".as_slice(), b"{}", b"\xff", br#"{"version": 2}"#, more_rows_than_bytes] {
        fs::write(setup.path("file.checkpoint"), text).unwrap();
        let told = setup.refused(&with("--resume")).await;
        assert_eq!(
            told,
            "quire: file.checkpoint is not the checkpoint of an export by this version: begin again with --force"
        );
    }
    // A token that the server refuses.
    checkpoint("jobs", 1);
    assert_snapshot!(setup.refused(&with("--resume")).await, @"quire: the export stopped after 1 jobs: its page token is not a page token; begin again with --force");
    assert_eq!((setup.read("file"), setup.read("file.partial")), (complete.clone(), "x".to_owned()));

    setup.done(&with("--force")).await;
    assert_eq!((setup.read("file"), setup.files()), (complete, vec!["file".to_owned()]));
    let output = setup.run(&["jobs", "export", "-", "--resume"]).await;
    assert_eq!(output.status.code(), Some(2));
    assert_snapshot!(text(output.stderr), @"
    error: an export to standard output cannot be resumed

    Usage: quire [OPTIONS] <COMMAND>

    For more information, try '--help'.
    ");
}

/// What was there before is still there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_that_cannot_be_written_is_one_line() {
    let setup = Setup::new(&[]).await;
    setup.import_jobs(1_000).await;
    fs::create_dir(setup.path("folder")).unwrap();
    fs::write(setup.path("file"), "x").unwrap();
    let export = |file| ["jobs", "export", file];
    assert_snapshot!(setup.refused(&export("folder")).await, @"quire: folder is not a file: name a file, or - for standard output");
    assert_snapshot!(setup.refused(&export("/dev/null")).await, @"quire: /dev/null is not a file: name a file, or - for standard output");
    assert_snapshot!(setup.refused(&export("folder/none/file")).await, @"quire: cannot use folder/none/file.partial: No such file or directory (os error 2)");
    assert_snapshot!(setup.refused(&export("file/file")).await, @"quire: cannot use file/file.partial: Not a directory (os error 20)");

    // No server. A new export leaves nothing.
    let nobody = format!("http://{}", free_address());
    let refused = setup.refused(&["jobs", "export", "new", "--server", &nobody]).await;
    assert!(refused.starts_with(&format!("quire: cannot reach a server at {nobody}: ")), "{refused}");
    assert_eq!(setup.files(), ["file", "folder"]);

    // The limit of the shell for the size of files, in KiB.
    let limited = |limit: &str, arguments: &[&str]| {
        let mut command = Command::new("bash");
        command.args(["-c", r#"ulimit -f "$1" && shift && exec "$@""#, "bash", limit]);
        let program = setup.command(arguments);
        command.arg(program.get_program()).args(program.get_args()).current_dir(setup.directory.path());
        command.env("QUIRE_SERVER", format!("http://{}", setup.server.address));
        command
    };
    let output = run(limited("300", &["jobs", "export", "file", "--force"])).await;
    assert_eq!(output.status.code(), Some(1));
    assert_snapshot!(text(output.stderr), @"quire: the export stopped after 600 jobs: cannot write file.partial: File too large (os error 27); continue it with --resume");
    assert_eq!(setup.files(), ["file", "file.checkpoint", "file.partial", "folder"]);
    let checkpoint: Value = serde_json::from_str(&setup.read("file.checkpoint")).unwrap();
    assert!(checkpoint["rows"].as_u64().unwrap() > 0 && setup.read("file") == "x");
    setup.done(&["jobs", "export", "file", "--resume"]).await;
    assert_eq!(targets(&setup.read("file")), (0..1_000).collect::<Vec<_>>());

    // Standard output, at its limit and closed.
    let mut limited = limited("300", &export("-"));
    limited.stdout(fs::File::create(setup.path("stdout")).unwrap());
    let output = run(limited).await;
    assert_eq!(output.status.code(), Some(1));
    assert_snapshot!(text(output.stderr), @"quire: cannot write to standard output: File too large (os error 27)");
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = setup.command(&export("-"));
    command.stdout(writer);
    assert_eq!(run(command).await.status.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_exports_do_not_write_the_same_file() {
    let setup = Setup::new(&["--sample"]).await;
    fs::write(setup.path("file.partial"), "x").unwrap();
    let partial = fs::File::open(setup.path("file.partial")).unwrap();
    partial.lock().unwrap();
    for flags in [[].as_slice(), &["--force"], &["--resume"]] {
        let refused = setup.refused(&[&["jobs", "export", "file"], flags].concat()).await;
        assert_eq!(refused, "quire: another export is writing file.partial");
    }
    assert_eq!((setup.read("file.partial"), setup.files()), ("x".to_owned(), vec!["file.partial".to_owned()]));
    partial.unlock().unwrap();
    setup.done(&["jobs", "export", "file", "--force"]).await;
}

#[tokio::test]
async fn the_help_says_what_is_not_exported() {
    for noun in NOUNS {
        let output = run(quire(&[noun, "export", "--help"])).await;
        let help = text(output.stdout);
        let about = help.split("\n\n").next().unwrap().replace('\n', " ");
        insta::with_settings!({ snapshot_suffix => noun }, { assert_snapshot!("help", about) });
    }
}
