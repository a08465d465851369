//! GetJob: a job and what became of it on each host, and whose jobs a caller sees.
use crate::support::{
    append, append_in, at, batch_in, by, create, create_in, event, get, get_in, id, list_in, numbers, of_type, start,
    told, walk_in,
};
use platform::testing;
use quire_proto::{
    jobs::v1::{
        Job, JobEvent,
        JobEventKind::{Acknowledged, Completed, Failed, Retried, Started, Submitted},
        JobHost, JobOperation, ListJobsRequest,
    },
    pagination::v1::{PageRequest, TotalCount},
};

#[tokio::test]
async fn hosts_are_told_by_name() {
    let (_platform, client) = start().await;
    let job = create(&client, &of_type("sync")).await.unwrap();
    let failed = |id: &str, host: &str, seconds, error: &str| JobEvent {
        error: error.into(),
        ..event(id, &job, Failed, host, seconds)
    };
    let events = [
        event("1", &job, Started, "b", 3),
        failed("2", "b", 5, "first"),
        failed("3", "b", 6, "second"),
        event("4", &job, Submitted, "é", 1),
        event("5", &job, Acknowledged, "B", 2),
        event("6", &job, Submitted, "B", 9),
        JobEvent { error: "in passing".into(), ..event("7", &job, Started, "a", 4) },
        failed("8", "", 7, "on no host"),
        event("9", &job, Retried, "c", 7),
    ];
    append(&client, &events).await.unwrap();
    let host = |host: &str, error: &str| JobHost { host: host.into(), error: error.into(), ..Default::default() };
    assert_eq!(
        get(&client, &job.id).await.unwrap().hosts,
        [
            JobHost { state: Acknowledged.into(), submit_time: at(9), acknowledge_time: at(2), ..host("B", "") },
            // The error is that of the furthest event, whether it failed or not.
            JobHost { state: Started.into(), start_time: at(4), ..host("a", "in passing") },
            JobHost { state: Failed.into(), start_time: at(3), end_time: at(6), ..host("b", "second") },
            JobHost { state: Submitted.into(), submit_time: at(1), ..host("é", "") },
        ]
    );
}

#[tokio::test]
async fn errors_are_cut_where_hosts_are_many() {
    let (_platform, client) = start().await;
    let job = create(&client, &of_type("sync")).await.unwrap();
    // What is cut is characters, and of few hosts nothing.
    let error = format!("{}{}", "é".repeat(8_000), "x".repeat(384));
    for (hosts, characters) in [(1, 8_384), (44, 8_384), (45, 8_333), (200, 1_875)] {
        let events = (0..hosts).map(|host: u32| JobEvent {
            error: error.clone(),
            ..event(&host.to_string(), &job, Failed, &host.to_string(), 1)
        });
        append(&client, &events.collect::<Vec<_>>()).await.unwrap();
        let got = get(&client, &job.id).await.unwrap();
        assert_eq!(got.hosts.len(), hosts as usize);
        let cut: String = error.chars().take(characters).collect();
        assert!(got.hosts.iter().all(|host| host.error == cut), "{hosts}");
        assert_eq!(got.job.unwrap().error, error);
    }
}

#[tokio::test]
async fn the_heaviest_job_is_one_that_any_client_reads() {
    let (platform, client) = start().await;
    let data = format!("{{\"a\":\"{}\"}}", "x".repeat(262_144 - 8));
    let job = Job { operation: Some(JobOperation { r#type: "sync".into(), data }), ..Default::default() };
    let job = create(&client, &job).await.unwrap();
    let sql = "
        insert into job_events (workspace_id, id, job_id, kind, host, message, error, occur_time, create_time)
        select 'default', n || kind, $1::uuid, kind, lpad(n::text, 256, 'h'), '', repeat('😀', 4096),
            '2026-01-01 00:00:00.123456', now()
        from generate_series(1, 5000) as n, unnest(array['submitted', 'acknowledged', 'started', 'failed']) as kind";
    sqlx::query(sql).bind(&job.id).execute(&testing::pool(&platform)).await.unwrap();
    let hosts = get(&client, &job.id).await.unwrap().hosts;
    assert_eq!((hosts.len(), hosts[0].error.chars().count()), (5_000, 75));
}

#[tokio::test]
async fn what_another_workspace_has_is_as_if_it_were_nowhere() {
    let (platform, client) = start().await;
    let nowhere = told(&get_in(&client, "theirs", &id(1)).await.unwrap_err());
    insta::assert_snapshot!(nowhere, @r#"
    NotFound: jobs.v1.Job with id "00000000-0000-0000-0000-000000000001" does not exist
      NOT_FOUND of quire {"field": "id"}
      jobs.v1.Job "00000000-0000-0000-0000-000000000001"
    "#);
    let job = Job { id: id(1), ..of_type("sync") };
    let ours = create_in(&client, "ours", &job).await.unwrap();
    assert_eq!(told(&get_in(&client, "theirs", &id(1)).await.unwrap_err()), nowhere);
    assert_eq!(get_in(&client, "ours", &id(1)).await.unwrap().job, Some(ours));

    // The same ids of jobs, events and hosts are others.
    create_in(&client, "theirs", &job).await.unwrap();
    batch_in(&client, "theirs", &[of_type("sync"), of_type("scan")], false).await.unwrap();
    append_in(&client, "ours", &[event("1", &job, Completed, "a", 1)]).await.unwrap();
    append_in(&client, "theirs", &[event("1", &job, Failed, "a", 2), event("2", &job, Started, "b", 2)]).await.unwrap();
    assert_eq!(get_in(&client, "ours", &id(1)).await.unwrap().hosts.len(), 1);
    assert_eq!(get_in(&client, "theirs", &id(1)).await.unwrap().hosts.len(), 2);
    let mut told = Vec::new();
    for workspace in ["ours", "theirs", "default"] {
        told.push(numbers(&platform, &client, workspace).await);
        let page = PageRequest { total_count: TotalCount::Capped.into(), ..Default::default() };
        let request = ListJobsRequest { page: Some(page), ..by("") };
        let (jobs, page) = list_in(&client, workspace, &request).await.unwrap();
        assert_eq!(page.total_count, Some(jobs.len() as i64));
        assert_eq!(walk_in(&client, workspace, &by(""), 1).await, jobs);
    }
    insta::assert_snapshot!(told.join("\n"), @"
    1 jobs, 1 completed, 0 dead letters, 1 sync
    3 jobs, 2 submitted, 1 processing, 0 dead letters, 1 scan, 2 sync
    0 jobs, 0 dead letters
    ");
}

#[tokio::test]
async fn an_id_that_is_none_is_an_invalid_argument() {
    let (_platform, client) = start().await;
    let mut answers = Vec::new();
    for id in ["", "x", "{01934f6e-8a3b-7c21-9d55-0242ac120002}", "01934f6e8a3b7c219d550242ac120002", "\0"] {
        answers.push(told(&get(&client, id).await.unwrap_err()));
        answers.push(told(&crate::support::delete(&client, id).await.unwrap_err()));
        answers.push(told(&crate::support::retry(&client, id).await.unwrap_err()));
    }
    answers.dedup();
    insta::assert_snapshot!(answers.join("\n"), @"
    InvalidArgument: id: must be a UUID, as in 01934f6e-8a3b-7c21-9d55-0242ac120002
      id: must be a UUID, as in 01934f6e-8a3b-7c21-9d55-0242ac120002
    ");
}
