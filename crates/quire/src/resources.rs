//! The commands `quire <resource> …`: `list`, `get` and `delete` for each resource that the contract's descriptors have,
//! and beside them `import`, `export`, and what only API keys have.

mod fields;
mod jobs;
mod list;
mod record;
mod refusal;

use std::{env, sync::LazyLock};

use clap::{
    ArgMatches, Args, Command, CommandFactory, FromArgMatches, Subcommand,
    error::{ContextKind, ContextValue, Error, ErrorKind},
};
use client::lists::{self, Method};

use self::{list::ListArguments, record::GetArguments};
use crate::{
    arguments::{Arguments, Connect, Keys},
    descriptors::pool,
    imports::{self, Transfer},
    keys,
};

const GET: &str = "get";
const DELETE: &str = "delete";
/// The heading of the fields of a list's request.
const FILTERS: &str = "Filters";
/// The resource that has commands of its own.
const KEYS: &str = "keys";

/// What to do with the records of a resource.
#[derive(Debug)]
pub(crate) enum Resource {
    List(Box<list::Listing>),
    Get(record::Get),
    Delete(record::Delete),
    Transfer(Transfer),
    Keys(Keys),
}

impl Resource {
    pub(crate) async fn run(self) -> Result<(), crate::error::Error> {
        match self {
            Self::List(listing) => listing.run().await,
            Self::Get(get) => get.run().await,
            Self::Delete(delete) => delete.run().await,
            Self::Transfer(transfer) => transfer.run().await,
            Self::Keys(keys) => keys::run(keys).await,
        }
    }

    /// Whether the command uses the private Postgres.
    pub(crate) fn uses_private_postgres(&self) -> bool {
        matches!(self, Self::Keys(Keys::Bootstrap(bootstrap)) if bootstrap.database.is_private())
    }

    /// Whether the command itself handles SIGINT and SIGTERM.
    pub(crate) fn handles_interrupts(&self) -> bool {
        matches!(self, Self::Transfer(transfer) if transfer.handles_interrupts())
    }
}

/// The resources of the contract.
fn resources() -> &'static [lists::Resource] {
    static RESOURCES: LazyLock<Vec<lists::Resource>> = LazyLock::new(|| lists::resources(pool()));
    &RESOURCES
}

/// The list with this method, as in `jobs.v1.JobService.ListJobs`.
pub(crate) fn list(method: &str) -> Option<&'static lists::List> {
    resources().iter().flat_map(|resource| &resource.lists).find(|list| list.method.full_name == method)
}

fn find(name: &str) -> Option<&'static lists::Resource> {
    resources().iter().find(|resource| resource.name == name)
}

impl Subcommand for Resource {
    fn augment_subcommands(command: Command) -> Command {
        command.subcommands(resources().iter().map(|resource| {
            let names = resource.full_name.replace('-', " ");
            let command = Command::new(&*resource.name)
                .about(format!("Work with the {names} of a running server"))
                .subcommand_required(true)
                .arg_required_else_help(true)
                .defer(commands);
            if resource.name == resource.full_name { command } else { command.visible_alias(&*resource.full_name) }
        }))
    }

    fn augment_subcommands_for_update(command: Command) -> Command {
        Self::augment_subcommands(command)
    }

    fn has_subcommand(name: &str) -> bool {
        find(name).is_some()
    }
}

/// Adds the commands of a resource.
fn commands(command: Command) -> Command {
    let Some(resource) = find(command.get_name()) else { return command };
    let names = resource.full_name.replace('-', " ");
    let mut command = command;
    for list in &resource.lists {
        let about = if list.verb == "list" { format!("List the {names}") } else { about(&list.method) };
        let list = fields::augment(Command::new(&*list.verb), &list.method, Some(FILTERS));
        command = command.subcommand(ListArguments::augment_args(list).about(about).args_override_self(true));
    }
    if let Some(method) = &resource.get {
        let get = fields::augment(Command::new(GET), method, None);
        command =
            command.subcommand(GetArguments::augment_args(get).about(about(method).replacen("Return", "Print", 1)));
    }
    if let Some(method) = &resource.delete {
        let delete = fields::augment(Command::new(DELETE), method, None).next_help_heading("Connection");
        let delete = Connect::augment_args(delete).about(about(method));
        let delete = if method.verb == DELETE { delete } else { delete.visible_alias(&*method.verb) };
        command = command.subcommand(delete);
    }
    if resource.name == KEYS { Keys::augment_subcommands(command) } else { imports::augment(command) }
}

/// The first sentence about a method, as a request: `Delete a job` for `Deletes a job.`
fn about(method: &Method) -> String {
    let comment = method.comment();
    let sentence = fields::first_sentence(&comment);
    match sentence.split_once(' ') {
        Some((verb, rest)) => format!("{} {rest}", verb.strip_suffix('s').unwrap_or(verb)),
        None => sentence.to_owned(),
    }
}

impl FromArgMatches for Resource {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let missing = || Error::new(ErrorKind::MissingSubcommand);
        let (name, of_resource) = matches.subcommand().ok_or_else(missing)?;
        let (verb, matches) = of_resource.subcommand().ok_or_else(missing)?;
        let resource = find(name).ok_or_else(missing)?;
        let list = resource.lists.iter().find(|list| list.verb == verb);
        Ok(match (verb, list, &resource.get, &resource.delete) {
            (_, Some(list), ..) => Self::List(Box::new(list::Listing::new(list, matches)?)),
            (GET, _, Some(method), _) => Self::Get(record::Get::new(method, matches)?),
            (DELETE, _, _, Some(method)) => Self::Delete(record::Delete::new(method, matches)?),
            (_, None, ..) if name == KEYS => Self::Keys(Keys::from_arg_matches(of_resource)?),
            (_, None, ..) => Self::Transfer(Transfer::new(name, verb, matches)?),
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// Adds a tip to an error about an argument that the command does not have: its flags, or how a value of the flag before
/// is written.
pub(crate) fn name_flags(mut error: Error) -> Error {
    let Some(ContextValue::String(unknown)) = error.get(ContextKind::InvalidArg) else { return error };
    if error.kind() != ErrorKind::UnknownArgument {
        return error;
    }
    let mut program = Arguments::command();
    program.build();
    let arguments: Vec<_> = env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned()).collect();
    let command = arguments.iter().fold(&program, |command, name| command.find_subcommand(name).unwrap_or(command));
    let flags = || command.get_arguments().filter(|flag| !flag.is_hide_set());
    let names = flags().filter_map(|flag| Some(format!("--{}", flag.get_long()?)));
    let tip = if unknown.starts_with('-') {
        Some(format!("the flags of this command are {}", names.collect::<Vec<_>>().join(", ")))
    } else {
        let with_equals = flags().filter(|flag| flag.is_require_equals_set()).filter_map(|flag| flag.get_long());
        let mut written = with_equals.map(|name| [format!("--{name}"), unknown.clone()]);
        written.find(|pair| arguments.windows(2).any(|two| two == pair)).map(|pair| format!("write {}", pair.join("=")))
    };
    if let Some(tip) = tip {
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    }
    error
}
