//! `quire completions` and `quire man`: what the program tells shells and `man` about its commands.

use std::{fs, path::Path};

use clap::CommandFactory;
use clap_complete::{Shell, generate};
use clap_mangen::{Man, generate_to};

use crate::{arguments::Arguments, error::Error, output};

/// Writes the script of a shell to standard output.
pub(crate) fn completions(shell: Shell) -> Result<(), Error> {
    let mut script = Vec::new();
    generate(shell, &mut Arguments::command(), "quire", &mut script);
    output::print(&script)
}

/// Writes the manual page of the program to standard output, or a page for each command into a directory.
pub(crate) fn pages(dir: Option<&Path>) -> Result<(), Error> {
    // `quire help` has no page.
    let command = Arguments::command().disable_help_subcommand(true);
    let Some(dir) = dir else {
        let mut page = Vec::new();
        Man::new(command).render(&mut page).map_err(Error::Stdout)?;
        return output::print(&page);
    };
    let made = fs::create_dir_all(dir).and_then(|()| generate_to(command, dir));
    made.map_err(|source| Error::File { path: dir.to_owned(), source })
}
