//! What events come to: the status of a job, its hosts, and what else follows from its events.
use crate::support::{
    append, append_in, at, create, create_in, event, get, get_in, numbers, of_type, retry, start, start_on, status_name,
};
use platform::{
    Platform,
    testing::{self, Hands},
};
use quire_proto::jobs::v1::{GetJobResponse, Job, JobEvent, JobEventKind, JobResult};

/// The events of a history, as in `started a 3, failed b 4`: what happened, on which host (`-` for none) and when. Their ids
/// are in the order in which they are written.
fn read(history: &str, job: &Job) -> Vec<JobEvent> {
    let events = history.split(", ").filter(|event| !event.is_empty()).enumerate();
    let events = events.map(|(place, words)| {
        let words: Vec<_> = words.split(' ').collect();
        let kind = format!("JOB_EVENT_KIND_{}", words[0].to_uppercase());
        let kind = JobEventKind::from_str_name(&kind).unwrap();
        event(&format!("{place:02}"), job, kind, words[1].trim_matches('-'), words[2].parse().unwrap())
    });
    events.collect()
}

/// How a job and its hosts are, as in `processing: a started, b failed`.
fn outcome(GetJobResponse { job, hosts }: GetJobResponse) -> String {
    let kind = |kind: JobEventKind| kind.as_str_name().trim_start_matches("JOB_EVENT_KIND_").to_lowercase();
    let hosts: Vec<_> = hosts.iter().map(|host| format!("{} {}", host.host, kind(host.state()))).collect();
    format!("{}: {}", status_name(job.unwrap().status()), hosts.join(", "))
}

/// Histories, and how the job and its hosts are in the end.
const HISTORIES: [(&str, &str); 56] = [
    // No host has told of it.
    ("", "submitted: "),
    ("retried a 1", "submitted: "),
    ("completed - 1", "submitted: "),
    ("submitted - 1, started - 2, failed - 3, retried b 4, retried - 5", "submitted: "),
    // One host, one event.
    ("submitted a 1", "processing: a submitted"),
    ("acknowledged a 1", "processing: a acknowledged"),
    ("started a 1", "processing: a started"),
    ("completed a 1", "completed: a completed"),
    ("failed a 1", "failed: a failed"),
    ("skipped a 1", "skipped: a skipped"),
    // The furthest, as it should be.
    ("submitted a 1, acknowledged a 2", "processing: a acknowledged"),
    ("submitted a 1, acknowledged a 2, started a 3", "processing: a started"),
    ("submitted a 1, acknowledged a 2, started a 3, completed a 4", "completed: a completed"),
    ("submitted a 1, acknowledged a 2, started a 3, failed a 4", "failed: a failed"),
    ("submitted a 1, acknowledged a 2, started a 3, skipped a 4", "skipped: a skipped"),
    // The furthest, whatever the times say.
    ("acknowledged a 1, submitted a 2", "processing: a acknowledged"),
    ("started a 1, submitted a 2", "processing: a started"),
    ("started a 1, acknowledged a 2", "processing: a started"),
    ("completed a 1, submitted a 2", "completed: a completed"),
    ("completed a 1, acknowledged a 2", "completed: a completed"),
    ("failed a 1, started a 2", "failed: a failed"),
    ("skipped a 1, started a 2, acknowledged a 3, submitted a 4", "skipped: a skipped"),
    ("started a 1, started a 1", "processing: a started"),
    // Among the three that end, the latest.
    ("completed a 1, failed a 2", "failed: a failed"),
    ("completed a 1, skipped a 2", "skipped: a skipped"),
    ("failed a 1, completed a 2", "completed: a completed"),
    ("failed a 1, skipped a 2", "skipped: a skipped"),
    ("skipped a 1, completed a 2", "completed: a completed"),
    ("skipped a 1, failed a 2", "failed: a failed"),
    ("failed a 2, completed a 1", "failed: a failed"),
    ("failed a 3, started a 4, completed a 2, submitted a 5, skipped a 1", "failed: a failed"),
    // Of those at the same time, the one with the greatest id.
    ("completed a 1, failed a 1", "failed: a failed"),
    ("failed a 1, completed a 1", "completed: a completed"),
    ("failed a 1, completed a 1, skipped a 1", "skipped: a skipped"),
    ("skipped a 2, completed a 2, failed a 1", "completed: a completed"),
    // What does not count, after all that does.
    ("completed a 1, retried a 2", "completed: a completed"),
    ("completed a 1, retried b 2", "completed: a completed"),
    ("completed a 1, failed - 2, started - 3", "completed: a completed"),
    ("started a 1, completed - 2", "processing: a started"),
    // Any that has not ended.
    ("completed a 1, submitted b 1", "processing: a completed, b submitted"),
    ("failed a 1, acknowledged b 1", "processing: a failed, b acknowledged"),
    ("skipped a 1, started b 1", "processing: a skipped, b started"),
    (
        "completed a 1, failed b 2, skipped c 3, submitted d 4",
        "processing: a completed, b failed, c skipped, d submitted",
    ),
    ("completed a 1, failed b 1, started c 1, completed c 2", "partial_failure: a completed, b failed, c completed"),
    // Some completed and some failed.
    ("completed a 1, failed b 1", "partial_failure: a completed, b failed"),
    ("completed a 1, failed b 1, skipped c 1", "partial_failure: a completed, b failed, c skipped"),
    // Some failed, none completed.
    ("failed a 1, failed b 1", "failed: a failed, b failed"),
    ("failed a 1, skipped b 1", "failed: a failed, b skipped"),
    ("completed a 1, failed a 2, skipped b 1", "failed: a failed, b skipped"),
    // Some completed, none failed.
    ("completed a 1, completed b 1", "completed: a completed, b completed"),
    ("completed a 1, skipped b 1", "completed: a completed, b skipped"),
    ("failed a 1, completed a 2, completed b 1", "completed: a completed, b completed"),
    // All skipped.
    ("skipped a 1, skipped b 1", "skipped: a skipped, b skipped"),
    ("completed a 1, skipped a 2, failed b 1, skipped b 2", "skipped: a skipped, b skipped"),
    // A host is another one if anything of its name is.
    ("completed a 1, failed A 2", "partial_failure: A failed, a completed"),
    ("completed a 1, started a. 2, skipped é 1", "processing: a completed, a. started, é skipped"),
];

