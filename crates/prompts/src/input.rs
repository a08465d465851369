//! Requests, made into rows once they are known to be right.

use std::{
    collections::{BTreeMap, HashSet},
    ops::RangeInclusive,
};

use keyset::MAX_PAGE_BYTES;
use pagination::InvalidArgument;
use platform::{Error, Ids, Platform, Violations, now};
use prost::Message;
use quire_proto::prompts::v1::{
    AssignLabelRequest, CreatePromptRequest, GetPromptVersionRequest, Prompt, PromptVersion, ResolvePromptRequest,
    UpdatePromptRequest,
};
use sha2::{Digest, Sha256};
use sqlx::types::Json;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::rows::{Change, LabelRow, NewPrompt, PromptRow, VersionRow};

/// The most prompts that one call makes.
pub const MAX_BATCH: usize = 1_000;
const NAME_BYTES: RangeInclusive<usize> = 1..=256;
const SURFACE_BYTES: RangeInclusive<usize> = 0..=64;
const CONTENT_BYTES: RangeInclusive<usize> = 1..=1 << 20;
const MODEL_BYTES: RangeInclusive<usize> = 0..=128;
/// Of an author, or of who moves a label.
const PERSON_BYTES: RangeInclusive<usize> = 0..=128;
const LABEL_BYTES: RangeInclusive<usize> = 1..=64;
/// Of one to compare with, which may be any text.
const ETAG_BYTES: RangeInclusive<usize> = 0..=256;
/// The label that a program means when it names none.
const DEFAULT_LABEL: &str = "production";
const MAX_TAGS: usize = 32;
const MAX_METADATA_ENTRIES: usize = 64;
const MAX_METADATA_BYTES: usize = 8 << 10;
const MAX_KEY_BYTES: usize = 64;
const MAX_VALUE_BYTES: usize = 1_024;

/// The id that a field names.
pub(crate) fn id(field: &str, text: &str) -> Result<Uuid, Error> {
    let mut violations = Violations::default();
    let id = violations.id(field, text);
    violations.check()?;
    Ok(id)
}

/// The path of a batch's request, with the dot behind it.
fn request_path(place: usize) -> String {
    format!("requests[{place}].")
}

/// The prompt that a request asks for.
pub(crate) fn new_prompt(request: CreatePromptRequest, platform: &Platform) -> Result<NewPrompt, Error> {
    let mut violations = Violations::default();
    let new = read(&mut violations, String::new(), request, &platform.ids, now(&platform.clock));
    violations.check()?;
    Ok(new)
}

/// The prompts that a batch asks for.
pub(crate) fn new_prompts(requests: Vec<CreatePromptRequest>, platform: &Platform) -> Result<Vec<NewPrompt>, Error> {
    if !(1..=MAX_BATCH).contains(&requests.len()) {
        let description = format!("must be 1 to {MAX_BATCH}; there are {}", requests.len());
        return Err(InvalidArgument::field("requests", description).into());
    }
    let mut violations = Violations::default();
    check_unique(&mut violations, &requests);
    let create_time = now(&platform.clock);
    let mut new = Vec::with_capacity(requests.len());
    for (place, request) in requests.into_iter().enumerate() {
        new.push(read(&mut violations, request_path(place), request, &platform.ids, create_time));
    }
    violations.check()?;
    let bytes: usize = new.iter().map(|new| Prompt::from(new.prompt.clone()).encoded_len()).sum();
    if bytes > MAX_PAGE_BYTES as usize {
        let description =
            format!("the prompts, without their versions, must have at most {MAX_PAGE_BYTES} bytes in all");
        return Err(InvalidArgument::field("requests", description).into());
    }
    Ok(new)
}

/// The version that a request asks to be added.
pub(crate) fn new_version(version: PromptVersion, platform: &Platform) -> Result<VersionRow, Error> {
    let mut violations = Violations::default();
    let prompt_id = violations.id("version.prompt_id", &version.prompt_id);
    let version = read_version(&mut violations, "", version, prompt_id, now(&platform.clock));
    violations.check()?;
    Ok(version)
}

/// The label that a request asks for.
pub(crate) fn label(request: AssignLabelRequest, platform: &Platform) -> Result<LabelRow, Error> {
    let mut violations = Violations::default();
    let prompt_id = violations.id("prompt_id", &request.prompt_id);
    violations.text("label", &request.label, LABEL_BYTES);
    violations.at_least("version", request.version, 1);
    violations.text("assigned_by", &request.assigned_by, PERSON_BYTES);
    violations.check()?;
    let AssignLabelRequest { label, version, assigned_by, .. } = request;
    Ok(LabelRow { prompt_id, label, version, assigned_by, assign_time: now(&platform.clock) })
}

