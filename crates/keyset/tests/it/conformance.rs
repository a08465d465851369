//! Tests of the kit: it passes a list with filters and orders of every kind, and fails lists that do not conform.
use std::{ops::Range, panic::AssertUnwindSafe};

use crate::support::{database, open, run};
use futures_util::FutureExt;
use keyset::{Counter, Filter, List, Listing, Order, asc, conformance::Conformance, desc};
use sqlx::{PgPool, types::time::OffsetDateTime};

/// 2026-01-01, in seconds since the Unix epoch.
const START: i64 = 1_767_225_600;

const TABLE: &str = "
    create table jobs (
        tenant text collate \"C\" not null,
        id int8 not null,
        status text collate \"C\" not null,
        target text collate \"C\" not null check (octet_length(target) <= 100),
        priority int4 not null,
        end_time timestamptz,
        owner text collate \"C\" not null,
        create_time timestamptz not null,
        data text not null,
        primary key (tenant, id)
    );
    alter table jobs alter column status set (n_distinct = 1000), alter column owner set (n_distinct = 1000);
    create index on jobs (tenant, end_time desc nulls last, id);
    create index on jobs (tenant, target, id desc);
    create index on jobs (tenant, create_time, id);
    create index on jobs (tenant, owner, status, create_time, id);
    create index on jobs (tenant, priority desc, end_time, id desc);
    create index on jobs (tenant, status, end_time desc nulls last, id);
    create table job_counts (
        tenant text collate \"C\" not null,
        owner text collate \"C\" not null,
        status text collate \"C\" not null,
        slot int4 not null,
        row_count int8 not null,
        primary key (tenant, owner, status, slot)
    );
";

const JOBS: Listing = Listing {
    name: "jobs",
    from: "jobs",
    columns: "id, data",
    scope: &["tenant"],
    filters: &[
        Filter::any_of("statuses", "status"),
        Filter::prefix("target_prefix", "target"),
        Filter::at_least("ended_after", "end_time"),
        Filter::less_than("ended_before", "end_time"),
        Filter::equal("owner", "owner"),
        Filter::at_least("created_after", "create_time"),
        Filter::less_than("created_before", "create_time"),
        Filter::condition("word", "data like '%' || {word}"),
    ],
    orders: &[
        Order { name: "end_time desc", keys: &[desc("end_time").nulls_last(), asc("id")], indexed: &[&["statuses"]] },
        Order { name: "target", keys: &[asc("target"), desc("id")], indexed: &[] },
        Order {
            name: "priority desc",
            keys: &[desc("priority"), asc("end_time").nulls_last(), desc("id")],
            indexed: &[],
        },
        Order {
            name: "create_time desc",
            keys: &[desc("create_time"), desc("id")],
            indexed: &[&["owner", "statuses"]],
        },
    ],
    counters: &[Counter { table: "job_counts", filters: &["statuses", "owner"] }],
    weight: Some("octet_length(data)"),
    ..Listing::DEFAULT
};

/// Inserts jobs with these numbers, as many of another tenant, and counts them all.
async fn seed(pool: &PgPool, numbers: Range<u32>) {
    let (first, last) = (numbers.start, numbers.end - 1);
    run(
        pool,
        &format!(
            "with inserted as (insert into jobs
            select tenant, n, case when n % 10000 = 0 then 'rare' when n % 3 = 0 then 'done' else 'open' end,
                case when n % 10000 = 0 then 'rare' else 'host' || n % 17 end, n % 5,
                case when n % 10000 = 0 then '1999-01-01' when n % 10000 = 1 then '2030-01-01' when n % 4 > 0
                    then timestamptz '2026-01-01' + n % 1000 * interval '1 s' end,
                case when n % 10000 = 0 then 'rare' else 'same' end,
                case when n % 10000 = 0 then '1999-01-01' when n % 10000 = 1 then '2030-01-01'
                    else timestamptz '2026-01-01' + n % 977 * interval '1 s' end,
                case when n % 10000 = 0 then 'rare' else 'data' || n end
            from generate_series({first}, {last}) as n, (values ('a'), ('b')) as tenants (tenant)
            returning tenant, owner, status, id)
            insert into job_counts as counts
            select tenant, owner, status, id % 16, count(*) from inserted group by 1, 2, 3, 4
            on conflict (tenant, owner, status, slot) do update set row_count = counts.row_count + excluded.row_count"
        ),
    )
    .await;
}

