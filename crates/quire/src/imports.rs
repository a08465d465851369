//! The commands `quire <noun> import`, one for each import of each service.

use std::path::PathBuf;

use clap::{
    ArgMatches, Args, Command, FromArgMatches, Subcommand,
    error::{Error, ErrorKind},
};
use platform::Service;

use crate::{arguments::Connect, records::Records, services::SERVICES};

/// An import: the kind of records and the command's arguments.
#[derive(Debug)]
pub(crate) struct Import {
    pub(crate) service: &'static Service,
    pub(crate) import: &'static platform::Import,
    pub(crate) arguments: ImportArguments,
}

#[derive(Debug, Args)]
pub(crate) struct ImportArguments {
    /// The file, or `-` for standard input
    pub(crate) file: PathBuf,

    #[command(flatten)]
    pub(crate) connect: Connect,
}

fn imports() -> impl Iterator<Item = (&'static Service, &'static platform::Import)> {
    SERVICES.iter().flat_map(|service| service.imports.iter().map(|import| (*service, import)))
}

fn find(noun: &str) -> Option<(&'static Service, &'static platform::Import)> {
    imports().find(|(_, import)| import.noun == noun)
}

impl Subcommand for Import {
    fn augment_subcommands(command: Command) -> Command {
        command.subcommands(imports().map(|(_, import)| {
            Command::new(import.noun)
                .about(format!("Work with the {} of a running server", import.records))
                .subcommand_required(true)
                .arg_required_else_help(true)
                // Deferred, so that the descriptors are decoded only for this command.
                .defer(|command| {
                    let about = about(command.get_name());
                    command.subcommand(ImportArguments::augment_args(Command::new("import")).about(about))
                })
        }))
    }

    fn augment_subcommands_for_update(command: Command) -> Command {
        Self::augment_subcommands(command)
    }

    fn has_subcommand(name: &str) -> bool {
        find(name).is_some()
    }
}

fn about(noun: &str) -> String {
    let records = find(noun).and_then(|(service, import)| Records::new(service, import).ok());
    format!(
        "Import records from a file with one {} on each line, in protobuf's JSON. Records that are \
         identical to an existing record or to an earlier line are skipped, so an interrupted import can be run again",
        records.as_ref().map_or("record", Records::message)
    )
}

impl FromArgMatches for Import {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let noun = matches.subcommand().and_then(|(noun, matches)| Some((find(noun)?, matches.subcommand()?.1)));
        let ((service, import), matches) = noun.ok_or_else(|| Error::new(ErrorKind::MissingSubcommand))?;
        Ok(Self { service, import, arguments: ImportArguments::from_arg_matches(matches)? })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
