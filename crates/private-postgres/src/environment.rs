use std::process::Command;

/// What PostgreSQL's programs need to be found and to run. Other variables may be secrets, or change what the programs
/// do: `PGDATA`, `PGOPTIONS`, `TZ` and many more.
const KEPT: [&str; 2] = ["LD_LIBRARY_PATH", "PATH"];

/// Gives a program an environment that does not depend on this process's, with messages in English.
pub(crate) fn clean(command: &mut Command) -> &mut Command {
    let kept = KEPT.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
    command.env_clear().envs(kept).env("LC_ALL", "C")
}
