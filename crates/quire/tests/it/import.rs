//! `quire prompts import`: imports prompts from a file into a running server.
use std::{
    fmt::Write,
    fs,
    io::Write as _,
    process::{Command, Output, Stdio},
};

use crate::support::{Client, Program, Server, database, eventually, list, quire};
use insta::assert_snapshot;
use tempfile::NamedTempFile;

/// A server on its own database.
async fn serve() -> (Server, Client) {
    let (_, url) = database().await;
    let mut server = Server::on_database(&url, &[]);
    let client = server.client().await;
    (server, client)
}

fn line(number: usize) -> String {
    format!(
        r#"{{"prompt": {{"name": "p/{number:06}", "tags": ["a"]}}, "version": {{"content": "Hello {{{{name}}}} {number}"}}}}"#
    )
}

fn file(lines: impl IntoIterator<Item = String>) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    let text = lines.into_iter().fold(String::new(), |mut text, line| {
        writeln!(text, "{line}").unwrap();
        text
    });
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn import(server: &Server, file: &NamedTempFile) -> Command {
    let mut command = quire(&["prompts", "import"]);
    command.arg(file.path()).arg("--server").arg(format!("http://{}", server.address));
    command
}

/// The standard error of the program, with `FILE` for the name of the file.
fn told(output: &Output, file: &NamedTempFile) -> String {
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    text.replace(&file.path().display().to_string(), "FILE").trim_end().to_owned()
}

async fn total(client: &Client) -> i64 {
    list(client, "").await.unwrap().1.total_count.unwrap()
}

