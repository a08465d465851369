//! `quire <resource> list`, and other lists of a resource.

mod arguments;

use std::{
    io::{self, IsTerminal},
    time::Duration,
};

use clap::{ArgMatches, FromArgMatches, error::Error as ArgumentError};
use client::{Client, lists::List};
use console::Term;
use futures_util::StreamExt;
use indicatif::ProgressBar;
use pagination::{
    Page, Pages, WalkError,
    proto::{PageRequest, PageResponse, TotalCount, TotalCountPrecision},
};
use prost_reflect::DynamicMessage;
use serde_json::{Map, Value};

pub(super) use self::arguments::ListArguments;
use self::arguments::Paging;
use super::{fields, jobs, jobs::Summary, refusal::stopped};
use crate::{
    error::Error,
    export,
    output::{Choice, Format, Output},
};

/// How many lines of a terminal are not rows of a list that is watched: those above the rows and below.
const OTHER_LINES: u16 = 8;

#[derive(Debug)]
pub(crate) struct Listing {
    list: &'static List,
    request: DynamicMessage,
    /// Further flags of a command that goes on where the list was cut.
    to_continue: Vec<String>,
    arguments: ListArguments,
}

impl Listing {
    pub(super) fn new(list: &'static List, matches: &ArgMatches) -> Result<Self, ArgumentError> {
        let arguments = ListArguments::from_arg_matches(matches)?;
        let request = fields::request(&list.method, matches);
        Ok(Self { list, request, to_continue: fields::absolute_times(&list.method, matches), arguments })
    }

    /// Prints the rows, again and again if they are watched.
    pub(super) async fn run(self) -> Result<(), Error> {
        let Self { list, request, to_continue, arguments } = self;
        arguments.check()?;
        let ListArguments { mut paging, watch, choice, connect } = arguments;
        // The columns are checked before anything else.
        drop(Output::new(list.rows.name(), &list.row, &choice)?);
        let terminal = Term::stdout();
        if watch.is_some() && terminal.is_term() {
            let lines = terminal.size().0.saturating_sub(OTHER_LINES).max(1);
            paging.limit = paging.limit.or(Some(lines.into()));
        }
        let command = async |client| {
            let printer = Printer { client, list, request, to_continue, paging, choice };
            let Some(seconds) = watch else { return printer.print(|| Ok(())).await };
            loop {
                printer.print(|| if terminal.is_term() { terminal.clear_screen() } else { Ok(()) }).await?;
                tokio::time::sleep(Duration::from_secs(seconds)).await;
            }
        };
        connect.run(command).await
    }
}

/// Prints a list.
struct Printer {
    client: Client,
    list: &'static List,
    request: DynamicMessage,
    to_continue: Vec<String>,
    paging: Paging,
    choice: Choice,
}

/// What was printed.
#[derive(Default)]
struct Printed {
    rows: u64,
    /// The page token after these rows.
    next_page_token: String,
    total: Option<(i64, TotalCountPrecision)>,
}

impl Printer {
    /// Prints the rows as pages arrive. `begin` is called before anything is printed.
    async fn print(&self, begin: impl FnOnce() -> io::Result<()>) -> Result<(), Error> {
        let mut output = Output::new(self.list.rows.name(), &self.list.row, &self.choice)?;
        let progress = self.progress();
        let mut pages = self.pages(&progress);
        let (mut next, summary) = tokio::join!(pages.next(), self.summary());
        let summary = summary.map_err(|error| stopped(&self.list.method, &error))?;
        begin().map_err(Error::Stdout)?;
        if let (Some(summary), Some(Ok(page))) = (&summary, &next) {
            output.heading(&summary.heading(&self.showing(page)))?;
        }
        let mut printed = Printed::default();
        while let Some(page) = next {
            let Page { rows, page } = page.map_err(|error| {
                progress.finish_and_clear();
                self.say_how_to_continue(&printed);
                stopped(&self.list.method, &error)
            })?;
            output.rows(&rows)?;
            printed.add(rows.len(), page);
            progress.set_position(printed.rows);
            if let Some((total, _)) = printed.total {
                progress.set_length(total.try_into().unwrap_or_default());
            }
            next = pages.next().await;
        }
        progress.finish_and_clear();
        output.finish(self.members(summary.as_ref(), &printed))?;
        self.say_total(&printed);
        self.say_how_to_continue(&printed);
        Ok(())
    }

