//! Commands that are interrupted.
use std::{fmt::Write as _, io::Write as _, net::TcpListener, process::Stdio};

use crate::support::{Program, Server, database, eventually, list, quire, within};
use nix::sys::signal::Signal;

const STATUSES: [(Signal, i32); 2] = [(Signal::SIGINT, 130), (Signal::SIGTERM, 143)];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_waits_for_a_silent_server_ends_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = format!("http://{}", listener.local_addr().unwrap());
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/../prompts/samples/prompts.ndjson");
    let create = ["keys", "create", "--name", "x", "--subject", "x", "--scopes", "x"].as_slice();
    for arguments in [create, &["prompts", "import", sample], &["keys", "list"]] {
        for (signal, status) in STATUSES {
            let mut command = quire(arguments);
            command.args(["--server", &server]);
            let mut program = Program::start(command);
            // It listens for signals before it connects.
            let accepting = listener.try_clone().unwrap();
            let accepted = tokio::task::spawn_blocking(move || accepting.accept().unwrap());
            let connection = within("it connected", accepted).await.unwrap();
            program.signal(signal);
            assert_eq!(program.exit_code().await, Some(status), "{arguments:?}");
            assert_eq!(program.stderr(), "", "{arguments:?}");
            drop(connection);
        }
    }
}

/// Reading standard input blocks a thread.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_that_waits_for_standard_input_ends_at_once() {
    let (_, url) = database().await;
    let mut server = Server::on_database(&url, &[]);
    let client = server.client().await;
    let mut expected = 0;
    for (signal, status) in STATUSES {
        // A batch.
        let lines = (expected..expected + 1_000).fold(String::new(), |mut lines, number| {
            writeln!(lines, r#"{{"prompt": {{"name": "p/{number}"}}, "version": {{"content": "Hello"}}}}"#).unwrap();
            lines
        });
        expected += 1_000;
        let mut command = quire(&["prompts", "import", "-", "--server", &format!("http://{}", server.address)]);
        let (input, mut output) = std::io::pipe().unwrap();
        command.stdin(Stdio::from(input));
        let mut program = Program::start(command);
        output.write_all(lines.as_bytes()).unwrap();
        eventually("a batch was imported", async || {
            (list(&client, "").await.unwrap().1.total_count == Some(expected)).then_some(())
        })
        .await;
        program.signal(signal);
        assert_eq!(program.exit_code().await, Some(status));
    }
}