#[tokio::test]
async fn a_history_has_one_outcome_in_whatever_order_it_arrives() {
    let (platform, client) = start().await;
    for (place, (history, expected)) in HISTORIES.into_iter().enumerate() {
        let (at_once, one_by_one) = (format!("at-once-{place}"), format!("one-by-one-{place}"));
        let job = create_in(&client, &at_once, &of_type("sync")).await.unwrap();
        let events = read(history, &job);
        if !events.is_empty() {
            append_in(&client, &at_once, &events).await.unwrap();
        }
        assert_eq!(outcome(get_in(&client, &at_once, &job.id).await.unwrap()), expected, "{history:?}");
        // The last first, and each twice.
        create_in(&client, &one_by_one, &job).await.unwrap();
        for event in events.iter().rev().flat_map(|event| [event, event]) {
            append_in(&client, &one_by_one, std::slice::from_ref(event)).await.unwrap();
        }
        assert_eq!(outcome(get_in(&client, &one_by_one, &job.id).await.unwrap()), expected, "{history:?} backwards");
    }
    crate::support::assert_counted(&platform).await;
}

#[tokio::test]
async fn ids_are_compared_byte_by_byte() {
    let (_platform, client) = start().await;
    for (less, greater) in [("B", "a"), ("z", "é"), ("10", "9"), ("a", "a ")] {
        let job = create(&client, &of_type("sync")).await.unwrap();
        let [less, greater] = [less, greater].map(|id| format!("{} {id}", job.id));
        let events =
            [event(&greater, &job, JobEventKind::Failed, "a", 1), event(&less, &job, JobEventKind::Completed, "a", 1)];
        append(&client, &events).await.unwrap();
        assert_eq!(outcome(get(&client, &job.id).await.unwrap()), "failed: a failed", "{less:?} {greater:?}");
    }
}