    fn pages(&self, progress: &ProgressBar) -> Pages<DynamicMessage> {
        let total_count = match self.paging.total {
            Some(total) => total.into(),
            // The cheapest, for the progress bar.
            None if !progress.is_hidden() => TotalCount::Estimated,
            None => TotalCount::Unspecified,
        };
        let first = PageRequest {
            page_token: self.paging.cursor.clone().unwrap_or_default(),
            skip: self.paging.offset.unwrap_or_default(),
            total_count: total_count.into(),
            page_size: 0,
        };
        let walk = self.list.walk(self.client.clone(), self.request.clone()).page(first);
        let walk = if let Some(limit) = self.paging.limit() { walk.limit(limit) } else { walk };
        walk.pages()
    }

    /// Shown if all rows go to a file or another program, and standard error is a terminal.
    fn progress(&self) -> ProgressBar {
        let is_shown = self.paging.all && !io::stdout().is_terminal();
        if is_shown { export::progress(0, self.list.rows.name()) } else { ProgressBar::hidden() }
    }

    /// The summary of jobs, if the format has room for it.
    async fn summary(&self) -> Result<Option<Summary>, WalkError> {
        let has_summary = match self.choice.format() {
            Format::Table | Format::Wide | Format::Json => self.list.method.full_name == jobs::LIST_JOBS,
            Format::Ndjson | Format::Csv => false,
        };
        if has_summary { Summary::fetch(self.client.clone()).await.map(Some) } else { Ok(None) }
    }

    /// How many rows are shown, as far as the first page says.
    fn showing(&self, first: &Page<DynamicMessage>) -> String {
        let count = first.rows.len() as u64;
        match self.paging.limit() {
            _ if first.page.next_page_token.is_empty() => count.to_string(),
            Some(limit) if limit <= count => count.to_string(),
            Some(limit) => format!("at most {limit}"),
            None => "all".to_owned(),
        }
    }

    /// The members of a JSON document beside the rows.
    fn members(&self, summary: Option<&Summary>, printed: &Printed) -> Map<String, Value> {
        let mut page = Map::new();
        page.insert("next_page_token".to_owned(), printed.next_page_token.clone().into());
        if let Some((total, precision)) = printed.total.filter(|_| self.paging.total.is_some()) {
            page.insert("total_count".to_owned(), total.into());
            page.insert("total_count_precision".to_owned(), precision_word(precision).into());
        }
        let mut members = Map::new();
        if let Some(summary) = summary {
            members = summary.members(printed.rows);
            members.insert("filter_applied".to_owned(), fields::filters(&self.request).into());
            members.insert("limit_applied".to_owned(), self.paging.limit().into());
            members.insert("offset_applied".to_owned(), self.paging.offset.unwrap_or_default().into());
        }
        members.insert("page".to_owned(), page.into());
        members
    }

    fn say_total(&self, printed: &Printed) {
        if self.paging.total.is_none() || self.choice.format() == Format::Json {
            return;
        }
        match printed.total {
            Some((total, TotalCountPrecision::AtLeast)) => eprintln!("total: at least {total}"),
            Some((total, TotalCountPrecision::Estimate)) => eprintln!("total: about {total} (estimate)"),
            Some((total, TotalCountPrecision::Exact | TotalCountPrecision::Unspecified)) => {
                eprintln!("total: {total} (exact)");
            }
            None => {}
        }
    }

    fn say_how_to_continue(&self, printed: &Printed) {
        let Printed { rows, next_page_token, .. } = printed;
        if next_page_token.is_empty() {
            return;
        }
        let times: String = self.to_continue.iter().map(|flag| format!(" {flag}")).collect();
        let instead = if self.paging.offset.is_some() { " instead of --offset" } else { "" };
        eprintln!("{rows} shown; go on with{times} --cursor {next_page_token}{instead}");
    }
}

impl Printed {
    fn add(&mut self, rows: usize, page: PageResponse) {
        self.rows += rows as u64;
        // Only the first page has it.
        self.total = self.total.or(page.total_count.map(|total| (total, page.total_count_precision())));
        self.next_page_token = page.next_page_token;
    }
}

fn precision_word(precision: TotalCountPrecision) -> String {
    let name = precision.as_str_name();
    name.strip_prefix("TOTAL_COUNT_PRECISION_").unwrap_or(name).to_ascii_lowercase()
}
