//! How jobs are, worked out plainly.

use std::collections::BTreeMap;

use prost_types::Timestamp;
use quire_proto::jobs::v1::{
    GetJobResponse, Job, JobEvent, JobEventKind,
    JobEventKind::{Acknowledged, Completed, Failed, Retried, Skipped, Started, Submitted},
    JobHost, JobStatus,
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

/// How a job is that has these hosts.
pub fn status(hosts: &[JobHost]) -> JobStatus {
    let is_any = |state| hosts.iter().any(|host| host.state() == state);
    match (is_any(Completed), is_any(Failed)) {
        _ if hosts.is_empty() => JobStatus::Submitted,
        _ if !hosts.iter().all(|host| has_ended(host.state())) => JobStatus::Processing,
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
    let furthest =
        |events: &Vec<&'_ JobEvent>| events.iter().copied().max_by_key(|event| reach(event)).unwrap().clone();
    let last: Vec<JobEvent> = by_host.values().map(furthest).collect();
    let hosts: Vec<JobHost> = by_host.values().zip(&last).map(|(events, last)| host(events, last)).collect();
    let status = status(&hosts);
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

/// A job without what cannot be known before it is made.
pub fn without_times(job: Job) -> Job {
    Job { create_time: None, update_time: None, etag: String::new(), ..job }
}

/// The same with hosts.
pub fn plain(GetJobResponse { job, hosts }: &GetJobResponse) -> GetJobResponse {
    GetJobResponse { job: job.clone().map(without_times), hosts: hosts.clone() }
}
