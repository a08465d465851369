//! SummarizeUsage: the groups, their sums, and what is refused.
use crate::support::{Client, at, costing, grouped, page, record, record_in, start, summarize_in, sums, sums_in, told};
use platform::testing;
use proptest::{prelude::*, sample::subsequence, test_runner::Config};
use quire_proto::{
    meter::v1::{SummarizeUsageRequest, UsageDimension, UsageRecord, UsageSummary},
    pagination::v1::{PageRequest, TotalCount},
};
use sqlx::{AssertSqlSafe, FromRow, PgPool};
use tokio::runtime::Runtime;

/// The dimensions in the order in which they sort, and what each is of a record.
const DIMENSIONS: [(UsageDimension, &str); 7] = [
    (UsageDimension::Day, "to_char(occur_time at time zone 'UTC', 'YYYY-MM-DD')"),
    (UsageDimension::Team, "team_id"),
    (UsageDimension::Agent, "agent_id"),
    (UsageDimension::Model, "model"),
    (UsageDimension::Provider, "provider"),
    (UsageDimension::Surface, "surface"),
    (UsageDimension::EventType, "event_type"),
];

/// Uses whose dimensions meet in many ways; some names a language would sort otherwise than bytes do.
async fn record_mixed(client: &Client, workspace: &str) {
    let names = ["", "a", "B", "é", "a b"];
    let records = (0..60).map(|place: usize| UsageRecord {
        team_id: names[place % 3].into(),
        agent_id: names[place / 2 % 5].into(),
        model: names[place / 3 % 4].into(),
        provider: names[place / 5 % 2].into(),
        surface: names[place / 7 % 3].into(),
        event_type: names[place / 11 % 2].into(),
        input_tokens: place as i64,
        output_tokens: 1_000_000_000_000 - place as i64,
        cache_read_tokens: place as i64 % 2,
        cache_write_tokens: 3,
        occur_time: at(place as i64 * 7_919 % 60 * 3_600),
        ..costing(place.to_string(), &format!("{place}.{place:03}000001"))
    });
    record_in(client, workspace, &records.collect::<Vec<_>>()).await.unwrap();
}

/// A group of what a plain statement sums up.
#[derive(FromRow)]
struct Row {
    dimensions: Vec<Option<String>>,
    sums: Vec<i64>,
    cost_usd: String,
}

/// What a plain statement sums the usage of the workspace `default` up to, from its beginning to a time.
async fn expected(pool: &PgPool, group_by: &[UsageDimension], hours: i64) -> Vec<UsageSummary> {
    let compared = |text: &str| format!("{text} collate \"C\"");
    let selected = DIMENSIONS.map(
        |(dimension, text)| {
            if group_by.contains(&dimension) { compared(text) } else { "null".to_owned() }
        },
    );
    let groups =
        DIMENSIONS.iter().filter(|(dimension, _)| group_by.contains(dimension)).map(|(_, text)| compared(text));
    let groups = groups.collect::<Vec<_>>().join(", ");
    let sql = format!(
        "select * from (select array[{}]::text[] as dimensions, array[count(*), sum(input_tokens), sum(output_tokens),
            sum(cache_read_tokens), sum(cache_write_tokens)]::int8[] as sums,
            (sum(cost_usd * 1000000000000)::numeric(40, 0))::text as cost_usd
        from usage_records where workspace_id = 'default' and occur_time < '2026-01-01Z'::timestamptz + $1 * interval '1 h'
        group by grouping sets (({groups})) having count(*) > 0) as plain
        order by dimensions collate \"C\"",
        selected.join(", "),
    );
    let rows: Vec<Row> = sqlx::query_as(AssertSqlSafe(sql)).bind(hours).fetch_all(pool).await.unwrap();
    let summary = |Row { dimensions, sums, cost_usd }: Row| {
        let [day, team_id, agent_id, model, provider, surface, event_type] = dimensions.try_into().unwrap();
        let [record_count, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens] =
            sums.try_into().unwrap();
        // Of so many millionths of a millionth, the text.
        let digits = format!("{cost_usd:0>13}");
        let (whole, fraction) = digits.split_at(digits.len() - 12);
        let cost_usd = format!("{whole}.{fraction}").trim_end_matches('0').trim_end_matches('.').to_owned();
        UsageSummary {
            team_id,
            agent_id,
            model,
            provider,
            surface,
            event_type,
            day,
            record_count,
            input_tokens,
            output_tokens,
            cache_read_tokens,
            cache_write_tokens,
            cost_usd,
        }
    };
    rows.into_iter().map(summary).collect()
}

