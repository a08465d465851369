//! Outside its own folders, a service is named only in a dependency and in the list of services.
use std::{collections::BTreeMap, fs, path::Path, process::Command};

const LIST: &str = "crates/quire/src/services.rs";
const DEPENDENCIES: &str = "crates/quire/Cargo.toml";

/// Files, or the beginnings of their paths, that may name a service: API keys and sessions are part of the program's own
/// commands and credentials, gRPC calls the absence of compression `identity`, jobs have an exporter and a summary, and a
/// service that reads bytes of its own has a fuzz target.
const EXCEPTIONS: [(&str, &str); 9] = [
    ("identity", "crates/client/src/service.rs"),
    ("identity", "crates/client/src/session.rs"),
    ("identity", "crates/quire/src/compression.rs"),
    ("identity", "crates/quire/src/keys.rs"),
    ("jobs", "crates/quire/src/exporter/"),
    ("jobs", "crates/quire/src/resources/jobs.rs"),
    ("jobs", "crates/quire/src/resources/list.rs"),
    ("memory", "fuzz/Cargo.toml"),
    ("memory", "fuzz/fuzz_targets/words.rs"),
];

/// The tracked files of the program and its libraries, without tests, benchmarks and examples.
fn sources(root: &Path) -> Vec<String> {
    let mut command = Command::new("git");
    command.current_dir(root).args(["ls-files", "--", "*.rs", "*Cargo.toml", ".ci/run"]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let files = String::from_utf8(output.stdout).unwrap();
    let is_other = |file: &&str| {
        ["tests", "tests.rs", "benches", "examples"].iter().any(|folder| file.split('/').any(|part| part == *folder))
    };
    files.lines().filter(|file| !is_other(file)).map(str::to_owned).collect()
}

/// Whether the code on a line names a service: its crate or module, its package, or its name as a text.
fn names(line: &str, service: &str) -> bool {
    let line = line.trim();
    let is_comment = line.starts_with("//") || line.starts_with("# ");
    let code = line.split(" // ").next().unwrap_or_default().split(" # ").next().unwrap_or_default();
    let is_part_of_word = |before: &str| before.ends_with(|char: char| char.is_alphanumeric() || char == '_');
    let forms = ["::", ".v1", "/v1", " = {", "\""].map(|end| format!("{service}{end}"));
    let is_named = |form: &String| code.match_indices(form).any(|(place, _)| !is_part_of_word(&code[..place]));
    !is_comment && forms.iter().any(is_named)
}

fn exceptions(service: &str) -> impl Iterator<Item = &'static str> {
    EXCEPTIONS.iter().filter(move |(of, _)| *of == service).map(|(_, path)| *path)
}

#[test]
fn a_service_is_two_lines_outside_its_own_folders() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let read = |file: &str| fs::read_to_string(root.join(file)).unwrap();
    let list = read(LIST);
    let services: Vec<_> =
        list.lines().filter_map(|line| line.trim().strip_prefix('&')?.strip_suffix("::SERVICE,")).collect();
    assert!(services.len() >= 6, "{services:?}");

    let sources: BTreeMap<_, _> = sources(&root).into_iter().map(|file| (file.clone(), read(&file))).collect();
    for expected in ["Cargo.toml", "build.rs", "proto/lib.rs", "crates/platform/src/lib.rs", LIST, DEPENDENCIES] {
        assert!(sources.contains_key(expected), "{expected}");
    }
    for (service, path) in EXCEPTIONS {
        let mut files = sources.iter().filter(|(file, _)| file.starts_with(path));
        assert!(files.any(|(_, text)| text.lines().any(|line| names(line, service))), "{path} does not name {service}");
    }
    for service in services {
        let own = [format!("crates/{service}/"), format!("proto/{service}/")];
        let own: Vec<_> = own.into_iter().chain(exceptions(service).map(str::to_owned)).collect();
        let is_elsewhere = |file: &str| !own.iter().any(|own| file.starts_with(own));
        let lines: Vec<_> = sources
            .iter()
            .filter(|(file, _)| is_elsewhere(file))
            .flat_map(|(file, text)| text.lines().map(move |line| (file.as_str(), line.trim())))
            .filter(|(_, line)| names(line, service))
            .collect();
        let dependency = format!("{service} = {{ path = \"../{service}\" }}");
        let registration = format!("&{service}::SERVICE,");
        assert_eq!(lines, [(DEPENDENCIES, dependency.as_str()), (LIST, registration.as_str())]);
    }
}
