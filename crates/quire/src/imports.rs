//! The commands `quire <noun> import` and `quire <noun> export`, two for each import of each service.

use std::path::{Path, PathBuf};

use clap::{
    ArgMatches, Args, Command, FromArgMatches,
    error::{Error, ErrorKind},
};
use platform::Service;

use crate::{
    arguments::Connect,
    export, import,
    records::{Listing, Records},
    services::SERVICES,
};

const IMPORT: &str = "import";
const EXPORT: &str = "export";

/// An import or an export: the kind of records and the command's arguments.
#[derive(Debug)]
pub(crate) struct Transfer {
    service: &'static Service,
    import: &'static platform::Import,
    action: Action,
}

#[derive(Debug)]
enum Action {
    Import(ImportArguments),
    Export(ExportArguments),
}

#[derive(Debug, Args)]
pub(crate) struct ImportArguments {
    /// The file, or `-` for standard input
    pub(crate) file: PathBuf,

    #[command(flatten)]
    pub(crate) connect: Connect,
}

#[derive(Debug, Args)]
pub(crate) struct ExportArguments {
    /// The file, or `-` for standard output
    pub(crate) file: PathBuf,

    /// Continue an export that was interrupted or has failed. It begins if it has not begun, and does nothing if the file is
    /// complete
    #[arg(long, conflicts_with = "force")]
    pub(crate) resume: bool,

    /// Replace an existing file, or begin an export again that has not ended
    #[arg(long)]
    pub(crate) force: bool,

    #[command(flatten)]
    pub(crate) connect: Connect,
}

impl ExportArguments {
    /// Whether the rows go to standard output.
    pub(crate) fn is_to_stdout(&self) -> bool {
        self.file == Path::new("-")
    }
}

impl Transfer {
    /// Reads the arguments of the command `verb` of a resource.
    pub(crate) fn new(noun: &str, verb: &str, matches: &ArgMatches) -> Result<Self, Error> {
        let (service, import) = find(noun).ok_or_else(|| Error::new(ErrorKind::MissingSubcommand))?;
        let action = if verb == EXPORT {
            let arguments = ExportArguments::from_arg_matches(matches)?;
            if arguments.resume && arguments.is_to_stdout() {
                let message = "an export to standard output cannot be resumed";
                return Err(Error::raw(ErrorKind::ArgumentConflict, message));
            }
            Action::Export(arguments)
        } else {
            Action::Import(ImportArguments::from_arg_matches(matches)?)
        };
        Ok(Self { service, import, action })
    }

    pub(crate) async fn run(self) -> Result<(), crate::error::Error> {
        match self.action {
            Action::Import(arguments) => import::import(self.service, self.import, arguments).await,
            Action::Export(arguments) => export::export(self.service, self.import, arguments).await,
        }
    }

    /// Whether the command itself handles SIGINT and SIGTERM, because it has something to save.
    pub(crate) fn handles_interrupts(&self) -> bool {
        matches!(&self.action, Action::Export(arguments) if !arguments.is_to_stdout())
    }
}

/// Adds the commands of a resource, if it can be imported.
pub(crate) fn augment(command: Command) -> Command {
    let Some((about_import, about_export)) = about(command.get_name()) else { return command };
    let import = ImportArguments::augment_args(Command::new(IMPORT));
    let export = ExportArguments::augment_args(Command::new(EXPORT));
    command.subcommand(about_import.of(import)).subcommand(about_export.of(export))
}

fn find(noun: &str) -> Option<(&'static Service, &'static platform::Import)> {
    let mut imports = SERVICES.iter().flat_map(|service| service.imports.iter().map(|import| (*service, import)));
    imports.find(|(_, import)| import.noun == noun)
}

/// What a command does.
struct About {
    /// For the list of commands.
    short: String,
    /// For the help of the command.
    long: String,
}

impl About {
    fn of(self, command: Command) -> Command {
        command.about(self.short).long_about(self.long)
    }
}

/// What import and export do.
fn about(noun: &str) -> Option<(About, About)> {
    let (service, import) = find(noun)?;
    let message = Records::new(service, import).ok()?.message().to_owned();
    let listing = Listing::new(service, import).ok()?;
    let long_import = format!(
        "Import records from a file with one {message} on each line, in protobuf's JSON. Records that are identical to an \
         existing record or to an earlier line are skipped, so an interrupted import can be run again"
    );
    let long_export = format!(
        "Export all {} to a file that `import` reads, with one {message} on each line, in protobuf's JSON. While the export \
         runs, the rows are in FILE.partial. {}",
        import.records,
        listing.not_exported()
    );
    let about_import = About { short: format!("Import {} from a file", import.records), long: long_import };
    let short = format!("Export all {} to a file that `import` reads", import.records);
    Some((about_import, About { short, long: long_export }))
}