#[test]
fn any_groups_page_by_page_are_those_of_a_plain_statement() {
    let runtime = Runtime::new().unwrap();
    let (platform, client) = runtime.block_on(start());
    let pool = runtime.block_on(async {
        record_mixed(&client, "default").await;
        record_mixed(&client, "other").await;
        testing::pool(&platform)
    });
    let all = DIMENSIONS.map(|(dimension, _)| dimension).to_vec();
    let config = Config { cases: 24, failure_persistence: None, ..Config::default() };
    proptest!(config, |(group_by in subsequence(all, 0..=7).prop_shuffle(), hours in 0..=60_i64)| {
        runtime.block_on(async {
            let expected = expected(&pool, &group_by, hours).await;
            let request = SummarizeUsageRequest { end_time: at(hours * 3_600), ..grouped(&group_by) };
            for page_size in [1, 3, 200] {
                assert_eq!(sums_in(&client, "default", &request, page_size).await, expected, "{group_by:?}");
            }
        });
    });
}

#[tokio::test]
async fn every_filter_is_one_of_what_is_summed() {
    let (_platform, client) = start().await;
    record_mixed(&client, "default").await;
    let text = |text: &str| Some(text.to_owned());
    let all = || grouped(&[]);
    let requests = [
        all(),
        SummarizeUsageRequest { agent_id: text("a"), ..all() },
        SummarizeUsageRequest { team_id: text("a"), ..all() },
        SummarizeUsageRequest { model: text(""), ..all() },
        SummarizeUsageRequest { event_type: text("a"), ..all() },
        SummarizeUsageRequest { provider: text("a"), ..all() },
        SummarizeUsageRequest { start_time: at(3_600), ..all() },
        SummarizeUsageRequest { end_time: at(3_600), ..all() },
        SummarizeUsageRequest { team_id: text("a"), agent_id: text("B"), start_time: at(1), ..all() },
    ];
    let mut counts = Vec::new();
    for request in requests {
        let sums = sums(&client, &request).await;
        assert_eq!(sums.len(), 1, "{request:?}");
        counts.push(sums[0].record_count);
    }
    assert_eq!(counts, [60, 12, 20, 15, 27, 30, 59, 1, 4]);
    // No usage, no group.
    for nothing in [
        SummarizeUsageRequest { agent_id: text("x"), ..all() },
        SummarizeUsageRequest { start_time: at(0), end_time: at(0), ..all() },
        SummarizeUsageRequest { start_time: at(0), end_time: at(0), ..grouped(&[UsageDimension::Day]) },
    ] {
        assert_eq!(sums(&client, &nothing).await, []);
    }
    assert_eq!(sums_in(&client, "nobody", &all(), 1).await, []);
}

#[tokio::test]
async fn a_day_is_one_in_utc() {
    let (_platform, client) = start().await;
    let occurring = |request_id, seconds, nanos| UsageRecord {
        occur_time: Some(prost_types::Timestamp { seconds, nanos }),
        ..costing(request_id, "1")
    };
    let midnight = at(0).unwrap().seconds;
    let records = [
        occurring("a", midnight - 1, 999_999_000),
        occurring("b", midnight, 0),
        occurring("c", midnight + 86_399, 999_999_999),
        occurring("d", midnight + 86_400, 0),
        occurring("e", -62_135_596_800, 0),
    ];
    record(&client, &records).await.unwrap();
    let sums = sums(&client, &grouped(&[UsageDimension::Day])).await;
    let days: Vec<_> = sums.iter().map(|sums| (sums.day.as_deref().unwrap(), sums.record_count)).collect();
    assert_eq!(days, [("0001-01-01", 1), ("2025-12-31", 1), ("2026-01-01", 2), ("2026-01-02", 1)]);
}

#[tokio::test]
async fn groups_of_the_longest_values_are_walked() {
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
    let request = grouped(&DIMENSIONS.map(|(dimension, _)| dimension));
    let sums = sums_in(&client, "default", &request, 1).await;
    let last = sums.iter().map(|sums| sums.event_type.as_deref().unwrap().trim_start_matches('x')).collect::<Vec<_>>();
    assert_eq!(last, ["a", "b", "c"]);
}

#[tokio::test]
async fn groups_are_counted_and_skipped_in() {
    let (_platform, client) = start().await;
    record_mixed(&client, "default").await;
    let all = sums(&client, &grouped(&[UsageDimension::Agent])).await;
    assert_eq!(
        all.iter().map(|sums| sums.agent_id.as_deref().unwrap()).collect::<Vec<_>>(),
        ["", "B", "a", "a b", "é"]
    );
    let page = PageRequest { page_size: 2, skip: 3, total_count: TotalCount::Exact.into(), ..Default::default() };
    let request = SummarizeUsageRequest { page: Some(page), ..grouped(&[UsageDimension::Agent]) };
    let (summaries, page) = summarize_in(&client, "default", &request).await.unwrap();
    assert_eq!((summaries, page.total_count, page.next_page_token.as_str()), (all[3..].to_vec(), Some(5), ""));
}

