//! ListJobs: its orders, its filters, and what is refused.
use std::cmp::Reverse;

use crate::support::{
    Client, ORDERS, append_in, at, batch_in, by, event, list_in, of_type, page, start, start_ticking, told, walk,
    walk_in,
};
use prost_types::Timestamp;
use quire_proto::{
    jobs::v1::{
        Job, JobEventKind, JobStatus,
        JobStatus::{Completed, Failed, PartialFailure, Processing, Skipped, Submitted},
        ListJobsRequest,
    },
    pagination::v1::{PageRequest, TotalCount},
};

/// What a request filters by, and the same in Rust.
type Case<'a> = (ListJobsRequest, &'a dyn Fn(&Job) -> bool);

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn of_statuses(statuses: &[JobStatus]) -> ListJobsRequest {
    ListJobsRequest { statuses: statuses.iter().map(|status| (*status).into()).collect(), ..by("") }
}

/// Jobs whose values and times meet in many ways, several of them at the same time.
async fn make_mixed(client: &Client, workspace: &str) {
    let names = ["a", "A", "é", "b"];
    let jobs: Vec<_> = (0..96)
        .map(|n: usize| Job {
            target: ["", "a", "A", "é"][n / 2 % 4].into(),
            policy_type: ["", "x"][n / 3 % 2].into(),
            priority: n as i32 * 7 % 5 - 2,
            ..of_type(names[n % 4])
        })
        .collect();
    for jobs in jobs.chunks(12) {
        let ids = batch_in(client, workspace, jobs, false).await.unwrap();
        let mut events = Vec::new();
        for (n, id) in ids.iter().enumerate() {
            let job = Job { id: id.clone(), ..Default::default() };
            let kinds: &[JobEventKind] = match n % 7 {
                0 => &[],
                1 => &[JobEventKind::Started],
                2 => &[JobEventKind::Failed, JobEventKind::Completed],
                3 => &[JobEventKind::Failed],
                4 => &[JobEventKind::Skipped],
                _ => &[JobEventKind::Completed],
            };
            let tell = |(host, kind): (usize, &JobEventKind)| {
                event(&format!("{id} {host}"), &job, *kind, &host.to_string(), n as i64 % 5)
            };
            events.extend(kinds.iter().enumerate().map(tell));
        }
        append_in(client, workspace, &events).await.unwrap();
    }
}

fn seconds(time: Option<Timestamp>) -> Option<i64> {
    time.map(|time| time.seconds)
}

/// Those of the jobs that pass, in this order.
fn expected(jobs: &[Job], order_by: &str, passes: &dyn Fn(&Job) -> bool) -> Vec<Job> {
    let mut jobs: Vec<_> = jobs.iter().filter(|job| passes(job)).cloned().collect();
    let created = |job: &Job| (seconds(job.create_time), job.id.clone());
    match order_by {
        "create_time desc" => jobs.sort_by_key(|job| Reverse(created(job))),
        "create_time" => jobs.sort_by_key(created),
        // None comes before all others, and so last.
        "end_time desc" => jobs.sort_by_key(|job| Reverse((seconds(job.end_time), job.id.clone()))),
        "priority desc, create_time" => jobs.sort_by_key(|job| (Reverse(job.priority), created(job))),
        other => panic!("no such order: {other}"),
    }
    jobs
}

