//! How jobs are, and which of them a list has, worked out plainly.

use std::{cmp::Ordering, collections::BTreeMap};

use prost_types::Timestamp;
use quire_proto::jobs::v1::{
    GetJobResponse, Job, JobEvent, JobEventKind,
    JobEventKind::{Acknowledged, Completed, Failed, Retried, Skipped, Started, Submitted},
    JobHost, JobStatus, ListJobsRequest,
};

/// A time, to be compared: none is less than any.
pub fn moment(time: Option<Timestamp>) -> Option<(i64, i32)> {
    time.map(|Timestamp { seconds, nanos }| (seconds, nanos))
}

fn has_ended(kind: JobEventKind) -> bool {
    [Completed, Failed, Skipped].contains(&kind)
}

/// How far along an event is, and which of several that are as far stands for the host.
fn reach(event: &JobEvent) -> (usize, Option<(i64, i32)>, &str) {
    let stage = [Submitted, Acknowledged, Started].iter().position(|&kind| kind == event.kind()).unwrap_or(3);
    (stage, moment(event.occur_time), &event.id)
}

/// How a job is whose hosts have these states.
pub fn status(states: &[JobEventKind]) -> JobStatus {
    match (states.contains(&Completed), states.contains(&Failed)) {
        _ if states.is_empty() => JobStatus::Submitted,
        _ if !states.iter().all(|&state| has_ended(state)) => JobStatus::Processing,
        (true, true) => JobStatus::PartialFailure,
        (true, false) => JobStatus::Completed,
        (false, true) => JobStatus::Failed,
        (false, false) => JobStatus::Skipped,
    }
}

/// A job after these events.
pub fn after(job: Job, events: &[JobEvent]) -> GetJobResponse {
    let mut by_host: BTreeMap<&str, Vec<&JobEvent>> = BTreeMap::new();
    for event in events.iter().filter(|event| !event.host.is_empty() && event.kind() != Retried) {
        by_host.entry(&event.host).or_default().push(event);
    }
    let furthest = |events: &Vec<&JobEvent>| -> JobEvent {
        events.iter().copied().max_by_key(|event| reach(event)).unwrap().clone()
    };
    let last: Vec<JobEvent> = by_host.values().map(furthest).collect();
    let hosts: Vec<JobHost> = by_host.into_values().zip(&last).map(|(events, last)| host(&events, last)).collect();

    let states: Vec<JobEventKind> = last.iter().map(JobEvent::kind).collect();
    let status = status(&states);
    let results = || last.iter().filter_map(|event| event.result);
    let last_failed = last.iter().filter(|event| event.kind() == Failed).max_by_key(|event| reach(event));
    let is_over = ![JobStatus::Submitted, JobStatus::Processing].contains(&status);
    let end_time = hosts.iter().map(|host| host.end_time).max_by_key(|&time| moment(time)).flatten();
    let start_times = hosts.iter().filter_map(|host| host.start_time);
    let job = Job {
        status: status.into(),
        changed: results().any(|result| result.changed),
        exit_status: results().filter_map(|result| result.exit_status).max(),
        bytes: results().map(|result| result.bytes).sum(),
        files: results().map(|result| result.files).sum(),
        error: last_failed.map(|event| event.error.clone()).unwrap_or_default(),
        start_time: start_times.min_by_key(|&time| moment(Some(time))),
        end_time: end_time.filter(|_| is_over),
        ..job
    };
    GetJobResponse { job: Some(job), hosts }
}

fn host(events: &[&JobEvent], last: &JobEvent) -> JobHost {
    let first = |kind| {
        let times = events.iter().filter(|event| event.kind() == kind).map(|event| event.occur_time);
        times.min_by_key(|&time| moment(time)).flatten()
    };
    JobHost {
        host: last.host.clone(),
        state: last.kind,
        error: last.error.clone(),
        submit_time: first(Submitted),
        acknowledge_time: first(Acknowledged),
        start_time: first(Started),
        end_time: last.occur_time.filter(|_| has_ended(last.kind())),
    }
}

/// Whether a request lists a job.
pub fn matches(request: &ListJobsRequest, job: &Job) -> bool {
    let is = |wanted: &Option<String>, value: &str| wanted.as_deref().is_none_or(|wanted| wanted == value);
    let is_in = |from, before, time: Option<Timestamp>| {
        let time = moment(time);
        let from = moment(from).is_none_or(|from| time.is_some_and(|time| time >= from));
        from && moment(before).is_none_or(|before| time.is_some_and(|time| time < before))
    };
    (request.statuses.is_empty() || request.statuses.contains(&job.status))
        && is(&request.operation_type, &job.operation.as_ref().unwrap().r#type)
        && is(&request.target, &job.target)
        && is(&request.policy_type, &job.policy_type)
        && is_in(request.create_time_from, request.create_time_before, job.create_time)
        && is_in(request.end_time_from, request.end_time_before, job.end_time)
}

/// Which of two jobs comes first in an order.
pub fn compare(order_by: &str, one: &Job, other: &Job) -> Ordering {
    let made = |job: &Job| (moment(job.create_time), job.id.clone());
    let ended = |job: &Job| (moment(job.end_time), job.id.clone());
    match order_by {
        "create_time desc" => made(other).cmp(&made(one)),
        "create_time" => made(one).cmp(&made(other)),
        "end_time desc" => ended(other).cmp(&ended(one)),
        "priority desc, create_time" => other.priority.cmp(&one.priority).then(made(one).cmp(&made(other))),
        _ => panic!("there is no order {order_by}"),
    }
}
