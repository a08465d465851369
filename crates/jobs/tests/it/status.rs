//! What the events of a job come to: the model check compares it with a plain model (support/outcome.rs), in any order,
//! grouping and repetition. Here is what depends on the clock or is large.
use crate::support::{event, of_type, start, start_at_rest};
use platform::testing;
use quire_proto::jobs::v1::{
    JobEvent,
    JobEventKind::{Completed, Failed, Retried, Started, Submitted},
};

#[tokio::test]
async fn the_etag_and_the_update_time_change_with_each_event() {
    let (caller, hands) = start_at_rest().await;
    let mut job = caller.create(&of_type("sync")).await.unwrap();
    let changes = [(Started, 5), (Submitted, 1), (Completed, 9), (Failed, 8), (Retried, 9)];
    for (place, (kind, second)) in changes.into_iter().enumerate() {
        // The clock stands still, and then goes back.
        hands.go_back(place as u64);
        caller.append(&[event(&place.to_string(), &job, kind, "a", second)]).await.unwrap();
        let changed = caller.job(&job.id).await;
        assert_ne!(changed.etag, job.etag);
        let (time, later) = (job.update_time.unwrap(), changed.update_time.unwrap());
        assert_eq!((later.seconds, later.nanos), (time.seconds, time.nanos + 1_000));
        job = changed;
    }
    caller.retry(&job.id).await.unwrap();
    let retried = caller.job(&job.id).await;
    assert_ne!(retried.etag, job.etag);
    assert_eq!(retried.update_time.unwrap().nanos, job.update_time.unwrap().nanos + 1_000);
    hands.pass(60);
    caller.append(&[event("b", &job, Started, "b", 1)]).await.unwrap();
    assert_eq!(caller.job(&job.id).await.update_time, Some(hands.time(0)));
}

#[tokio::test]
async fn errors_are_cut_where_hosts_are_many() {
    let caller = start().await;
    let job = caller.create(&of_type("sync")).await.unwrap();
    // Characters are cut, and of few hosts none.
    let error = format!("{}{}", "é".repeat(8_000), "x".repeat(384));
    for (hosts, characters) in [(1, 8_384), (44, 8_384), (45, 8_333), (200, 1_875)] {
        let events = (0..hosts).map(|host: u32| JobEvent {
            error: error.clone(),
            ..event(&host.to_string(), &job, Failed, &host.to_string(), 1)
        });
        caller.append(&events.collect::<Vec<_>>()).await.unwrap();
        let got = caller.get(&job.id).await.unwrap();
        let cut: String = error.chars().take(characters).collect();
        assert!(got.hosts.len() == hosts as usize && got.hosts.iter().all(|host| host.error == cut), "{hosts}");
        assert_eq!(got.job.unwrap().error, error);
    }
}

#[tokio::test]
async fn any_client_can_read_the_heaviest_job() {
    let caller = start().await;
    let mut job = of_type("sync");
    job.operation.as_mut().unwrap().data = format!("{{\"a\":\"{}\"}}", "x".repeat(262_144 - 8));
    let job = caller.create(&job).await.unwrap();
    let sql = "
        insert into job_events (workspace_id, id, job_id, kind, host, message, error, occur_time, create_time)
        select 'default', n || kind, $1::uuid, kind, lpad(n::text, 256, 'h'), '', repeat('😀', 4096),
            '2026-01-01 00:00:00.123456', now()
        from generate_series(1, 5000) as n, unnest(array['submitted', 'acknowledged', 'started', 'failed']) as kind";
    sqlx::query(sql).bind(&job.id).execute(&testing::pool(&caller.platform)).await.unwrap();
    let hosts = caller.get(&job.id).await.unwrap().hosts;
    assert_eq!((hosts.len(), hosts[0].error.chars().count()), (5_000, 75));
}