async fn check(list: &List, pool: &PgPool) {
    Conformance::of(list)
        .scope("a")
        .value("statuses", vec!["rare"])
        .value("statuses", vec!["done", "rare", "done"])
        .value("target_prefix", "rare")
        .value("target_prefix", "host1")
        .value("ended_after", time(START + 15 * 60))
        .value("ended_after", time(START + 365 * 86_400))
        .value("ended_before", time(946_684_800))
        .value("ended_before", time(START + 30))
        .value("owner", "rare")
        .value("owner", "same")
        .value("created_after", time(START + 365 * 86_400))
        .value("created_after", time(START + 20))
        .value("created_before", time(946_684_800))
        .value("created_before", time(START + 40))
        .value("word", "rare")
        .check(async |numbers| seed(pool, numbers).await)
        .await;
}

fn time(unix_seconds: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(unix_seconds).unwrap()
}

#[tokio::test]
async fn a_list_with_every_kind_of_filter_and_order_conforms() {
    let pool = database().await;
    run(&pool, TABLE).await;
    let list = open(&pool, JOBS).await;
    check(&list, &pool).await;
}

/// One index serves several filters, also together with a range of the first key. While all rows have the same value,
/// Postgres would rather read the index without the filters, and discard every row for another value.
#[tokio::test]
async fn filters_that_share_an_index_conform() {
    const ORDERS: &[Order] = &[Order {
        name: "create_time desc",
        keys: &[desc("create_time"), desc("id")],
        indexed: &[&["owner"], &["owner", "statuses"]],
    }];
    const FILTERS: &[Filter] = &[
        Filter::any_of("statuses", "status"),
        Filter::equal("owner", "owner"),
        Filter::at_least("created_after", "create_time"),
    ];
    let pool = database().await;
    run(&pool, TABLE).await;
    run(&pool, "create index on jobs (tenant, owner, create_time, id)").await;
    let list = open(&pool, Listing { orders: ORDERS, filters: FILTERS, ..JOBS }).await;
    Conformance::of(&list)
        .scope("a")
        .value("owner", "same")
        .value("owner", "rare")
        .value("statuses", vec!["done", "open", "rare"])
        .value("statuses", vec!["rare"])
        .value("created_after", time(START + 20))
        .value("created_after", time(START + 365 * 86_400))
        .check(async |numbers| seed(&pool, numbers).await)
        .await;
}

const BY_CREATION: Listing = Listing {
    filters: &[Filter::equal("owner", "owner"), Filter::condition("word", "data like '%' || {word}")],
    orders: &[Order { name: "create_time desc", keys: &[desc("create_time"), desc("id")], indexed: &[] }],
    counters: &[Counter { table: "job_counts", filters: &["owner"] }],
    ..JOBS
};

/// The failure of the kit for a list of jobs after this change to the table.
async fn complaint(change: &str, owner: &str) -> String {
    let pool = database().await;
    run(&pool, TABLE).await;
    let list = open(&pool, BY_CREATION).await;
    run(&pool, change).await;
    let conformance = Conformance::of(&list).scope("a").value("owner", owner).value("word", "rare");
    let check = AssertUnwindSafe(conformance.check(async |numbers| seed(&pool, numbers).await));
    let panic = check.catch_unwind().await.expect_err("the kit finds nothing wrong");
    panic.downcast_ref::<String>().cloned().unwrap_or_default()
}

#[tokio::test]
async fn lists_that_do_not_conform_fail() {
    let lost_index = complaint("drop index jobs_tenant_create_time_id_idx", "rare").await;
    assert!(lost_index.contains("Rows, of jobs") || lost_index.contains("is sorted"), "{lost_index}");
    let other_index =
        "drop index jobs_tenant_create_time_id_idx; create index on jobs (tenant, priority, create_time, id)";
    let other_index = complaint(other_index, "rare").await;
    assert!(other_index.contains("Rows, of jobs") || other_index.contains("is sorted"), "{other_index}");
    let not_rare = complaint("select", "same").await;
    assert!(not_rare.contains("should match one value of the filter owner"), "{not_rare}");
    let counted_twice = "insert into job_counts values ('a', 'rare', 'open', 3, 1)";
    let counted_twice = complaint(counted_twice, "rare").await;
    assert!(counted_twice.contains("filters []: the count in job_counts"), "{counted_twice}");
    let under_another_owner = "insert into job_counts values ('a', 'rare', 'open', 3, 1), ('a', 'same', 'open', 3, -1)";
    let under_another_owner = complaint(under_another_owner, "rare").await;
    assert!(under_another_owner.contains("filters [\"owner\"]: the count in job_counts"), "{under_another_owner}");
}