async fn run(mut command: Command) -> Output {
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupted_import_can_be_run_again() {
    let (server, client) = serve().await;
    let file = file((0..6_000).map(line));
    for least in [1, 2_500] {
        let mut program = Program::start(import(&server, &file));
        eventually("a part was imported", async || (total(&client).await >= least).then_some(())).await;
        program.kill();
    }
    let output = run(import(&server, &file)).await;
    assert!(output.status.success(), "{}", told(&output, &file));
    assert_eq!(total(&client).await, 6_000);
    // Another import changes nothing.
    let (before, _) = list(&client, "").await.unwrap();
    assert!(run(import(&server, &file)).await.status.success());
    assert_eq!((total(&client).await, list(&client, "").await.unwrap().0), (6_000, before));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_with_an_invalid_line_writes_nothing() {
    let (server, client) = serve().await;
    let mut lines: Vec<_> = (0..1_500).map(line).collect();
    lines[1_010] = r#"{"prompt": {"name": 5}}"#.to_owned();
    lines[1_020] = r#"{"prompt": {"nam": "x"}}"#.to_owned();
    lines[1_030] += " and more";
    lines[1_040] = String::new();
    lines[1_050] = "\u{7}".to_owned();
    let unreadable = file(lines);
    let output = run(import(&server, &unreadable)).await;
    assert_eq!((output.status.code(), total(&client).await), (Some(1), 1_000));
    assert_snapshot!(told(&output, &unreadable), @r"
    FILE:1011: invalid type: integer `5`, expected a string at column 21
    FILE:1021: unrecognized field name 'nam' at column 17
    FILE:1031: trailing characters at column 96
    FILE:1051: expected value at column 1
    quire: the import stopped at lines 1001 to 1500, after 1000 prompts; run it again
    ");

    let refused = file([
        line(2_000),
        r#"{"prompt": {"name": "", "tags": ["a", "a"]}, "version": {"content": "x"}}"#.to_owned(),
        r#"{"prompt": {"name": "x", "id": "y"}}"#.to_owned(),
        line(2_000),
    ]);
    let output = run(import(&server, &refused)).await;
    assert_eq!((output.status.code(), total(&client).await), (Some(1), 1_000));
    assert_snapshot!(told(&output, &refused), @"
    FILE:2: prompt.name: must have 1 to 256 bytes; it has 0
    FILE:2: prompt.tags[1]: must not be given twice
    FILE:3: prompt.id: must be a UUID, as in 01934f6e-8a3b-7c21-9d55-0242ac120002
    FILE:3: version.content: must have 1 to 1048576 bytes; it has 0
    quire: the import stopped at lines 1 to 4, after 0 prompts; run it again
    ");

    let differs = file([line(2_000), line(2_001), line(2_000).replace("Hello", "Goodbye")]);
    let output = run(import(&server, &differs)).await;
    assert_eq!((output.status.code(), total(&client).await), (Some(1), 1_000));
    assert_snapshot!(told(&output, &differs), @"
    FILE:3: prompt.name: is used by an existing record or an earlier line that differs
    quire: the import stopped at lines 1 to 3, after 0 prompts; run it again
    ");

    // A line that is too large is reported with its number, after the lines before it. The server reports up to eight
    // problems.
    let heavy = |number: usize| line(number).replace("Hello", &"x".repeat(1_000_000));
    let too_large = line(4_100).replace("Hello", &"x".repeat(10_000_000));
    let mixed = file((4_000..4_008).map(heavy).chain([too_large]));
    let output = run(import(&server, &mixed)).await;
    assert_eq!((output.status.code(), total(&client).await), (Some(1), 1_008));
    assert_snapshot!(told(&output, &mixed), @"
    FILE:9: version.content: must have 1 to 1048576 bytes; it has 10000014
    quire: the import stopped at lines 9 to 9, after 8 prompts; run it again
    ");
    let many = file((0..20).map(|_| r#"{"prompt": {"name": "x"}}"#.to_owned()));
    let output = run(import(&server, &many)).await;
    assert!(
        told(&output, &many).contains("FILE:20: there may be more problems up to this line"),
        "{}",
        told(&output, &many)
    );

    let differs = file([line(3_000), line(7).replace("Hello", "Goodbye")]);
    let output = run(import(&server, &differs)).await;
    assert_eq!((output.status.code(), total(&client).await), (Some(1), 1_008));
    assert_snapshot!(told(&output, &differs), @"
    FILE:2: prompt.name: is used by an existing record or an earlier line that differs
    quire: the import stopped at lines 1 to 2, after 0 prompts; run it again
    ");
}

/// A line is skipped if an earlier line is identical, in the same batch or in another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn repeated_lines_are_skipped() {
    let (server, client) = serve().await;
    let lines = (0..2_100).chain([0, 1_500, 2_099, 2_099]).chain(2_100..2_110).map(line);
    let file = file([line(0)].into_iter().chain(lines));
    let output = run(import(&server, &file)).await;
    assert!(output.status.success(), "{}", told(&output, &file));
    assert_eq!(total(&client).await, 2_110);
}

/// The size of batches is limited too: together, these prompts are too large for one call.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_prompts_and_standard_input_are_imported() {
    let (server, client) = serve().await;
    let content = |number: usize| line(number).replace("Hello", &"x".repeat(1_000_000));
    let metadata = |number: usize| {
        let entries: Vec<_> = (0..8).map(|key| format!(r#""{key}": "{}""#, "y".repeat(1_000))).collect();
        line(number).replace(r#""tags""#, &format!(r#""metadata": {{{}}}, "tags""#, entries.join(", ")))
    };
    let large = file((0..20).map(content).chain((20..700).map(metadata)));
    let mut command = quire(&["prompts", "import", "-"]);
    command.arg("--server").arg(format!("http://{}", server.address)).stdin(Stdio::from(large.reopen().unwrap()));
    let output = run(command).await;
    assert!(output.status.success(), "{}", told(&output, &large));
    assert_eq!(total(&client).await, 700);
}

/// Each sample is imported twice, with each line twice, because identical records are skipped.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_is_imported_by_its_own_command() {
    let (server, _) = serve().await;
    let address = format!("http://{}", server.address);
    for (service, kind, names) in [
        ("prompts", "prompts", "prompts"),
        ("memory", "memories", "memories"),
        ("registry", "agents", "agents"),
        ("meter", "usage", "usage records"),
        ("jobs", "jobs", "jobs"),
    ] {
        let sample = format!("{}/../{service}/samples/{kind}.ndjson", env!("CARGO_MANIFEST_DIR"));
        let sample = fs::read_to_string(&sample).unwrap();
        let twice = file(sample.lines().chain(sample.lines()).map(str::to_owned));
        let expected = format!("imported {} {names}, including", 2 * sample.lines().count());
        for _ in 0..2 {
            let path = twice.path().to_str().unwrap();
            let output = run(quire(&[kind, "import", path, "--server", &address])).await;
            let text = String::from_utf8(output.stderr).unwrap();
            assert!(output.status.success() && text.contains(&expected), "{text}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_before_an_import_starts_are_one_line() {
    let (mut server, _) = serve().await;
    let file = file([line(1)]);
    let refusal = async |arguments: &[&str]| {
        let output = run(quire(&[&["prompts", "import"], arguments].concat())).await;
        let status = output.status.code().unwrap();
        format!("{status} {}", told(&output, &file))
    };
    let path = file.path().to_str().unwrap();
    let address = format!("http://{}", server.address);
    assert_snapshot!(refusal(&["/nowhere/at/all", "--server", &address]).await, @"1 quire: cannot use /nowhere/at/all: No such file or directory (os error 2)");
    assert_snapshot!(refusal(&[path, "--server", "http://127.0.0.1:1"]).await, @"1 quire: cannot reach a server at http://127.0.0.1:1: start it, or name another with --server (connection refused)");
    assert_snapshot!(refusal(&[path, "--server", "not an address"]).await, @"2 quire: not an address is not a server address: write it as in http://127.0.0.1:50051 or https://quire.example:50051");
    assert_snapshot!(refusal(&[path, "--server", "ftp://127.0.0.1:1"]).await, @"2 quire: ftp://127.0.0.1:1 is not a server address: write it as in http://127.0.0.1:50051 or https://quire.example:50051");
    assert_snapshot!(refusal(&[path, "--server", "https://127.0.0.1:1"]).await, @"1 quire: cannot reach a server at https://127.0.0.1:1: start it, or name another with --server (connection refused)");
    assert_snapshot!(refusal(&[path, "--server", &address, "--workspace", "Ä"]).await, @"2 quire: the workspace is not valid: it must have 1 to 63 of a-z, 0-9 and -");
    assert_snapshot!(refusal(&[path, "--server", &address, "--api-key", "x"]).await, @"1 quire: cannot create a session: this server has no keys to sign access tokens with");
    assert_eq!(server.program.stop().await, Some(0));
}
