//! SummarizeUsage: the groups, their sums, and invalid requests.
use std::collections::BTreeMap;

use crate::support::{Client, at, costing, grouped, list, record, start, summarize, sums};
use platform::testing::{page, told};
use proptest::{option, prelude::*, sample::subsequence, test_runner::Config};
use prost_types::Timestamp;
use quire_proto::{
    meter::v1::{ListUsageRequest, SummarizeUsageRequest, UsageDimension, UsageRecord, UsageSummary},
    pagination::v1::{PageRequest, TotalCount},
};
use time::OffsetDateTime;
use tokio::runtime::Runtime;

/// The dimensions in the order in which they sort.
const DIMENSIONS: [UsageDimension; 7] = [
    UsageDimension::Day,
    UsageDimension::Team,
    UsageDimension::Agent,
    UsageDimension::Model,
    UsageDimension::Provider,
    UsageDimension::Surface,
    UsageDimension::EventType,
];

const NAMES: [&str; 5] = ["", "a", "B", "é", "a b"];

/// Records with many combinations of dimensions. A language's collation would sort some of the names differently from
/// bytes.
fn mixed() -> Vec<UsageRecord> {
    let record = |place: usize| UsageRecord {
        team_id: NAMES[place % 3].into(),
        agent_id: NAMES[place / 2 % 5].into(),
        model: NAMES[place / 3 % 4].into(),
        provider: NAMES[place / 5 % 2].into(),
        surface: NAMES[place / 7 % 3].into(),
        event_type: NAMES[place / 11 % 2].into(),
        input_tokens: place as i64,
        output_tokens: 1_000_000_000_000 - place as i64,
        cache_read_tokens: place as i64 % 2,
        cache_write_tokens: 3,
        occur_time: occur_time(place as i64),
        ..costing(place.to_string(), &format!("{place}.{place:03}000001"))
    };
    (0..60).map(record).collect()
}

/// Hours from the beginning of 2026 in UTC. Some of them, including midnights, are a microsecond earlier, and one is
/// the earliest valid time.
fn occur_time(place: i64) -> Option<Timestamp> {
    let early = place / 4 % 2;
    let seconds = at(place * 7_919 % 60 * 3_600 - early).unwrap().seconds;
    let seconds = if place == 8 { -62_135_596_800 } else { seconds };
    Some(Timestamp { seconds, nanos: early as i32 * 999_999_000 })
}

/// The expected sums, computed from the listed records.
async fn expected(client: &Client, request: SummarizeUsageRequest) -> Vec<UsageSummary> {
    let SummarizeUsageRequest { agent_id, team_id, model, event_type, provider, start_time, end_time, .. } = request;
    let (page, order_by) = Default::default();
    let records =
        ListUsageRequest { page, order_by, agent_id, team_id, model, event_type, provider, start_time, end_time };
    let records = list(client, records).await;
    let mut groups = BTreeMap::<[Option<String>; 7], (UsageSummary, u64)>::new();
    for record in records {
        let time = OffsetDateTime::from_unix_timestamp(record.occur_time.unwrap().seconds).unwrap();
        let day = time.date().to_string();
        let UsageRecord { team_id, agent_id, model, provider, surface, event_type, .. } = record;
        let values = [day, team_id, agent_id, model, provider, surface, event_type];
        let key = std::array::from_fn(|place| {
            request.group_by.contains(&DIMENSIONS[place].into()).then(|| values[place].clone())
        });
        let (sums, billionths) = groups.entry(key).or_default();
        sums.record_count += 1;
        sums.input_tokens += record.input_tokens;
        sums.output_tokens += record.output_tokens;
        sums.cache_read_tokens += record.cache_read_tokens;
        sums.cache_write_tokens += record.cache_write_tokens;
        // Each cost has nine decimal places.
        *billionths += record.cost_usd.replace('.', "").parse::<u64>().unwrap();
    }
    let summary = |(key, (sums, cost)): ([_; 7], (_, u64))| {
        let [day, team_id, agent_id, model, provider, surface, event_type] = key;
        let cost_usd = format!("{}.{:09}", cost / 1_000_000_000, cost % 1_000_000_000);
        let cost_usd = cost_usd.trim_end_matches('0').to_owned();
        UsageSummary { day, team_id, agent_id, model, provider, surface, event_type, cost_usd, ..sums }
    };
    groups.into_iter().map(summary).collect()
}

