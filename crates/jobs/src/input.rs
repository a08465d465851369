//! Validates requests and converts them to rows.

use keyset::MAX_VALUES;
use platform::{
    Error, Ids, Platform, TimeRange, Violations, now, parse_id, read_batch, read_one, timestamp, without_repeated,
};
use quire_proto::jobs::v1::{CreateJobRequest, Job, JobEvent, JobStatus, ListJobsRequest, RetryJobRequest};
use serde::de::IgnoredAny;
use time::OffsetDateTime;

use crate::lists::{
    ENDINGS, KINDS, STATUSES,
    events::{self, Append, NewEvent},
    jobs::{self, NewJob, Retry},
};

/// The default data of an operation.
const NO_DATA: &str = "{}";

/// The job to create.
pub(crate) fn new_job(request: CreateJobRequest, platform: &Platform) -> Result<NewJob, Error> {
    read_one(platform, request, read)
}

/// The jobs of a batch to create. If `may_repeat`, several can have the same id.
pub(crate) fn new_jobs(
    requests: Vec<CreateJobRequest>,
    may_repeat: bool,
    platform: &Platform,
) -> Result<Vec<NewJob>, Error> {
    let id = |request: &CreateJobRequest| Some(request.job.as_ref()?.id.to_lowercase());
    read_batch(platform, "requests", requests, may_repeat, &[("job.id", id)], read)
}

/// The validated filters of ListJobs, except plain texts.
pub(crate) struct Filters {
    pub(crate) statuses: Vec<&'static str>,
    pub(crate) create_time: TimeRange,
    pub(crate) end_time: TimeRange,
}

/// Validates the filters of a request.
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

/// The retry of a job.
pub(crate) fn retry(request: &RetryJobRequest, platform: &Platform) -> Result<Retry, Error> {
    Ok(Retry {
        id: parse_id("id", &request.id)?,
        new_id: platform.ids.next(),
        event_id: platform.ids.next(),
        etag: platform.ids.next(),
        create_time: now(&platform.clock),
    })
}

/// The events to insert: one for each id. If events of a request have the same id, the first one is taken.
pub(crate) fn append(events: Vec<JobEvent>, platform: &Platform) -> Result<Append, Error> {
    let new = read_batch(platform, "events", events, true, &[], read_event)?;
    let time = new.first().map_or_else(|| now(&platform.clock), |new| new.create_time);
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
    let job = Job { operation: Some(operation), ..job };
    check_job(violations, &format!("{path}job."), &job);
    let id = violations.id_or_new(format_args!("{path}job.id"), &job.id, ids);
    let etag = ids.next();
    let job = Job {
        id: id.to_string(),
        operation: job.operation,
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

fn check_job(violations: &mut Violations, path: &str, job: &Job) {
    violations.fields(path, &jobs::job_fields(job));
    let data = job.operation.as_ref().map(|operation| operation.data.as_str()).unwrap_or_default();
    if jobs::OPERATION_DATA_BYTES.contains(&data.len()) && !is_json_object(data) {
        violations.add(format_args!("{path}operation.data"), "must be the text of a JSON object");
    }
}

fn is_json_object(text: &str) -> bool {
    let begins = text.trim_start_matches([' ', '\t', '\n', '\r']).starts_with('{');
    begins && serde_json::from_str::<IgnoredAny>(text).is_ok()
}

fn read_event(
    violations: &mut Violations,
    path: String,
    event: JobEvent,
    _ids: &Ids,
    create_time: OffsetDateTime,
) -> NewEvent {
    violations.fields(&path, &events::event_fields(&event));
    let has_ended = KINDS.name(event.kind).is_some_and(|kind| ENDINGS.contains(&kind));
    if event.result.is_some() && !has_ended {
        violations.add(format_args!("{path}result"), "must be left out, unless kind is completed, failed or skipped");
    }
    let job_id = violations.id(format_args!("{path}job_id"), &event.job_id);
    let occur_time = violations.occur_time(format_args!("{path}occur_time"), event.occur_time, create_time);
    let is_occur_time_given = event.occur_time.is_some();
    let event = JobEvent {
        job_id: job_id.to_string(),
        occur_time: Some(timestamp(occur_time)),
        create_time: Some(timestamp(create_time)),
        ..event
    };
    NewEvent { path, is_occur_time_given, job_id, occur_time, create_time, event }
}