#[tokio::test]
async fn a_token_opens_for_the_groups_that_it_was_given_out_for() {
    use UsageDimension::{Agent, Model, Team};
    let (_platform, client) = start().await;
    record_mixed(&client, "default").await;
    record_mixed(&client, "other").await;
    let paged = |request, token: &str| SummarizeUsageRequest { page: page(2, token), ..request };
    let (_, first) = summarize_in(&client, "default", &paged(grouped(&[Team, Agent]), "")).await.unwrap();
    let token = first.next_page_token;
    // The order of what is grouped by makes no difference.
    let [one, other] = [[Team, Agent], [Agent, Team]].map(|group_by| paged(grouped(&group_by), &token));
    let one = summarize_in(&client, "default", &one).await.unwrap().0;
    assert_eq!(one, summarize_in(&client, "default", &other).await.unwrap().0);
    let mut answers = Vec::new();
    for (workspace, request) in [
        ("other", grouped(&[Team, Agent])),
        ("default", grouped(&[Team])),
        ("default", grouped(&[Team, Model])),
        ("default", SummarizeUsageRequest { start_time: at(0), ..grouped(&[Team, Agent]) }),
        ("default", SummarizeUsageRequest { model: Some(String::new()), ..grouped(&[Team, Agent]) }),
    ] {
        answers.push(told(&summarize_in(&client, workspace, &paged(request, &token)).await.unwrap_err()));
    }
    answers.dedup();
    insta::assert_snapshot!(answers.join("\n"), @"
    InvalidArgument: page.page_token: was given out for another query; send the same filters and order_by with it, or begin again without one
      page.page_token: was given out for another query; send the same filters and order_by with it, or begin again without one
      PAGE_TOKEN_QUERY_CHANGED of quire {}
    ");
}

#[tokio::test]
async fn what_is_wrong_is_named_by_its_field() {
    let (_platform, client) = start().await;
    let refusal =
        async |request: SummarizeUsageRequest| told(&summarize_in(&client, "default", &request).await.unwrap_err());
    insta::assert_snapshot!(refusal(SummarizeUsageRequest::default()).await, @"
    InvalidArgument: start_time: must be given; end_time: must be given
      start_time: must be given
      end_time: must be given
    ");
    let backwards = SummarizeUsageRequest { start_time: at(1), end_time: at(0), ..grouped(&[]) };
    insta::assert_snapshot!(refusal(backwards).await, @"
    InvalidArgument: end_time: must not be before start_time
      end_time: must not be before start_time
    ");
    let group_by = vec![1, 0, 8, 1, -1];
    insta::assert_snapshot!(refusal(SummarizeUsageRequest { group_by, ..grouped(&[]) }).await, @"
    InvalidArgument: group_by[1]: must be one of USAGE_DIMENSION_TEAM, USAGE_DIMENSION_AGENT, USAGE_DIMENSION_MODEL, USAGE_DIMENSION_PROVIDER, USAGE_DIMENSION_SURFACE, USAGE_DIMENSION_EVENT_TYPE, USAGE_DIMENSION_DAY; group_by[2]: must be one of USAGE_DIMENSION_TEAM, USAGE_DIMENSION_AGENT, USAGE_DIMENSION_MODEL, USAGE_DIMENSION_PROVIDER, USAGE_DIMENSION_SURFACE, USAGE_DIMENSION_EVENT_TYPE, USAGE_DIMENSION_DAY; group_by[3]: must not be given twice; group_by[4]: must be one of USAGE_DIMENSION_TEAM, USAGE_DIMENSION_AGENT, USAGE_DIMENSION_MODEL, USAGE_DIMENSION_PROVIDER, USAGE_DIMENSION_SURFACE, USAGE_DIMENSION_EVENT_TYPE, USAGE_DIMENSION_DAY
      group_by[1]: must be one of USAGE_DIMENSION_TEAM, USAGE_DIMENSION_AGENT, USAGE_DIMENSION_MODEL, USAGE_DIMENSION_PROVIDER, USAGE_DIMENSION_SURFACE, USAGE_DIMENSION_EVENT_TYPE, USAGE_DIMENSION_DAY
      group_by[2]: must be one of USAGE_DIMENSION_TEAM, USAGE_DIMENSION_AGENT, USAGE_DIMENSION_MODEL, USAGE_DIMENSION_PROVIDER, USAGE_DIMENSION_SURFACE, USAGE_DIMENSION_EVENT_TYPE, USAGE_DIMENSION_DAY
      group_by[3]: must not be given twice
      group_by[4]: must be one of USAGE_DIMENSION_TEAM, USAGE_DIMENSION_AGENT, USAGE_DIMENSION_MODEL, USAGE_DIMENSION_PROVIDER, USAGE_DIMENSION_SURFACE, USAGE_DIMENSION_EVENT_TYPE, USAGE_DIMENSION_DAY
    ");
    let group_by = (1..=8).collect();
    insta::assert_snapshot!(refusal(SummarizeUsageRequest { group_by, ..grouped(&[]) }).await, @"
    InvalidArgument: group_by: must be at most 7; there are 8
      group_by: must be at most 7; there are 8
    ");
    insta::assert_snapshot!(refusal(SummarizeUsageRequest { order_by: "day".into(), ..grouped(&[]) }).await, @r#"
    InvalidArgument: order_by: must be one of "group"
      order_by: must be one of "group"
    "#);
}