#[test]
fn pages_of_any_groups_equal_plain_sums() {
    let runtime = Runtime::new().unwrap();
    let (_platform, client) = runtime.block_on(start());
    runtime.block_on(record(&client, &mixed())).unwrap();
    let config = Config { cases: 48, failure_persistence: None, ..Config::default() };
    let name = || option::weighted(0.2, (0..5_usize).prop_map(|place| NAMES[place].to_owned()));
    let filters = [name(), name(), name(), name(), name()];
    let groups = subsequence(DIMENSIONS.to_vec(), 0..=7).prop_shuffle();
    proptest!(config, |(group_by in groups, filters in filters, start in option::of(0..=20_i64), hours in 0..=60_i64)| {
        let [agent_id, team_id, model, event_type, provider] = filters;
        let start_time = start.map_or(grouped(&[]).start_time, |start| at(start * 3_600));
        let end_time = at((start.unwrap_or(0) + hours) * 3_600);
        let request = SummarizeUsageRequest {
            agent_id, team_id, model, event_type, provider, start_time, end_time, ..grouped(&group_by)
        };
        let expected = runtime.block_on(expected(&client, request.clone()));
        for page_size in [1, 3, 200] {
            assert_eq!(runtime.block_on(sums(&client, &request, page_size)), expected, "{request:?}");
        }
    });
}

#[tokio::test]
async fn groups_of_the_longest_values_are_walked_counted_and_skipped() {
    let (_platform, client) = start().await;
    let [team_id, agent_id, surface, model, provider] = [128, 256, 64, 128, 64].map(|bytes| "x".repeat(bytes));
    let records = ["a", "b", "c"].map(|last| UsageRecord {
        team_id: team_id.clone(),
        agent_id: agent_id.clone(),
        surface: surface.clone(),
        event_type: format!("{last:x>64}"),
        model: model.clone(),
        provider: provider.clone(),
        ..costing(last, "1")
    });
    record(&client, &records).await.unwrap();
    let sums = sums(&client, &grouped(&DIMENSIONS), 1).await;
    let last = sums.iter().map(|sums| sums.event_type.as_deref().unwrap().trim_start_matches('x')).collect::<Vec<_>>();
    assert_eq!(last, ["a", "b", "c"]);
    let page = PageRequest { page_size: 2, skip: 1, total_count: TotalCount::Exact.into(), ..Default::default() };
    let request = SummarizeUsageRequest { page: Some(page), ..grouped(&DIMENSIONS) };
    let (summaries, page) = summarize(&client, request).await.unwrap();
    assert_eq!((&summaries[..], page.total_count, page.next_page_token.as_str()), (&sums[1..], Some(3), ""));
}

#[tokio::test]
async fn the_order_of_dimensions_is_ignored_and_duplicates_are_refused() {
    use UsageDimension::{Agent, Team};
    let (_platform, client) = start().await;
    record(&client, &mixed()).await.unwrap();
    let second = async |group_by: &[UsageDimension], token: &str| {
        let request = SummarizeUsageRequest { page: page(2, token), ..grouped(group_by) };
        summarize(&client, request).await
    };
    let token = second(&[Team, Agent], "").await.unwrap().1.next_page_token;
    assert_eq!(second(&[Team, Agent], &token).await.unwrap().0, second(&[Agent, Team], &token).await.unwrap().0);
    let mut answers = Vec::new();
    for group_by in [vec![1, 0, 8, 1, -1], (1..=8).collect()] {
        let request = SummarizeUsageRequest { group_by, start_time: at(1), end_time: at(0), ..Default::default() };
        let refused = told(&summarize(&client, request).await.unwrap_err());
        answers.extend(refused.lines().skip(1).map(|line| line.chars().take(40).collect::<String>()));
    }
    insta::assert_snapshot!(answers.join("\n"), @"
    group_by[1]: must be one of USAGE_DIME
    group_by[2]: must be one of USAGE_DIME
    group_by[3]: must not be given twice
    group_by[4]: must be one of USAGE_DIME
    end_time: must not be before start_tim
    group_by: must be at most 7; there are
    end_time: must not be before start_tim
    ");
}
