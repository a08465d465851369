//! The service's lists do what lists promise.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::ops::Range;

use keyset::conformance::{Conformance, RARE};
use platform::testing;
use prompts::PROMPTS;
use sqlx::PgPool;

/// Inserts prompts with these numbers into the workspace `default`, and as many into another.
async fn seed(pool: &PgPool, numbers: Range<u32>) {
    let sql = "
        insert into prompts (workspace_id, id, name, surface, tags, metadata, latest_version, etag, create_time, update_time)
        select workspace, gen_random_uuid(), (case when n % $3 = 0 then 'rare/' else 'common/' end) || n,
            case when n % $3 = 0 then 'rare' else 'common' end,
            array[case when n % $3 = 0 then 'rare' else 'common' end], '{}', 1, gen_random_uuid(),
            timestamptz '2026-01-01' + n % 977 * interval '1 s', timestamptz '2026-01-01' + n % 31 * interval '1 s'
        from generate_series($1, $2 - 1) as n, (values ('default'), ('other')) as workspaces (workspace)";
    let [first, end, rare] = [numbers.start, numbers.end, RARE].map(i64::from);
    sqlx::query(sql).bind(first).bind(end).bind(rare).execute(pool).await.unwrap();
}

#[tokio::test]
async fn prompts_conform() {
    let platform = testing::platform().await;
    let list = platform.paging.open(&PROMPTS).await.unwrap();
    let pool = &testing::pool(&platform);
    Conformance::of(&list)
        .scope("default")
        .value("surface", "rare")
        .value("surface", "common")
        .value("name_prefix", "rare/")
        .value("name_prefix", "common/1")
        .value("tag", "rare")
        .value("tag", "common")
        .check(async |numbers| seed(pool, numbers).await)
        .await;
}
