//! The fields of a request as arguments of a command.

use clap::{
    Arg, ArgAction, ArgMatches, Command,
    builder::{PossibleValue, PossibleValuesParser, TypedValueParser},
};
use client::lists::{Field, Method};
use platform::Clock;
use prost_reflect::{DynamicMessage, Kind, Value};
use prost_types::Timestamp;

const TIMES: &str = "A TIME is RFC 3339, a date as in 2026-10-01, or how long ago, as in 24h.";
const ORDER_BY: &str = "order_by";

/// Adds the fields: those that identify are positional, and all others are flags, below this heading if there is one.
pub(super) fn augment(command: Command, method: &'static Method, heading: Option<&'static str>) -> Command {
    let command = command.args(method.fields.iter().map(|field| argument(method, field, heading)));
    if method.fields.iter().any(Field::is_time) { command.after_help(TIMES) } else { command }
}

fn argument(method: &Method, field: &'static Field, heading: Option<&'static str>) -> Arg {
    let comment = in_arguments(method, field.descriptor.name(), field.comment().trim_end_matches('.'));
    let first = first_sentence(&comment).to_owned();
    let argument = Arg::new(field.descriptor.full_name());
    let argument = if first == comment { argument.help(first) } else { argument.help(first).long_help(comment) };
    let name = field.name().replace('-', "_").to_ascii_uppercase();
    let kind = field.descriptor.kind();
    let argument = if let Kind::Bool = kind {
        parse_words(argument, field, vec!["true".to_owned(), "false".to_owned()])
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true")
            .hide_possible_values(true)
            .value_name("true|false")
    } else if let Some(words) = field.words() {
        parse_words(argument, field, words)
    } else {
        let value_name = if field.is_time() { "TIME" } else { &name };
        argument.value_parser(|text: &str| parse(field, text)).value_name(value_name.to_owned())
    };
    if field.is_identifying() {
        return argument.required(true);
    }
    let argument = argument.long(field.name());
    let argument = if field.descriptor.name() == ORDER_BY { argument } else { argument.help_heading(heading) };
    if field.descriptor.is_list() {
        return argument.action(ArgAction::Append).value_delimiter(',').value_name(format!("{name},…"));
    }
    argument
}

/// Accepts these words in any case, and `-` for `_`.
fn parse_words(argument: Arg, field: &'static Field, words: Vec<String>) -> Arg {
    let words = words.into_iter().map(|word| PossibleValue::new(word.clone()).alias(word.replace('_', "-")));
    let parser = PossibleValuesParser::new(words).try_map(|text| parse(field, &text.to_ascii_lowercase()));
    argument.value_parser(parser).ignore_case(true).value_name(field.name().to_ascii_uppercase())
}

fn parse(field: &Field, text: &str) -> Result<Value, String> {
    field.parse(text, Clock::system().now())
}

/// The name of its argument, as in `--status`.
pub(super) fn name(field: &Field) -> String {
    if field.is_identifying() { field.name().replace('-', "_").to_uppercase() } else { format!("--{}", field.name()) }
}

/// A text about a field, with the arguments for the other fields that it names, as in `must not be before create_time_from`.
pub(super) fn in_arguments(method: &Method, field: &str, text: &str) -> String {
    // An order has the names of the rows' fields.
    let is_order = field == ORDER_BY;
    let in_argument = |word: &str| {
        let (word, end) = word.split_at(word.trim_end_matches(['.', ',', ';', ':']).len());
        let field = method.fields.iter().find(|field| word.contains('_') && field.descriptor.name() == word);
        field.filter(|_| !is_order).map_or_else(|| word.to_owned(), name) + end
    };
    text.split(' ').map(in_argument).collect::<Vec<_>>().join(" ")
}

/// The request that the arguments make.
pub(super) fn request(method: &Method, matches: &ArgMatches) -> DynamicMessage {
    let mut request = DynamicMessage::new(method.input.clone());
    for Field { descriptor, .. } in &method.fields {
        let Some(values) = matches.get_many::<Value>(descriptor.full_name()) else { continue };
        let mut values = values.cloned();
        let value = if descriptor.is_list() { Some(Value::List(values.collect())) } else { values.next() };
        if let Some(value) = value {
            request.set_field(descriptor, value);
        }
    }
    request
}

/// The flags that say how long ago a time is, with the time that they mean now, as in
/// `--create-time-from 2026-10-01T12:00:00Z`.
pub(super) fn absolute_times(method: &Method, matches: &ArgMatches) -> Vec<String> {
    let times = method.fields.iter().filter_map(|field| {
        let id = field.descriptor.full_name();
        let (text, time) = (matches.get_raw(id)?.next_back()?.to_str()?, matches.get_one::<Value>(id)?);
        let time: Timestamp = time.as_message()?.transcode_to().ok()?;
        text.parse::<Timestamp>().is_err().then(|| format!("--{} {time}", field.name()))
    });
    times.collect()
}

/// What identifies the record, as it was written.
pub(super) fn identity(method: &Method, matches: &ArgMatches) -> String {
    let fields = method.fields.iter().filter(|field| field.is_identifying());
    let texts = fields.filter_map(|field| matches.get_raw(field.descriptor.full_name()));
    texts.flatten().map(|text| text.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// The fields that a request filters by, as people see them.
pub(super) fn filters(request: &DynamicMessage) -> serde_json::Map<String, serde_json::Value> {
    let mut filters = crate::output::json(request);
    filters.retain(|name, _| name != ORDER_BY && request.has_field_by_name(name));
    filters
}

/// The first sentence of a comment, without its full stop.
pub(super) fn first_sentence(comment: &str) -> &str {
    let sentence = comment.split_once(". ").map_or(comment, |(sentence, _)| sentence);
    sentence.strip_suffix('.').unwrap_or(sentence)
}
