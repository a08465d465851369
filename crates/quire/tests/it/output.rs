//! What commands do with their standard output.
use std::{
    fs::File,
    io::{BufRead, BufReader},
    process::{Command, Output, Stdio},
};

use crate::support::{KeyFile, Server, database, quire};

/// Runs a command whose standard output has no reader.
async fn unread(mut command: Command) -> Output {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    command.stdout(writer);
    run(command).await
}

async fn run(mut command: Command) -> Output {
    command.stderr(Stdio::piped());
    tokio::task::spawn_blocking(move || command.spawn().unwrap().wait_with_output().unwrap()).await.unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_pipe_ends_a_command_quietly() {
    let (_, url) = database().await;
    let bootstrap = ["keys", "bootstrap", "--database-url", &url];
    let secret = quire(&bootstrap).output().unwrap();
    let secret = String::from_utf8(secret.stdout).unwrap();
    let keys = KeyFile::new();
    let mut server = Server::on_database(&url, &["--signing-keys", keys.path()]);
    server.connect().await;
    let address = format!("http://{}", server.address);

    let create = ["keys", "create", "--name", "x", "--subject", "x", "--scopes", "prompts:read"];
    let others = [["keys", "list"].as_slice(), &["completions", "bash"], &["man"], &["--help"]];
    for arguments in others.into_iter().chain([create.as_slice(), &bootstrap]) {
        let mut command = quire(arguments);
        command.env("QUIRE_SERVER", &address).env("QUIRE_API_KEY", secret.trim_end()).env("QUIRE_LOG", "off");
        let output = unread(command).await;
        assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""), "{arguments:?}");
    }
}

/// A terminal shows a watched list in one place. A pipe gets nothing that controls a terminal.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watched_list_in_a_pipe_is_only_lines() {
    let (_, url) = database().await;
    let mut server = Server::on_database(&url, &[]);
    server.connect().await;
    let mut command = quire(&["prompts", "list", "--watch=1", "--columns", "id", "--server"]);
    command.arg(format!("http://{}", server.address)).stdout(Stdio::piped());
    let mut watch = command.spawn().unwrap();
    let lines = BufReader::new(watch.stdout.take().unwrap()).lines().take(2);
    let lines: Vec<_> = tokio::task::spawn_blocking(|| lines.map(Result::unwrap).collect()).await.unwrap();
    assert_eq!(lines, ["id", "id"]);
    watch.kill().unwrap();
    watch.wait().unwrap();
}

#[tokio::test]
async fn a_disk_that_is_full_is_an_error() {
    let mut command = quire(&["completions", "bash"]);
    command.stdout(File::options().write(true).open("/dev/full").unwrap());
    let output = run(command).await;
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(stderr(&output), "quire: cannot write to standard output: No space left on device (os error 28)\n");
}
