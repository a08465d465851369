//! `quire completions` and `quire man`.
use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    process::{Command, Stdio},
};

use crate::{
    arguments::{commands, help},
    support::quire,
};
use insta::assert_snapshot;
use tempfile::{NamedTempFile, TempDir};

/// What a command must write to standard output.
fn written(mut command: Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The flags in the help of a command.
fn flags(help: &str) -> BTreeSet<String> {
    let words = help.lines().map(str::trim).filter(|line| line.starts_with('-')).flat_map(str::split_whitespace);
    let flags = words.filter(|word| word.starts_with("--"));
    // An optional value is written as in `--total[=<PRECISION>]`.
    let flags = flags.map(|flag| flag.split('[').next().unwrap_or_default());
    flags.map(|flag| flag.trim_end_matches(|end: char| !end.is_ascii_alphanumeric()).to_owned()).collect()
}

/// The names of the commands below this one.
fn below(all: &[Vec<String>], command: &[String]) -> BTreeSet<String> {
    all.iter()
        .filter_map(|other| Some(other.split_last().filter(|(_, parent)| *parent == command)?.0.clone()))
        .collect()
}

/// The answers of bash to a tab after these words, of which the last is to be completed.
fn completed(script: &Path, words: &[&str]) -> BTreeSet<String> {
    let program = r#"
        source "$1" && shift
        COMP_WORDS=(quire "$@") COMP_CWORD=$#
        _quire quire "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
        printf '%s\n' "${COMPREPLY[@]}""#;
    let mut bash = Command::new("bash");
    bash.args(["--norc", "-c", program, "bash"]).arg(script).args(words).stdin(Stdio::null());
    written(bash).lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_every_command_and_flag() {
    let file = NamedTempFile::new().unwrap();
    fs::write(&file, written(quire(&["completions", "bash"]))).unwrap();
    let script = file.path();
    let all = commands(&[]);
    assert!(all.contains(&vec!["prompts".to_owned(), "import".to_owned()]), "{all:?}");
    for command in &all {
        let words = |last| command.iter().map(String::as_str).chain([last]).collect::<Vec<_>>();
        assert!(completed(script, &words("--")).is_superset(&flags(&help(command))), "{command:?}");
        assert!(completed(script, &words("")).is_superset(&below(&all, command)), "{command:?}");
    }
    assert_eq!(completed(script, &["prompts", "im"]), BTreeSet::from(["import".to_owned()]));
    assert_eq!(completed(script, &["jobs", "import", "--ser"]), BTreeSet::from(["--server".to_owned()]));
    // The values of a flag.
    assert_eq!(completed(script, &["serve", "--reflection", "o"]), ["off", "open"].map(str::to_owned).into());
}

#[test]
fn every_shell_has_a_script() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = written(quire(&["completions", shell]));
        assert!(script.contains("keep-descendants"), "{shell}");
    }
    assert_eq!(quire(&["completions", "tcsh"]).output().unwrap().status.code(), Some(2));
}

#[test]
fn every_command_has_a_page_with_its_flags() {
    let directory = TempDir::new().unwrap();
    // It is created, and a second run replaces the pages.
    let pages = directory.path().join("share/man1");
    for _ in 0..2 {
        let mut command = quire(&["man"]);
        command.arg(&pages).env("QUIRE_API_KEY", "secret-key");
        assert_eq!(written(command), "");
    }
    let all = commands(&[]);
    for command in &all {
        let name = [&["quire".to_owned()], command.as_slice()].concat().join("-");
        let page = fs::read_to_string(pages.join(format!("{name}.1"))).unwrap().replace("\\-", "-");
        let (help, begin) = (help(command), format!(".TH {name} 1"));
        let lacks: Vec<_> = flags(&help).into_iter().filter(|flag| !page.contains(flag)).collect();
        assert!(page.contains(&begin) && lacks.is_empty(), "{name} lacks {lacks:?}");
        assert!(!page.contains("secret-key"), "{name}");
    }
    assert_eq!(fs::read_dir(&pages).unwrap().count(), all.len());
    assert_eq!(written(quire(&["man"])), fs::read_to_string(pages.join("quire.1")).unwrap());
}

#[test]
fn a_page_that_cannot_be_written_is_reported() {
    let file = NamedTempFile::new().unwrap();
    let output = quire(&["man", file.path().to_str().unwrap()]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).unwrap().replace(file.path().to_str().unwrap(), "FILE");
    assert_snapshot!(stderr, @"quire: cannot use FILE: File exists (os error 17)");
}