#[tokio::test]
async fn every_filter_and_every_combination_in_every_order() {
    let (_platform, client) = start_ticking().await;
    for workspace in ["default", "other"] {
        make_mixed(&client, workspace).await;
    }
    let all = walk(&client, &by("")).await;
    assert_eq!(all.len(), 96);
    let created = all[40].create_time;
    let [is_before, is_from] = [
        |job: &Job, time| seconds(job.create_time) < seconds(time),
        |job: &Job, time| seconds(job.create_time) >= seconds(time),
    ];
    let ended = |job: &Job| seconds(job.end_time).map(|time| time - at(0).unwrap().seconds);
    let none = || by("");
    let cases: [Case<'_>; 22] = [
        (none(), &|_| true),
        (of_statuses(&[Completed]), &|job| job.status() == Completed),
        (of_statuses(&[Failed, PartialFailure]), &|job| [Failed, PartialFailure].contains(&job.status())),
        (of_statuses(&[Skipped, Submitted, Skipped]), &|job| [Skipped, Submitted].contains(&job.status())),
        (of_statuses(&[Submitted, Processing, Completed, Failed, PartialFailure, Skipped]), &|_| true),
        (ListJobsRequest { operation_type: text("A"), ..none() }, &|job| job.operation.as_ref().unwrap().r#type == "A"),
        (ListJobsRequest { operation_type: text(""), ..none() }, &|_| false),
        // Empty asks for those that have none, which is not the same as not asking.
        (ListJobsRequest { target: text(""), ..none() }, &|job| job.target.is_empty()),
        (ListJobsRequest { target: text("é"), ..none() }, &|job| job.target == "é"),
        (ListJobsRequest { policy_type: text(""), ..none() }, &|job| job.policy_type.is_empty()),
        (ListJobsRequest { policy_type: text("x"), ..none() }, &|job| job.policy_type == "x"),
        (ListJobsRequest { create_time_from: created, ..none() }, &|job| is_from(job, created)),
        (ListJobsRequest { create_time_before: created, ..none() }, &|job| is_before(job, created)),
        (ListJobsRequest { create_time_from: created, create_time_before: created, ..none() }, &|_| false),
        // What has not ended is not before any time.
        (ListJobsRequest { end_time_before: at(2), ..none() }, &|job| ended(job).is_some_and(|time| time < 2)),
        (ListJobsRequest { end_time_from: at(2), ..none() }, &|job| ended(job).is_some_and(|time| time >= 2)),
        (ListJobsRequest { end_time_from: at(2), end_time_before: at(3), ..none() }, &|job| ended(job) == Some(2)),
        (ListJobsRequest { end_time_from: at(0), ..of_statuses(&[Processing]) }, &|_| false),
        (ListJobsRequest { end_time_from: at(2), ..of_statuses(&[Failed, Completed]) }, &|job| {
            ended(job) >= Some(2) && [Failed, Completed].contains(&job.status())
        }),
        (ListJobsRequest { create_time_from: created, ..of_statuses(&[Completed]) }, &|job| {
            is_from(job, created) && job.status() == Completed
        }),
        (
            ListJobsRequest { operation_type: text("A"), target: text(""), ..of_statuses(&[Failed, Completed]) },
            &|job| {
                job.operation.as_ref().unwrap().r#type == "A"
                    && job.target.is_empty()
                    && [Failed, Completed].contains(&job.status())
            },
        ),
        (
            ListJobsRequest { policy_type: text("x"), create_time_before: created, end_time_from: at(1), ..none() },
            &|job| job.policy_type == "x" && is_before(job, created) && ended(job) >= Some(1),
        ),
    ];
    // Filters that nothing passes are few; those that some jobs pass find some.
    assert_eq!(cases.iter().filter(|(_, passes)| !all.iter().any(passes)).count(), 3);
    for (filter, passes) in cases {
        for order_by in ORDERS {
            let expected = expected(&all, order_by, passes);
            let request = ListJobsRequest { order_by: order_by.to_owned(), ..filter.clone() };
            for page_size in [7, 200] {
                assert_eq!(walk_in(&client, "default", &request, page_size).await, expected, "{request:?}");
            }
            let page = PageRequest { page_size: 1, total_count: TotalCount::Exact.into(), ..Default::default() };
            let (_, stands) =
                list_in(&client, "default", &ListJobsRequest { page: Some(page), ..request }).await.unwrap();
            assert_eq!(stands.total_count, Some(expected.len() as i64));
        }
    }
}

#[tokio::test]
async fn the_latest_come_first_unless_told_otherwise() {
    let (_platform, client) = start_ticking().await;
    make_mixed(&client, "default").await;
    let expected = expected(&walk(&client, &by("create_time")).await, "create_time desc", &|_| true);
    for order_by in ["", "create_time desc", "  create_time   desc "] {
        // Without `page` as with an empty one: the first 50.
        assert_eq!(list_in(&client, "default", &by(order_by)).await.unwrap().0, expected[..50], "{order_by:?}");
        assert_eq!(walk(&client, &by(order_by)).await, expected, "{order_by:?}");
    }
    // A page that is skipped to, and one past the end.
    let skipping = |skip| {
        let page = PageRequest { page_size: 10, skip, total_count: TotalCount::Exact.into(), ..Default::default() };
        ListJobsRequest { page: Some(page), ..by("") }
    };
    assert_eq!(list_in(&client, "default", &skipping(30)).await.unwrap().0, expected[30..40]);
    let (past, stands) = list_in(&client, "default", &skipping(96)).await.unwrap();
    assert_eq!((past, stands.total_count), (vec![], Some(96)));
}

async fn refusal(client: &Client, request: ListJobsRequest) -> String {
    told(&list_in(client, "default", &request).await.unwrap_err())
}

#[tokio::test]
async fn what_is_wrong_is_named_by_its_field() {
    let (_platform, client) = start().await;
    // There are six, and no status is not one of them.
    insta::assert_snapshot!(refusal(&client, ListJobsRequest { statuses: vec![3, 7, 0, -1], ..by("") }).await, @"
    InvalidArgument: statuses[1]: must be one of JOB_STATUS_SUBMITTED, JOB_STATUS_PROCESSING, JOB_STATUS_COMPLETED, JOB_STATUS_FAILED, JOB_STATUS_PARTIAL_FAILURE, JOB_STATUS_SKIPPED; statuses[2]: must be one of JOB_STATUS_SUBMITTED, JOB_STATUS_PROCESSING, JOB_STATUS_COMPLETED, JOB_STATUS_FAILED, JOB_STATUS_PARTIAL_FAILURE, JOB_STATUS_SKIPPED; statuses[3]: must be one of JOB_STATUS_SUBMITTED, JOB_STATUS_PROCESSING, JOB_STATUS_COMPLETED, JOB_STATUS_FAILED, JOB_STATUS_PARTIAL_FAILURE, JOB_STATUS_SKIPPED
      statuses[1]: must be one of JOB_STATUS_SUBMITTED, JOB_STATUS_PROCESSING, JOB_STATUS_COMPLETED, JOB_STATUS_FAILED, JOB_STATUS_PARTIAL_FAILURE, JOB_STATUS_SKIPPED
      statuses[2]: must be one of JOB_STATUS_SUBMITTED, JOB_STATUS_PROCESSING, JOB_STATUS_COMPLETED, JOB_STATUS_FAILED, JOB_STATUS_PARTIAL_FAILURE, JOB_STATUS_SKIPPED
      statuses[3]: must be one of JOB_STATUS_SUBMITTED, JOB_STATUS_PROCESSING, JOB_STATUS_COMPLETED, JOB_STATUS_FAILED, JOB_STATUS_PARTIAL_FAILURE, JOB_STATUS_SKIPPED
    ");
    let ends_first = ListJobsRequest {
        create_time_from: at(1),
        create_time_before: at(0),
        end_time_from: at(1),
        end_time_before: at(0),
        ..by("")
    };
    insta::assert_snapshot!(refusal(&client, ends_first).await, @"
    InvalidArgument: create_time_before: must not be before create_time_from; end_time_before: must not be before end_time_from
      create_time_before: must not be before create_time_from
      end_time_before: must not be before end_time_from
    ");
    let never = Some(Timestamp { seconds: i64::MAX, nanos: 0 });
    let never = ListJobsRequest { create_time_from: never, end_time_before: never, ..by("") };
    insta::assert_snapshot!(refusal(&client, never).await, @"
    InvalidArgument: create_time_from: must be a time of the years 1 to 9999; end_time_before: must be a time of the years 1 to 9999
      create_time_from: must be a time of the years 1 to 9999
      end_time_before: must be a time of the years 1 to 9999
    ");
    insta::assert_snapshot!(refusal(&client, by("status")).await, @r#"
    InvalidArgument: order_by: must be one of "create_time desc", "create_time", "end_time desc", "priority desc, create_time"
      order_by: must be one of "create_time desc", "create_time", "end_time desc", "priority desc, create_time"
    "#);
    insta::assert_snapshot!(refusal(&client, ListJobsRequest { target: text("\0"), ..by("") }).await, @"
    InvalidArgument: target: must not contain NUL
      target: must not contain NUL
    ");
    insta::assert_snapshot!(refusal(&client, of_statuses(&[Failed; 33])).await, @"
    InvalidArgument: statuses: must have at most 32 values
      statuses: must have at most 32 values
    ");
    assert_eq!(list_in(&client, "default", &of_statuses(&[Failed; 32])).await.unwrap().0, []);
    insta::assert_snapshot!(refusal(&client, ListJobsRequest { page: page(-1, ""), ..by("") }).await, @"
    InvalidArgument: page.page_size: must not be negative; 0 means 50
      page.page_size: must not be negative; 0 means 50
    ");
}

#[tokio::test]
async fn what_no_index_serves_cannot_be_skipped_in() {
    let (_platform, client) = start().await;
    let skipping = |request: ListJobsRequest| {
        let page = PageRequest { skip: 1, ..Default::default() };
        ListJobsRequest { page: Some(page), ..request }
    };
    let both = ListJobsRequest { operation_type: text("a"), ..of_statuses(&[Failed]) };
    let scanned = [
        ListJobsRequest { policy_type: text("x"), ..by("") },
        ListJobsRequest { end_time_from: at(0), ..by("create_time") },
        both,
        ListJobsRequest { order_by: "end_time desc".into(), ..of_statuses(&[Failed]) },
        ListJobsRequest { create_time_from: at(0), ..by("priority desc, create_time") },
    ];
    let mut answers = Vec::new();
    for request in scanned {
        answers.push(refusal(&client, skipping(request)).await);
    }
    insta::assert_snapshot!(answers.join("\n"), @"
    InvalidArgument: page.skip: must be 0 with policy_type, which no index serves in this order; follow the page tokens
      page.skip: must be 0 with policy_type, which no index serves in this order; follow the page tokens
    InvalidArgument: page.skip: must be 0 with end_time_from, which no index serves in this order; follow the page tokens
      page.skip: must be 0 with end_time_from, which no index serves in this order; follow the page tokens
    InvalidArgument: page.skip: must be 0 with statuses, which no index serves in this order; follow the page tokens
      page.skip: must be 0 with statuses, which no index serves in this order; follow the page tokens
    InvalidArgument: page.skip: must be 0 with statuses, which no index serves in this order; follow the page tokens
      page.skip: must be 0 with statuses, which no index serves in this order; follow the page tokens
    InvalidArgument: page.skip: must be 0 with create_time_from, which no index serves in this order; follow the page tokens
      page.skip: must be 0 with create_time_from, which no index serves in this order; follow the page tokens
    ");
    let indexed = [
        of_statuses(&[Failed, Completed]),
        ListJobsRequest { operation_type: text("a"), create_time_from: at(0), ..by("create_time") },
        ListJobsRequest { target: text(""), create_time_before: at(0), ..by("") },
        ListJobsRequest { end_time_from: at(0), end_time_before: at(1), ..by("end_time desc") },
    ];
    for request in indexed {
        assert_eq!(list_in(&client, "default", &skipping(request)).await.unwrap().0, []);
    }
}

#[tokio::test]
async fn a_token_opens_for_the_query_that_it_was_given_out_for() {
    let (_platform, client) = start().await;
    for workspace in ["default", "other"] {
        make_mixed(&client, workspace).await;
    }
    let request = ListJobsRequest { create_time_from: at(0), ..of_statuses(&[Failed, Completed]) };
    let paged = |request: &ListJobsRequest, token: &str| ListJobsRequest { page: page(5, token), ..request.clone() };
    let (_, first) = list_in(&client, "default", &paged(&request, "")).await.unwrap();
    let token = first.next_page_token;
    list_in(&client, "default", &paged(&request, &token)).await.unwrap();
    let others = [
        ("other", request.clone()),
        ("default", ListJobsRequest { statuses: vec![Failed.into()], ..request.clone() }),
        ("default", ListJobsRequest { statuses: vec![], ..request.clone() }),
        ("default", ListJobsRequest { operation_type: text("a"), ..request.clone() }),
        ("default", ListJobsRequest { target: text(""), ..request.clone() }),
        ("default", ListJobsRequest { policy_type: text(""), ..request.clone() }),
        ("default", ListJobsRequest { create_time_from: at(1), ..request.clone() }),
        ("default", ListJobsRequest { create_time_from: None, create_time_before: at(0), ..request.clone() }),
        ("default", ListJobsRequest { create_time_from: None, end_time_from: at(0), ..request.clone() }),
        ("default", ListJobsRequest { order_by: "create_time".into(), ..request.clone() }),
        ("default", ListJobsRequest { order_by: "end_time desc".into(), ..request.clone() }),
    ];
    let mut answers = Vec::new();
    for (workspace, request) in others {
        answers.push(told(&list_in(&client, workspace, &paged(&request, &token)).await.unwrap_err()));
    }
    answers.dedup();
    insta::assert_snapshot!(answers.join("\n"), @"
    InvalidArgument: page.page_token: was given out for another query; send the same filters and order_by with it, or begin again without one
      page.page_token: was given out for another query; send the same filters and order_by with it, or begin again without one
      PAGE_TOKEN_QUERY_CHANGED of quire {}
    ");
}
