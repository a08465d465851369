//! `quire <resource> get` and `delete`.

use clap::{ArgMatches, Args, FromArgMatches, error::Error as ArgumentError};
use client::lists::Method;
use prost_reflect::{DynamicMessage, ReflectMessage, Value};

use super::{fields, refusal::refused};
use crate::{
    arguments::Connect,
    error::Error,
    output::{self, Choice, Output},
    terminal::shown,
};

#[derive(Debug, Args)]
pub(super) struct GetArguments {
    #[command(flatten)]
    choice: Choice,

    #[command(flatten, next_help_heading = "Connection")]
    connect: Connect,
}

#[derive(Debug)]
pub(crate) struct Get {
    method: &'static Method,
    request: DynamicMessage,
    arguments: GetArguments,
}

impl Get {
    pub(super) fn new(method: &'static Method, matches: &ArgMatches) -> Result<Self, ArgumentError> {
        let arguments = GetArguments::from_arg_matches(matches)?;
        Ok(Self { method, request: fields::request(method, matches), arguments })
    }

    /// Prints the record.
    pub(super) async fn run(self) -> Result<(), Error> {
        let Self { method, request, arguments: GetArguments { choice, connect } } = self;
        let response = call(connect, method, request).await?;
        Output::one(&record(response), &choice)
    }
}

async fn call(connect: Connect, method: &Method, request: DynamicMessage) -> Result<DynamicMessage, Error> {
    let call = async |client| method.call(client, request).await.map_err(|status| refused(method, &status));
    connect.run(call).await
}

/// The only message in a response, or the whole response.
fn record(response: DynamicMessage) -> DynamicMessage {
    let descriptor = response.descriptor();
    let mut fields = descriptor.fields();
    match (fields.next().map(|field| response.get_field(&field).into_owned()), fields.next()) {
        (Some(Value::Message(record)), None) => record,
        _ => response,
    }
}

#[derive(Debug)]
pub(crate) struct Delete {
    method: &'static Method,
    request: DynamicMessage,
    identity: String,
    connect: Connect,
}

impl Delete {
    pub(super) fn new(method: &'static Method, matches: &ArgMatches) -> Result<Self, ArgumentError> {
        let connect = Connect::from_arg_matches(matches)?;
        let identity = fields::identity(method, matches);
        Ok(Self { method, request: fields::request(method, matches), identity, connect })
    }

    /// Deletes the record, and says on standard error what was done.
    pub(super) async fn run(self) -> Result<(), Error> {
        let Self { method, request, identity, connect } = self;
        let response = call(connect, method, request).await?;
        let counts = output::json(&response).into_iter().filter(|(_, value)| value.is_number());
        let counts = counts.map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", ");
        let verb = method.verb.trim_end_matches('e');
        let done = format!("{verb}ed the {} {identity}", method.noun.replace('-', " "));
        let counts = if counts.is_empty() { counts } else { format!(": {counts}") };
        eprintln!("{}{counts}", shown(&done));
        Ok(())
    }
}
