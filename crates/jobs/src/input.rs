//! Requests, made into rows once they are known to be right.

use std::ops::RangeInclusive;

use keyset::MAX_VALUES;
use platform::{
    Error, Ids, Platform, TimeRange, Violations, check_batch, now, parse_id, request_path, timestamp, without_repeated,
};
use quire_proto::jobs::v1::{
    CreateJobRequest, Job, JobEvent, JobOperation, JobResult, JobStatus, ListJobsRequest, RetryJobRequest,
};
use serde::de::IgnoredAny;
use time::OffsetDateTime;

use crate::lists::{
    ENDINGS, KINDS, STATUSES,
    events::{Append, NewEvent},
    jobs::{NewJob, Retry},
};

const OPERATION_TYPE_BYTES: RangeInclusive<usize> = 1..=128;
const OPERATION_DATA_BYTES: RangeInclusive<usize> = 2..=256 << 10;
/// The data of an operation that does not say it.
const NO_DATA: &str = "{}";
const TARGET_BYTES: RangeInclusive<usize> = 0..=256;
const POLICY_TYPE_BYTES: RangeInclusive<usize> = 0..=64;
const EVENT_ID_BYTES: RangeInclusive<usize> = 1..=128;
const HOST_BYTES: RangeInclusive<usize> = 0..=256;
const MESSAGE_BYTES: RangeInclusive<usize> = 0..=16 << 10;
const ERROR_BYTES: RangeInclusive<usize> = 0..=16 << 10;
/// The most bytes, and the most files, that a result tells of: those of all hosts together are an `int8`.
const MAX_AMOUNT: i64 = 1_000_000_000_000_000;

/// The job that a request asks for.
pub(crate) fn new_job(request: CreateJobRequest, platform: &Platform) -> Result<NewJob, Error> {
    let mut violations = Violations::default();
    let new = read(&mut violations, String::new(), request, &platform.ids, now(&platform.clock));
    violations.check()?;
    Ok(new)
}

/// The jobs that a batch asks for.
pub(crate) fn new_jobs(requests: Vec<CreateJobRequest>, platform: &Platform) -> Result<Vec<NewJob>, Error> {
    check_batch("requests", requests.len())?;
    let mut violations = Violations::default();
    let ids = requests.iter().map(|request| Some(request.job.as_ref()?.id.to_lowercase()));
    violations.unique("job.id", ids);
    let create_time = now(&platform.clock);
    let mut new = Vec::with_capacity(requests.len());
    for (place, request) in requests.into_iter().enumerate() {
        new.push(read(&mut violations, request_path(place), request, &platform.ids, create_time));
    }
    violations.check()?;
    Ok(new)
}

/// What a request filters by that is more than a text.
pub(crate) struct Filters {
    pub(crate) statuses: Vec<&'static str>,
    pub(crate) create_time: TimeRange,
    pub(crate) end_time: TimeRange,
}

/// What a request filters by.
pub(crate) fn filters(request: &ListJobsRequest) -> Result<Filters, Error> {
    let mut violations = Violations::default();
    if request.statuses.len() > MAX_VALUES {
        violations.add("statuses", format!("must have at most {MAX_VALUES} values"));
    }
    let statuses = request.statuses.iter().take(MAX_VALUES).enumerate();
    let statuses = statuses
        .filter_map(|(place, &status)| violations.one_of(format_args!("statuses[{place}]"), status, &STATUSES))
        .collect();
    let create_time = violations
        .time_range(("create_time_from", request.create_time_from), ("create_time_before", request.create_time_before));
    let end_time =
        violations.time_range(("end_time_from", request.end_time_from), ("end_time_before", request.end_time_before));
    violations.check()?;
    Ok(Filters { statuses, create_time, end_time })
}

/// Which job a request asks to retry.
pub(crate) fn retry(request: &RetryJobRequest, platform: &Platform) -> Result<Retry, Error> {
    Ok(Retry {
        id: parse_id("id", &request.id)?,
        new_id: platform.ids.next(),
        event_id: platform.ids.next(),
        etag: platform.ids.next(),
        create_time: now(&platform.clock),
    })
}

