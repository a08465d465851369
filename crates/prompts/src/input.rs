//! Validates requests and converts them to rows.

use std::{collections::HashSet, ops::RangeInclusive};

use platform::{Error, Ids, Platform, Violations, check_batch_bytes, now, read_batch, read_one, timestamp};
use quire_proto::prompts::v1::{
    AssignLabelRequest, CreatePromptRequest, GetPromptVersionRequest, Prompt, PromptVersion, RemoveLabelRequest,
    ResolvePromptRequest,
};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::lists::{
    labels::{NewLabel, Removal},
    prompts::{self, NewPrompt},
    versions::{self, NewVersion, Wanted},
};

const NAME_BYTES: RangeInclusive<usize> = 1..=256;
/// The length of an author's name, or of the name of a person who moves a label.
const PERSON_BYTES: RangeInclusive<usize> = 0..=128;
const LABEL_BYTES: RangeInclusive<usize> = 1..=64;
/// The maximum number of `}}`, and so of variables, in the contents of a batch. A variable takes more memory than its
/// name has bytes.
const MAX_BATCH_VARIABLES: usize = 1 << 18;
/// The default label of ResolvePrompt.
const DEFAULT_LABEL: &str = "production";

/// The prompt to create.
pub(crate) fn new_prompt(request: CreatePromptRequest, platform: &Platform) -> Result<NewPrompt, Error> {
    read_one(platform, request, read)
}

/// The prompts of a batch to create. If `may_repeat`, several can have the same id or name.
pub(crate) fn new_prompts(
    requests: Vec<CreatePromptRequest>,
    may_repeat: bool,
    platform: &Platform,
) -> Result<Vec<NewPrompt>, Error> {
    check_variables(&requests)?;
    let new = read_batch(
        platform,
        "requests",
        requests,
        may_repeat,
        &[
            ("prompt.id", |request| Some(request.prompt.as_ref()?.id.to_lowercase())),
            ("prompt.name", |request| Some(request.prompt.as_ref()?.name.clone())),
        ],
        read,
    )?;
    check_batch_bytes("the prompts, without their versions,", new.iter().map(|new| new.prompt.clone()))?;
    Ok(new)
}

fn check_variables(requests: &[CreatePromptRequest]) -> Result<(), Error> {
    let contents = requests.iter().filter_map(|request| Some(&request.version.as_ref()?.content));
    let count: usize = contents.map(|content| content.matches("}}").count()).sum();
    let mut violations = Violations::default();
    if count > MAX_BATCH_VARIABLES {
        violations.add("requests", format!("the contents must have `}}}}` at most {MAX_BATCH_VARIABLES} times in all"));
    }
    violations.check()
}

/// The version to add.
pub(crate) fn new_version(version: PromptVersion, platform: &Platform) -> Result<NewVersion, Error> {
    let mut violations = Violations::default();
    let prompt_id = violations.id("version.prompt_id", &version.prompt_id);
    let version = read_version(&mut violations, "", version, prompt_id, now(&platform.clock));
    violations.check()?;
    Ok(version)
}

/// The prompt's id and the version's number.
pub(crate) fn version(request: &GetPromptVersionRequest) -> Result<(Uuid, i32), Error> {
    let mut violations = Violations::default();
    let prompt_id = violations.id("prompt_id", &request.prompt_id);
    violations.at_least("version", request.version, 1);
    violations.check()?;
    Ok((prompt_id, request.version))
}

/// The assignment of a label.
pub(crate) fn label(request: AssignLabelRequest, platform: &Platform) -> Result<NewLabel, Error> {
    let mut violations = Violations::default();
    let prompt_id = violations.id("prompt_id", &request.prompt_id);
    violations.text("label", &request.label, LABEL_BYTES);
    violations.at_least("version", request.version, 1);
    violations.text("assigned_by", &request.assigned_by, PERSON_BYTES);
    violations.check()?;
    let AssignLabelRequest { label, version, assigned_by, .. } = request;
    Ok(NewLabel {
        prompt_id,
        label,
        version,
        assigned_by,
        assign_time: now(&platform.clock),
        deployment_id: platform.ids.next(),
    })
}

/// The removal of a label.
pub(crate) fn removal(request: RemoveLabelRequest, platform: &Platform) -> Result<Removal, Error> {
    let mut violations = Violations::default();
    let prompt_id = violations.id("prompt_id", &request.prompt_id);
    violations.text("label", &request.label, LABEL_BYTES);
    violations.text("removed_by", &request.removed_by, PERSON_BYTES);
    violations.check()?;
    let RemoveLabelRequest { label, removed_by, .. } = request;
    let (remove_time, deployment_id) = (now(&platform.clock), platform.ids.next());
    Ok(Removal { prompt_id, label, removed_by, remove_time, deployment_id })
}

/// The prompt's name and the version to resolve.
pub(crate) fn resolve(request: ResolvePromptRequest) -> Result<(String, Wanted), Error> {
    let ResolvePromptRequest { name, label, version } = request;
    let mut violations = Violations::default();
    violations.text("name", &name, NAME_BYTES);
    if let Some(label) = &label {
        violations.text("label", label, LABEL_BYTES);
    }
    if let Some(version) = version {
        violations.at_least("version", version, 1);
    }
    violations.check()?;
    let wanted = match (version, label) {
        (Some(version), _) => Wanted::Version(version),
        (None, Some(label)) => Wanted::Label(label),
        (None, None) => Wanted::Label(DEFAULT_LABEL.to_owned()),
    };
    Ok((name, wanted))
}

fn read(
    violations: &mut Violations,
    path: String,
    request: CreatePromptRequest,
    ids: &Ids,
    create_time: OffsetDateTime,
) -> NewPrompt {
    let prompt = request.prompt.unwrap_or_default();
    violations.fields(&format!("{path}prompt."), &prompts::fields(&prompt));
    let is_id_given = !prompt.id.is_empty();
    let id = violations.id_or_new(format_args!("{path}prompt.id"), &prompt.id, ids);
    let version = read_version(violations, &path, request.version.unwrap_or_default(), id, create_time);
    let etag = ids.next();
    let prompt = Prompt {
        id: id.to_string(),
        latest_version: 1,
        etag: etag.to_string(),
        create_time: Some(timestamp(create_time)),
        update_time: Some(timestamp(create_time)),
        latest: None,
        ..prompt
    };
    NewPrompt { path, is_id_given, id, etag, create_time, prompt, version }
}

/// Validates a version. Its number is 1 until the version is added to an existing prompt.
fn read_version(
    violations: &mut Violations,
    path: &str,
    version: PromptVersion,
    prompt_id: Uuid,
    create_time: OffsetDateTime,
) -> NewVersion {
    violations.fields(&format!("{path}version."), &versions::version_fields(&version));
    let version = PromptVersion {
        prompt_id: prompt_id.to_string(),
        version: 1,
        variables: variables(&version.content),
        content_hash: Sha256::digest(&version.content).to_vec(),
        create_time: Some(timestamp(create_time)),
        ..version
    };
    NewVersion { prompt_id, create_time, version }
}

/// The distinct names in double braces, in the order of their first appearance.
fn variables(content: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let mut seen = HashSet::new();
    let ends = content.match_indices("}}").map(|(end, _)| end);
    let mut begin = 0;
    for end in ends {
        // Searches only between two pairs of closing braces, so that no text is searched twice.
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