/// What follows from events beside the status, and is not what it is without any.
fn amounts(job: &Job) -> String {
    let mut text = status_name(job.status());
    let seconds = |time: Option<prost_types::Timestamp>| time.map(|time| time.seconds - at(0).unwrap().seconds);
    if job.changed {
        text += ", changed";
    }
    let numbers = [
        ("exit status", job.exit_status.map(i64::from)),
        ("bytes", Some(job.bytes).filter(|bytes| *bytes != 0)),
        ("files", Some(job.files).filter(|files| *files != 0)),
        ("start", seconds(job.start_time)),
        ("end", seconds(job.end_time)),
    ];
    text += &numbers.iter().filter_map(|(name, number)| Some(format!(", {name} {}", (*number)?))).collect::<String>();
    if job.error.is_empty() { text } else { format!("{text}, error {:?}", job.error) }
}

#[tokio::test]
async fn a_job_is_what_its_hosts_come_to() {
    let (_platform, client) = start().await;
    let job = create(&client, &of_type("sync")).await.unwrap();
    let result = |changed, exit_status, bytes, files| Some(JobResult { changed, exit_status, bytes, files });
    let with = |words: &str, id: &str, error: &str, result| {
        let event = read(words, &job).remove(0);
        JobEvent { id: id.into(), error: error.into(), result, ..event }
    };
    const MOST: i64 = 1_000_000_000_000_000;
    let events = [
        with("started b 5", "01", "of no host that failed", None),
        with("started a 7", "02", "", None),
        with("started a 6", "03", "", None),
        with("completed a 20", "04", "of a host that completed", result(false, Some(-2), 10, 1)),
        // Nobody has told an exit status that is higher, and one without a result has none.
        with("skipped b 21", "05", "", None),
        with("failed c 19", "06", "c", result(true, Some(3), 500, 0)),
        with("failed d 19", "07", "d", result(false, None, 0, 5)),
        with("failed e 18", "08", "e", result(false, Some(1), MOST, MOST)),
        with("failed f 17", "09", "f", result(false, Some(i32::MIN), MOST, MOST)),
        // Of each host, only its furthest event tells.
        with("failed c 30", "10", "", result(false, None, 7, 0)),
        with("completed c 31", "11", "", result(false, Some(0), 8, 0)),
        with("completed d 40", "12", "", None),
        with("started g 1", "13", "", None),
        with("failed - 50", "14", "of no host", result(true, Some(99), 1, 1)),
        with("completed g 45", "15", "", result(true, None, 0, 0)),
    ];
    let mut told = vec![amounts(&job)];
    for event in events {
        append(&client, &[event]).await.unwrap();
        told.push(amounts(&get(&client, &job.id).await.unwrap().job.unwrap()));
    }
    insta::assert_snapshot!(told.join("\n"), @r#"
    submitted
    processing, start 5
    processing, start 5
    processing, start 5
    processing, exit status -2, bytes 10, files 1, start 5
    completed, exit status -2, bytes 10, files 1, start 5, end 21
    partial_failure, changed, exit status 3, bytes 510, files 1, start 5, end 21, error "c"
    partial_failure, changed, exit status 3, bytes 510, files 6, start 5, end 21, error "d"
    partial_failure, changed, exit status 3, bytes 1000000000000510, files 1000000000000006, start 5, end 21, error "d"
    partial_failure, changed, exit status 3, bytes 2000000000000510, files 2000000000000006, start 5, end 21, error "d"
    partial_failure, exit status 1, bytes 2000000000000017, files 2000000000000006, start 5, end 30
    partial_failure, exit status 1, bytes 2000000000000018, files 2000000000000006, start 5, end 31, error "d"
    partial_failure, exit status 1, bytes 2000000000000018, files 2000000000000001, start 5, end 40, error "e"
    processing, exit status 1, bytes 2000000000000018, files 2000000000000001, start 1, error "e"
    processing, exit status 1, bytes 2000000000000018, files 2000000000000001, start 1, error "e"
    partial_failure, changed, exit status 1, bytes 2000000000000018, files 2000000000000001, start 1, end 45, error "e"
    "#);
}

#[tokio::test]
async fn a_late_host_reopens_a_job() {
    let (platform, client) = start().await;
    let job = create(&client, &of_type("sync")).await.unwrap();
    let mut told = Vec::new();
    for event in read("completed a 5, submitted b 1, failed b 3, started c 9, skipped c 4, submitted a 6", &job) {
        append(&client, &[event]).await.unwrap();
        told.push(amounts(&get(&client, &job.id).await.unwrap().job.unwrap()));
        told.push(numbers(&platform, &client, "default").await);
    }
    insta::assert_snapshot!(told.join("\n"), @"
    completed, end 5
    1 jobs, 1 completed, 0 dead letters, 1 sync
    processing
    1 jobs, 1 processing, 0 dead letters, 1 sync
    partial_failure, end 5
    1 jobs, 1 partial_failure, 1 dead letters, 1 sync
    processing, start 9
    1 jobs, 1 processing, 0 dead letters, 1 sync
    partial_failure, start 9, end 5
    1 jobs, 1 partial_failure, 1 dead letters, 1 sync
    partial_failure, start 9, end 5
    1 jobs, 1 partial_failure, 1 dead letters, 1 sync
    ");
}

#[tokio::test]
async fn hosts_have_the_first_times_of_what_they_went_through() {
    let (_platform, client) = start().await;
    let job = create(&client, &of_type("sync")).await.unwrap();
    let history = "submitted a 3, submitted a 2, acknowledged a 5, acknowledged a 4, started a 7, started a 6, failed a 9, \
        completed a 8, started b 1";
    append(&client, &read(history, &job)).await.unwrap();
    let hosts = get(&client, &job.id).await.unwrap().hosts;
    let times = hosts.iter().map(|host| [host.submit_time, host.acknowledge_time, host.start_time, host.end_time]);
    assert_eq!(
        times.collect::<Vec<_>>(),
        [[at(2), at(4), at(6), at(9)], [None, None, at(1), None]],
        "a ends with the event that is its furthest"
    );
}

#[tokio::test]
async fn the_etag_and_the_update_time_change_with_each_event() {
    let hands = Hands::at(1_800_000_000);
    let platform = Platform { clock: hands.clock(), ..testing::platform().await };
    let client = start_on(&platform).await;
    let mut job = create(&client, &of_type("sync")).await.unwrap();
    let changes = "started a 5, submitted a 1, completed a 9, failed a 8, retried a 9";
    for (place, event) in read(changes, &job).into_iter().enumerate() {
        // The clock stands still, and then goes back.
        hands.go_back(place as u64);
        append(&client, std::slice::from_ref(&event)).await.unwrap();
        let changed = get(&client, &job.id).await.unwrap().job.unwrap();
        assert_ne!(changed.etag, job.etag, "{event:?}");
        let (time, later) = (job.update_time.unwrap(), changed.update_time.unwrap());
        assert_eq!((later.seconds, later.nanos), (time.seconds, time.nanos + 1_000), "{event:?}");
        job = changed;
        // What was recorded before changes nothing.
        append(&client, &[event]).await.unwrap();
        assert_eq!(get(&client, &job.id).await.unwrap().job.unwrap(), job);
    }
    hands.pass(60);
    retry(&client, &job.id).await.unwrap();
    let retried = get(&client, &job.id).await.unwrap().job.unwrap();
    assert_ne!(retried.etag, job.etag);
    assert_eq!(retried.update_time, Some(hands.time(0)));
}

#[tokio::test]
async fn one_call_tells_of_many_jobs() {
    let (platform, client) = start().await;
    let mut jobs = Vec::new();
    for _ in 0..4 {
        jobs.push(create(&client, &of_type("sync")).await.unwrap());
    }
    let histories = ["completed a 1", "started a 1, failed b 1", "failed a 1, completed b 2", "retried a 1"];
    let events = histories.iter().zip(&jobs).enumerate().flat_map(|(place, (history, job))| {
        let events = read(history, job).into_iter();
        events.map(move |event| JobEvent { id: format!("{place} {}", event.id), ..event })
    });
    append(&client, &events.collect::<Vec<_>>()).await.unwrap();
    let mut told = vec![numbers(&platform, &client, "default").await];
    for job in &jobs {
        told.push(outcome(get(&client, &job.id).await.unwrap()));
    }
    insta::assert_snapshot!(told.join("\n"), @"
    4 jobs, 1 submitted, 1 processing, 1 completed, 1 partial_failure, 1 dead letters, 4 sync
    completed: a completed
    processing: a started, b failed
    partial_failure: a failed, b completed
    submitted:
    ");
}
