//! Exports in places and at times that make trouble.
use std::{
    fs::{self, Permissions},
    io::Read as _,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
};

use super::{Setup, targets};
use crate::support::{Program, Server, database, eventually};
use insta::assert_snapshot;
use nix::{
    sys::{
        signal::{Signal, kill},
        stat::Mode,
    },
    unistd::{Pid, mkfifo},
};
use sqlx::{Connection, Executor, PgConnection};
use tempfile::TempDir;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replaced_file_keeps_its_links_and_permissions() {
    let setup = Setup::new(&["--sample"]).await;
    fs::create_dir(setup.path("folder")).unwrap();
    fs::write(setup.path("folder/file"), "x").unwrap();
    fs::set_permissions(setup.path("folder/file"), Permissions::from_mode(0o440)).unwrap();
    symlink("folder/file", setup.path("link")).unwrap();
    let exists = format!(
        "quire: {} exists: replace it with --force, or name another file",
        setup.path("folder/file").canonicalize().unwrap().display()
    );
    assert_eq!(setup.refused(&["jobs", "export", "link"]).await, exists);
    setup.done(&["jobs", "export", "link", "--force"]).await;
    setup.done(&["jobs", "export", "direct"]).await;
    assert!(setup.path("link").is_symlink());
    assert_eq!(
        (setup.read("folder/file"), setup.files()),
        (setup.read("direct"), ["direct", "folder", "link"].map(str::to_owned).into())
    );
    // The owner can write it, so that an export that has not ended can be resumed.
    assert_eq!(fs::metadata(setup.path("folder/file")).unwrap().mode() & 0o777, 0o640);

    // A link that leads nowhere is kept.
    symlink("none", setup.path("broken")).unwrap();
    assert_snapshot!(setup.refused(&["jobs", "export", "broken", "--force"]).await, @"quire: cannot use broken: No such file or directory (os error 2)");
    assert!(setup.path("broken").is_symlink());
}

/// What has another file's name is neither waited for nor followed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_files_are_resumed() {
    let setup = Setup::new(&["--sample"]).await;
    fs::write(setup.path("other"), "x").unwrap();
    for name in ["file.partial", "file.checkpoint"] {
        for flag in ["--force", "--resume"] {
            let refused = format!("quire: {name} is not a file: name a file, or - for standard output");
            mkfifo(&setup.path(name), Mode::S_IRWXU).unwrap();
            assert_eq!(setup.refused(&["jobs", "export", "file", flag]).await, refused);
            fs::remove_file(setup.path(name)).unwrap();
            symlink("other", setup.path(name)).unwrap();
            assert_eq!(setup.refused(&["jobs", "export", "file", flag]).await, refused);
            fs::remove_file(setup.path(name)).unwrap();
        }
    }
    assert_eq!((setup.read("other"), setup.files()), ("x".to_owned(), vec!["other".to_owned()]));
}

/// The export cannot rename its file, because there is a folder with that name when it ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_are_inserted_after_the_last_page_are_exported_once() {
    let (options, url) = database().await;
    let mut server = Server::on_database(&url, &[]);
    server.connect().await;
    let setup = Setup { server, directory: TempDir::new().unwrap() };
    let import = async |numbers: &[u32]| {
        let line = |number: &u32| {
            format!(
                r#"{{"job": {{"id": "00000000-0000-4000-8000-{number:012}", "operation": {{"type": "x"}}, "target": "{number}"}}}}"#
            )
        };
        fs::write(setup.path("jobs"), numbers.iter().map(line).collect::<Vec<_>>().join("\n")).unwrap();
        setup.done(&["jobs", "import", "jobs"]).await;
        fs::remove_file(setup.path("jobs")).unwrap();
    };
    import(&[1, 3]).await;

    let mut connection = PgConnection::connect_with(&options).await.unwrap();
    connection.execute("begin; lock table jobs").await.unwrap();
    let mut program = Program::start(setup.command(&["jobs", "export", "file"]));
    eventually("the export has begun", async || setup.path("file.partial").exists().then_some(())).await;
    fs::create_dir(setup.path("file")).unwrap();
    connection.execute("commit").await.unwrap();
    assert_eq!(program.exit_code().await, Some(1));
    assert_snapshot!(program.stderr(), @"quire: the export stopped after 2 jobs: cannot write file: Is a directory (os error 21); continue it with --resume");

    fs::remove_dir(setup.path("file")).unwrap();
    import(&[2]).await;
    setup.done(&["jobs", "export", "file", "--resume"]).await;
    assert_eq!(targets(&setup.read("file")), [1, 2, 3]);
}

/// A reader that does not read blocks the export.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_to_a_full_pipe_is_interrupted() {
    let setup = Setup::new(&[]).await;
    setup.import_jobs(1_000).await;
    for (signal, status) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143)] {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let mut process = setup.command(&["jobs", "export", "-"]).stdout(writer).spawn().unwrap();
        reader.read_exact(&mut [0]).unwrap();
        kill(Pid::from_raw(process.id().try_into().unwrap()), signal).unwrap();
        let ended = eventually("it ended", async || process.try_wait().unwrap()).await;
        assert_eq!(ended.code(), Some(status));
        drop(reader);
    }
}