/// The prompt and the number of the version that a request asks for.
pub(crate) fn version(request: &GetPromptVersionRequest) -> Result<(Uuid, i32), Error> {
    let mut violations = Violations::default();
    let prompt_id = violations.id("prompt_id", &request.prompt_id);
    violations.at_least("version", request.version, 1);
    violations.check()?;
    Ok((prompt_id, request.version))
}

/// The name and the label that a request asks for.
pub(crate) fn name_and_label(request: ResolvePromptRequest) -> Result<(String, String), Error> {
    let ResolvePromptRequest { name, label } = request;
    let label = label.unwrap_or_else(|| DEFAULT_LABEL.to_owned());
    let mut violations = Violations::default();
    violations.text("name", &name, NAME_BYTES);
    violations.text("label", &label, LABEL_BYTES);
    violations.check()?;
    Ok((name, label))
}

/// Which prompt a request asks to change, and how.
///
/// As [AIP-134](https://google.aip.dev/134) has it, a mask that is left out names the fields that are not empty, and `*`
/// names all of them.
pub(crate) fn change(request: UpdatePromptRequest, platform: &Platform) -> Result<(Uuid, Change), Error> {
    let prompt = request.prompt.unwrap_or_default();
    let paths = request.update_mask.unwrap_or_default().paths;
    let mut violations = Violations::default();
    let id = violations.id("prompt.id", &prompt.id);
    let names = |field, is_empty: bool| match paths.as_slice() {
        [] => !is_empty,
        paths => paths.iter().any(|path| path == field || path == "*"),
    };
    let change = Change {
        name: names("name", prompt.name.is_empty()).then_some(prompt.name),
        surface: names("surface", prompt.surface.is_empty()).then_some(prompt.surface),
        tags: names("tags", prompt.tags.is_empty()).then_some(prompt.tags),
        metadata: names("metadata", prompt.metadata.is_empty()).then_some(prompt.metadata),
        expected_etag: prompt.etag,
        new_etag: platform.ids.next(),
        update_time: now(&platform.clock),
    };
    violations.text("prompt.etag", &change.expected_etag, ETAG_BYTES);
    check_change(&mut violations, &paths, &change);
    violations.check()?;
    Ok((id, change))
}

fn check_change(violations: &mut Violations, paths: &[String], change: &Change) {
    const MUTABLE: [&str; 5] = ["name", "surface", "tags", "metadata", "*"];
    let Change { name, surface, tags, metadata, .. } = change;
    let is_nothing = name.is_none() && surface.is_none() && tags.is_none() && metadata.is_none();
    if is_nothing || !paths.iter().all(|path| MUTABLE.contains(&path.as_str())) {
        violations.add("update_mask", "must name fields to change, out of name, surface, tags and metadata");
    }
    name.iter().for_each(|name| violations.text("prompt.name", name, NAME_BYTES));
    surface.iter().for_each(|surface| violations.text("prompt.surface", surface, SURFACE_BYTES));
    tags.iter().for_each(|tags| check_tags(violations, "prompt.tags", tags));
    metadata.iter().for_each(|metadata| check_metadata(violations, "prompt.metadata", metadata));
}

/// Looks for ids and names that two requests of a batch give.
fn check_unique(violations: &mut Violations, requests: &[CreatePromptRequest]) {
    let (mut ids, mut names) = (HashSet::new(), HashSet::new());
    for (place, prompt) in
        requests.iter().enumerate().filter_map(|(place, request)| Some((place, request.prompt.as_ref()?)))
    {
        for (field, value, seen) in
            [("id", prompt.id.to_lowercase(), &mut ids), ("name", prompt.name.clone(), &mut names)]
        {
            if !value.is_empty() && !seen.insert(value) {
                let path = request_path(place);
                violations
                    .add(format_args!("{path}prompt.{field}"), "must not be that of another request of the batch");
            }
        }
    }
}

fn read(
    violations: &mut Violations,
    path: String,
    request: CreatePromptRequest,
    ids: &Ids,
    create_time: OffsetDateTime,
) -> NewPrompt {
    let prompt = request.prompt.unwrap_or_default();
    check_prompt(violations, &path, &prompt);
    let is_id_given = !prompt.id.is_empty();
    let id = if is_id_given { violations.id(format_args!("{path}prompt.id"), &prompt.id) } else { ids.next() };
    NewPrompt {
        version: read_version(violations, &path, request.version.unwrap_or_default(), id, create_time),
        path,
        is_id_given,
        prompt: PromptRow {
            id,
            name: prompt.name,
            surface: prompt.surface,
            tags: prompt.tags,
            metadata: Json(prompt.metadata),
            latest_version: 1,
            etag: ids.next(),
            create_time,
            update_time: create_time,
        },
    }
}

