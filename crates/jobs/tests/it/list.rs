//! ListJobs: time ranges, the filters that can be skipped in, and the statements that a page costs.
use crate::support::{ORDERS, at, of_type, start, start_on, told};
use database::connect;
use keyset::Statement;
use platform::testing;
use quire_proto::{jobs::v1::ListJobsRequest, pagination::v1::PageRequest};

/// The name of a filter, and what sets it.
type Filter = (&'static str, fn(&mut ListJobsRequest));

#[tokio::test]
async fn a_filter_that_an_index_serves_can_be_skipped_in() {
    let filters: [Filter; 8] = [
        ("statuses", |request| request.statuses = vec![3, 4]),
        ("operation_type", |request| request.operation_type = Some("a".to_owned())),
        ("target", |request| request.target = Some(String::new())),
        ("policy_type", |request| request.policy_type = Some(String::new())),
        ("create_time_from", |request| request.create_time_from = at(0)),
        ("create_time_before", |request| request.create_time_before = at(0)),
        ("end_time_from", |request| request.end_time_from = at(0)),
        ("end_time_before", |request| request.end_time_before = at(0)),
    ];
    let (caller, mut lines) = (start().await, Vec::new());
    for order_by in ORDERS {
        let mut line = format!("{order_by}:");
        for (name, set) in filters {
            let page = Some(PageRequest { skip: 1, ..Default::default() });
            let mut request = ListJobsRequest { page, order_by: order_by.into(), ..Default::default() };
            set(&mut request);
            match caller.list(&request).await {
                Ok(_) => line += &format!(" {name}"),
                Err(status) => assert!(told(&status).contains(&format!("page.skip: must be 0 with {name}, which no"))),
            }
        }
        lines.push(line);
    }
    insta::assert_snapshot!(lines.join("\n"), @"
    create_time desc: statuses operation_type target create_time_from create_time_before
    create_time: statuses operation_type target create_time_from create_time_before
    end_time desc: end_time_from end_time_before
    priority desc, create_time:
    ");
}

#[tokio::test]
async fn a_time_range_begins_before_it_ends_and_statuses_are_at_most_32() {
    let caller = start().await;
    let (late, early) = (at(1), at(0));
    let request = ListJobsRequest { create_time_from: late, create_time_before: early, ..Default::default() };
    let request = ListJobsRequest { statuses: vec![1; 33], end_time_from: late, end_time_before: early, ..request };
    insta::assert_snapshot!(told(&caller.list(&request).await.unwrap_err()).split_once('\n').unwrap().1, @"
    statuses: must have at most 32 values
    create_time_before: must not be before create_time_from
    end_time_before: must not be before end_time_from
    ");
    caller.list(&ListJobsRequest { statuses: vec![1; 32], ..Default::default() }).await.unwrap();
}

/// A list never looks further than the rows of its page: see indexes.rs.
#[tokio::test]
async fn a_page_is_one_statement_and_two_with_a_count() {
    let caller =
        start_on(testing::platform_on(connect(testing::new_database().await, database::Limits::of_connections(1))))
            .await;
    caller.batch(&vec![of_type("sync"); 300], false).await.unwrap();
    let executions = async || {
        let sql = "select sum(generic_plans + custom_plans)::int8 from pg_prepared_statements
            where statement not like '%generic_plans%'";
        caller.platform.database.read::<(i64,)>(Statement::new(sql)).await.unwrap()[0].0
    };
    for order_by in ORDERS {
        for (page_size, total_count) in [1, 50, 200].into_iter().flat_map(|size| [(size, 0), (size, 1)]) {
            let page = Some(PageRequest { page_size, total_count, ..Default::default() });
            let before = executions().await;
            let request = ListJobsRequest { page, order_by: order_by.into(), ..Default::default() };
            assert_eq!(caller.list(&request).await.unwrap().0.len(), page_size as usize);
            assert_eq!(executions().await - before, 1 + i64::from(total_count));
        }
    }
}