/// The events that a request has recorded: one for each id, which the first event that gives it stands for.
pub(crate) fn append(events: Vec<JobEvent>, platform: &Platform) -> Result<Append, Error> {
    check_batch("events", events.len())?;
    let mut violations = Violations::default();
    let time = now(&platform.clock);
    let mut new = Vec::with_capacity(events.len());
    for (place, event) in events.into_iter().enumerate() {
        new.push(read_event(&mut violations, format!("events[{place}]."), event, time));
    }
    violations.check()?;
    let events = without_repeated(
        new,
        |new| &new.event.id,
        |new, first| if new.is_as(&first.event) { Ok(()) } else { Err(new.resource()) },
    )?;
    Ok(Append { events, etag: platform.ids.next(), time })
}

fn read(
    violations: &mut Violations,
    path: String,
    request: CreateJobRequest,
    ids: &Ids,
    create_time: OffsetDateTime,
) -> NewJob {
    let job = request.job.unwrap_or_default();
    let mut operation = job.operation.clone().unwrap_or_default();
    if operation.data.is_empty() {
        NO_DATA.clone_into(&mut operation.data);
    }
    check_job(violations, &path, &job, &operation);
    let id = if job.id.is_empty() { ids.next() } else { violations.id(format_args!("{path}job.id"), &job.id) };
    let etag = ids.next();
    let job = Job {
        id: id.to_string(),
        operation: Some(operation),
        target: job.target,
        status: JobStatus::Submitted.into(),
        priority: job.priority,
        policy_type: job.policy_type,
        create_time: Some(timestamp(create_time)),
        update_time: Some(timestamp(create_time)),
        etag: etag.to_string(),
        ..Default::default()
    };
    NewJob { path, id, etag, create_time, job }
}

fn check_job(violations: &mut Violations, path: &str, job: &Job, operation: &JobOperation) {
    violations.text(format_args!("{path}job.operation.type"), &operation.r#type, OPERATION_TYPE_BYTES);
    violations.text(format_args!("{path}job.operation.data"), &operation.data, OPERATION_DATA_BYTES);
    if OPERATION_DATA_BYTES.contains(&operation.data.len()) && !is_json_object(&operation.data) {
        violations.add(format_args!("{path}job.operation.data"), "must be the text of a JSON object");
    }
    violations.text(format_args!("{path}job.target"), &job.target, TARGET_BYTES);
    violations.text(format_args!("{path}job.policy_type"), &job.policy_type, POLICY_TYPE_BYTES);
}

fn is_json_object(text: &str) -> bool {
    let begins = text.trim_start_matches([' ', '\t', '\n', '\r']).starts_with('{');
    begins && serde_json::from_str::<IgnoredAny>(text).is_ok()
}

fn read_event(violations: &mut Violations, path: String, event: JobEvent, create_time: OffsetDateTime) -> NewEvent {
    violations.text(format_args!("{path}id"), &event.id, EVENT_ID_BYTES);
    violations.text(format_args!("{path}host"), &event.host, HOST_BYTES);
    violations.text(format_args!("{path}message"), &event.message, MESSAGE_BYTES);
    violations.text(format_args!("{path}error"), &event.error, ERROR_BYTES);
    let kind = violations.one_of(format_args!("{path}kind"), event.kind, &KINDS).unwrap_or_default();
    event.result.iter().for_each(|result| check_result(violations, &path, kind, result));
    let job_id = violations.id(format_args!("{path}job_id"), &event.job_id);
    let occur_time = violations.occur_time(format_args!("{path}occur_time"), event.occur_time, create_time);
    let is_occur_time_given = event.occur_time.is_some();
    let event = JobEvent {
        job_id: job_id.to_string(),
        occur_time: Some(timestamp(occur_time)),
        create_time: Some(timestamp(create_time)),
        ..event
    };
    NewEvent { path, is_occur_time_given, job_id, kind, occur_time, create_time, event }
}

fn check_result(violations: &mut Violations, path: &str, kind: &str, result: &JobResult) {
    if !ENDINGS.contains(&kind) {
        violations.add(format_args!("{path}result"), "must be left out, unless kind is completed, failed or skipped");
    }
    for (field, amount) in [("bytes", result.bytes), ("files", result.files)] {
        if !(0..=MAX_AMOUNT).contains(&amount) {
            violations.add(format_args!("{path}result.{field}"), format!("must be 0 to {MAX_AMOUNT}"));
        }
    }
}