/// Version 1 of a prompt, until it is known to be another.
fn read_version(
    violations: &mut Violations,
    path: &str,
    version: PromptVersion,
    prompt_id: Uuid,
    create_time: OffsetDateTime,
) -> VersionRow {
    violations.text(format_args!("{path}version.content"), &version.content, CONTENT_BYTES);
    violations.text(format_args!("{path}version.model"), &version.model, MODEL_BYTES);
    violations.text(format_args!("{path}version.author"), &version.author, PERSON_BYTES);
    VersionRow {
        prompt_id,
        version: 1,
        variables: variables(&version.content),
        content_hash: Sha256::digest(&version.content).to_vec(),
        content: version.content,
        model: version.model,
        author: version.author,
        create_time,
    }
}

fn check_prompt(violations: &mut Violations, path: &str, prompt: &Prompt) {
    violations.text(format_args!("{path}prompt.name"), &prompt.name, NAME_BYTES);
    violations.text(format_args!("{path}prompt.surface"), &prompt.surface, SURFACE_BYTES);
    check_tags(violations, &format!("{path}prompt.tags"), &prompt.tags);
    check_metadata(violations, &format!("{path}prompt.metadata"), &prompt.metadata);
}

fn check_tags(violations: &mut Violations, field: &str, tags: &[String]) {
    if tags.len() > MAX_TAGS {
        violations.add(field, format!("must be at most {MAX_TAGS}; there are {}", tags.len()));
        return;
    }
    let mut seen = HashSet::new();
    for (place, tag) in tags.iter().enumerate() {
        violations.text(format_args!("{field}[{place}]"), tag, 1..=64);
        if !seen.insert(tag) {
            violations.add(format_args!("{field}[{place}]"), "must not be given twice");
        }
    }
}

fn check_metadata(violations: &mut Violations, field: &str, metadata: &BTreeMap<String, String>) {
    if metadata.len() > MAX_METADATA_ENTRIES {
        violations.add(field, format!("must have at most {MAX_METADATA_ENTRIES} entries; it has {}", metadata.len()));
        return;
    }
    let bytes: usize = metadata.iter().map(|(key, value)| key.len() + value.len()).sum();
    if bytes > MAX_METADATA_BYTES {
        violations.add(field, format!("must have at most {MAX_METADATA_BYTES} bytes in all; it has {bytes}"));
    }
    for (key, value) in metadata {
        if !(1..=MAX_KEY_BYTES).contains(&key.len()) {
            violations.add(field, format!("a key must have 1 to {MAX_KEY_BYTES} bytes; one has {}", key.len()));
        } else if value.len() > MAX_VALUE_BYTES {
            violations
                .add(field, format!("a value must have at most {MAX_VALUE_BYTES} bytes; one has {}", value.len()));
        }
        if key.contains('\0') || value.contains('\0') {
            violations.add(field, "must not contain NUL");
        }
    }
}

/// The names in double braces, each once, in the order in which they first appear.
fn variables(content: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let mut seen = HashSet::new();
    let ends = content.match_indices("}}").map(|(end, _)| end);
    let mut begin = 0;
    for end in ends {
        // Between one pair of closing braces and the next, so that no text is looked at twice.
        let name = content.get(begin..end).and_then(|text| text.rsplit_once("{{")).map(|(_, name)| name.trim());
        if let Some(name) = name.filter(|name| is_variable(name) && seen.insert(*name)) {
            names.push(name.to_owned());
        }
        begin = end + 2;
    }
    names
}

fn is_variable(name: &str) -> bool {
    let is_first = |char: char| char.is_ascii_alphabetic() || char == '_';
    let is_other = |char: char| char.is_ascii_alphanumeric() || matches!(char, '_' | '.' | '-');
    name.starts_with(is_first) && name.chars().all(is_other)
}

#[cfg(test)]
mod tests {
    use super::variables;

    #[test]
    fn variables_are_names_in_double_braces() {
        assert_eq!(
            variables("{{a}} {{ b }} {{a}} {c} {{1}} {{}} {{x y}} {{{d}}} {{user.name-2}} {{open"),
            ["a", "b", "d", "user.name-2"]
        );
        assert_eq!(variables("{{{{a}}"), ["a"]);
        assert_eq!(variables("{{ é }}"), [""; 0]);
    }
}
