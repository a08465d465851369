//! Conformance tests of the service's lists.
use keyset::{List, conformance::Conformance};
use meter::usage_fields;
use meter::{SUMMARIES, USAGE};
use platform::testing;
use quire_proto::meter::v1::UsageRecord;
use time::OffsetDateTime;

/// Inserts usage records. The times of rare records are before and after all others.
const ROWS: &str = "
    insert into usage_records (workspace_id, id, request_id, team_id, agent_id, surface, event_type, model, provider,
        input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, cost_usd, metadata, occur_time, create_time)
    select workspace, gen_random_uuid(), n, rarity, rarity, case n % 3 when 0 then '' else 'surface ' || n % 3 end, rarity,
        rarity, rarity, n, n, n, n, n * 0.001, '{}',
        timestamptz '2026-01-01'
            + case when n % $3 = 0 then (n - 10000) * interval '1 day' else n % 977 * interval '15 min' end,
        now()
    from generate_series($1, $2) as n, (values ('default'), ('other')) as workspaces (workspace),
        lateral (select case when n % $3 = 0 then 'rare' else 'common' end as rarity) as rarities";

fn year(year: i32) -> OffsetDateTime {
    OffsetDateTime::UNIX_EPOCH.replace_year(year).unwrap()
}

/// The conformance tests of a list of usage, with values for all filters.
fn of(list: &List) -> Conformance<'_> {
    let equal = ["agent_id", "team_id", "model", "event_type", "provider"];
    let conformance = equal.iter().fold(Conformance::of(list).scope("default"), |conformance, filter| {
        conformance.value(filter, "common").value(filter, "rare")
    });
    let conformance = conformance.value("start_time", year(2000)).value("start_time", year(2050));
    conformance.value("end_time", year(2050)).value("end_time", year(2000))
}

#[tokio::test]
async fn usage_conforms() {
    let platform = testing::platform().await;
    let list = platform.paging.open(&USAGE).await.unwrap();
    let pool = &testing::pool(&platform);
    of(&list).check(async |numbers| testing::insert(pool, ROWS, numbers).await).await;
}

#[tokio::test]
async fn summaries_conform() {
    let platform = testing::platform().await;
    let list = platform.paging.open(&SUMMARIES).await.unwrap();
    let pool = &testing::pool(&platform);
    // Grouped by day, model and surface: about forty groups, both of the first rows and of all rows.
    let parameters = [true, false, false, true, false, true, false];
    let conformance = parameters.into_iter().fold(of(&list), Conformance::parameter);
    conformance.check(async |numbers| testing::insert(pool, ROWS, numbers).await).await;
}

#[tokio::test]
async fn checks_of_the_table_match_the_rules_of_the_fields() {
    let platform = testing::platform().await;
    testing::assert_checks(&platform, "usage_records", &usage_fields(&UsageRecord::default())).await;
}
