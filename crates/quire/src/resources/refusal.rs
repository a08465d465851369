//! What a server says of a request, in the words of the command line.

use client::lists::Method;
use pagination::{PageTokenErrorKind, WalkError, WalkErrorKind};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::fields::{in_arguments, name};
use crate::error::Error;

/// The flags for the fields of a `PageRequest`.
const PAGE_FLAGS: [(&str, &str); 4] =
    [("page_size", "--limit"), ("page_token", "--cursor"), ("skip", "--offset"), ("total_count", "--total")];

/// The error of a walk through a list.
pub(super) fn stopped(method: &Method, error: &WalkError) -> Error {
    match &error.kind {
        WalkErrorKind::Call(status) | WalkErrorKind::PageToken(status) => refused(method, status),
        WalkErrorKind::RepeatedPageToken => Error::Walk(error.to_string()),
    }
}

/// The error of a call. Fields of the request are named as the arguments that set them.
pub(super) fn refused(method: &Method, status: &Status) -> Error {
    let details = status.get_error_details();
    if let Some(kind) = details.error_info().and_then(|info| page_token_error(&info.reason)) {
        return Error::Usage(format!("--cursor {}", cursor_error(kind)));
    }
    let violations = details.bad_request().map(|request| request.field_violations.as_slice()).unwrap_or_default();
    if !violations.is_empty() {
        let violations = violations.iter().map(|violation| {
            let description = in_arguments(method, &violation.field, &violation.description);
            format!("{} {description}", argument(method, &violation.field))
        });
        return Error::Usage(violations.collect::<Vec<_>>().join("; "));
    }
    match details.resource_info() {
        Some(resource) if status.code() == Code::NotFound => Error::NotFound(format!(
            "the {} {:?} does not exist",
            words(&resource.resource_type),
            resource.resource_name
        )),
        Some(_) | None => Error::of_call(status),
    }
}

/// The name of a message in words, as in `prompt version` for `prompts.v1.PromptVersion`.
fn words(message: &str) -> String {
    let (_, name) = message.rsplit_once('.').unwrap_or(("", message));
    let spaced: String = name.chars().flat_map(|c| c.is_uppercase().then_some(' ').into_iter().chain([c])).collect();
    spaced.trim_start().to_lowercase()
}

fn page_token_error(reason: &str) -> Option<PageTokenErrorKind> {
    use PageTokenErrorKind::{Expired, Malformed, QueryChanged, UnsupportedVersion, Untrusted};
    let kinds = [Malformed, Untrusted, Expired, QueryChanged, UnsupportedVersion];
    kinds.into_iter().find(|kind| kind.reason() == reason)
}

fn cursor_error(kind: PageTokenErrorKind) -> String {
    match kind {
        PageTokenErrorKind::Malformed => "is not a cursor: copy the whole text".to_owned(),
        PageTokenErrorKind::Untrusted => "is not a cursor of this server, or was changed".to_owned(),
        PageTokenErrorKind::Expired => "has expired: begin again without it".to_owned(),
        PageTokenErrorKind::QueryChanged => {
            "belongs to another list, or to other filters or another order: use the same ones, or begin again without \
             --cursor"
                .to_owned()
        }
        PageTokenErrorKind::UnsupportedVersion => {
            "is not a cursor, or has a version that the server does not support: begin again without it".to_owned()
        }
        kind => kind.to_string(),
    }
}

/// The argument that sets a field, as in `--status` for `statuses[0]`.
fn argument(method: &Method, path: &str) -> String {
    let (field, rest) = path.split_once(['.', '[']).unwrap_or((path, ""));
    let of_page = PAGE_FLAGS.iter().find(|(name, _)| *name == rest);
    if let Some((_, flag)) = of_page {
        return (*flag).to_owned();
    }
    let found = method.fields.iter().find(|other| other.descriptor.name() == field);
    found.map_or_else(|| path.to_owned(), name)
}
