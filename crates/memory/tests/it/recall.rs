//! RecallMemories: which memories a query finds, in which order, and which queries are valid.
use std::collections::BTreeMap;

use crate::support::{from, make, recall_in, recalled, start, text, there_and_back, words};
use memory::words::{MAX_QUERY_WORDS, WordQuery};
use platform::testing;
use proptest::{
    collection::vec,
    prelude::*,
    sample::select,
    test_runner::{Config, TestRunner},
};
use quire_proto::{
    memory::v1::RecallMemoriesRequest,
    pagination::v1::{PageRequest, TotalCount, TotalCountPrecision},
};
use sqlx::PgPool;
use tonic::Code;

#[tokio::test]
async fn words_find_memories_that_contain_them_best_first() {
    let (_platform, client) = start().await;
    let contents = [
        "Deploys run on Tuesdays",
        "The deploy was running late; running it again helped",
        "Ada prefers green tea",
        "Tea is green or black, and Ada's is green",
        "black tea",
        "See https://quire.example/tea?kind=black for more",
        "Collect into a Vec<String>",
        "Früher Ärger mit 日本語 und ☕",
    ];
    make(&client, "default", &contents.map(text)).await;
    let [runs, running, ada, green, black, link, code, other] = contents;
    let cases: [(&str, &[&str]); 22] = [
        ("deploy", &[running, runs]),
        // Inflection and case are ignored.
        ("RUN Deploys", &[running, runs]),
        ("run", &[running, runs]),
        ("tea", &[black, green, ada, link]),
        ("the tea", &[black, green, ada, link]),
        ("ada tea", &[green, ada]),
        ("\"green tea\"", &[ada]),
        ("\"tea green\"", &[]),
        ("tea -ada", &[black, link]),
        ("tea -\"green tea\"", &[black, green, link]),
        ("deploy or coffee", &[running, runs]),
        ("coffee or cocoa", &[]),
        ("quire.example", &[link]),
        ("quire.example/tea?kind=black", &[link]),
        // Text that looks like a tag is searched too.
        ("string", &[code]),
        ("früher", &[other]),
        ("日本語", &[other]),
        ("☕", &[other]),
        ("te", &[]),
        // Only stop words, and text without words.
        ("the was", &[running]),
        ("!? ,", &[]),
        ("\"\"", &[]),
    ];
    for (query, expected) in cases {
        let mut found = recalled(&client, &words(query)).await;
        let mut expected = expected.to_vec();
        found.sort();
        expected.sort();
        assert_eq!(found, expected, "{query}");
    }
    // More matches rank higher, and so do matches that are closer together.
    assert_eq!(recalled(&client, &words("run")).await, [running, runs]);
    assert_eq!(recalled(&client, &words("run deploy")).await, [runs, running]);
}

#[tokio::test]
async fn memories_are_ordered_by_rank() {
    let (_platform, client) = start().await;
    let contents = (1..=9).map(|times| text("tea ".repeat(times)));
    make(&client, "default", &contents.collect::<Vec<_>>()).await;
    make(&client, "default", &vec![text("tea and coffee"); 9]).await;
    let fetch = async |page| {
        recall_in(&client, "default", &RecallMemoriesRequest { page: Some(page), ..words("tea") }).await.unwrap()
    };
    let found = there_and_back(4, fetch).await.concat();
    assert_eq!(found.len(), 18);
    let id = |place: usize| found[place].memory.as_ref().unwrap().id.clone();
    for place in 1..18 {
        let (before, this) = (found[place - 1].rank, found[place].rank);
        assert!(before > this || before == this && id(place - 1) > id(place), "{found:?}");
    }
    assert!(found[0].rank > found[17].rank && found[17].rank > 0.0, "{found:?}");
}

#[tokio::test]
async fn workspaces_do_not_see_each_other() {
    let (_platform, client) = start().await;
    for place in 0..20 {
        make(&client, "ours", &[text(format!("tea {place}"))]).await;
        make(&client, "theirs", &[text(format!("tea {place} of theirs")), text("workspace ours tea")]).await;
    }
    // The queries include the words by which the index separates workspaces.
    for (workspace, query, count) in [
        ("ours", "tea", 20),
        ("theirs", "tea", 40),
        ("nobody", "tea", 0),
        ("ours", "workspace", 0),
        ("ours", "tea -workspace", 20),
        ("ours", "\"workspace theirs\" or tea", 20),
        ("nobody", "-tea", 0),
        ("ours", "\"workspace ours\"", 0),
        ("theirs", "\"workspace ours\"", 20),
    ] {
        let total_count = TotalCount::Exact.into();
        let page = Some(PageRequest { page_size: 200, total_count, ..Default::default() });
        let (found, page) =
            recall_in(&client, workspace, &RecallMemoriesRequest { page, ..words(query) }).await.unwrap();
        assert_eq!((found.len(), page.total_count), (count, Some(count as i64)), "{workspace}: {query}");
    }
}

#[tokio::test]
async fn the_best_200_are_recalled_and_no_more() {
    let (_platform, client) = start().await;
    // The best memories were created neither first nor last.
    let memory =
        |place: usize| text(format!("{}{place}", "tea ".repeat(if (50..250).contains(&place) { 2 } else { 1 })));
    make(&client, "default", &(0..500).map(memory).collect::<Vec<_>>()).await;
    let found = recalled(&client, &words("tea")).await;
    assert!(found.len() == 200 && found.iter().all(|content| content.starts_with("tea tea")), "{found:?}");
    for (kind, precision) in [
        (TotalCount::Exact, TotalCountPrecision::Exact),
        (TotalCount::Capped, TotalCountPrecision::Exact),
        (TotalCount::Estimated, TotalCountPrecision::Estimate),
    ] {
        let page = Some(PageRequest { page_size: 1, total_count: kind.into(), ..Default::default() });
        let (_, page) = recall_in(&client, "default", &RecallMemoriesRequest { page, ..words("tea") }).await.unwrap();
        assert_eq!(page.total_count_precision(), precision);
        assert!(
            page.total_count.unwrap() <= 200
                && (precision == TotalCountPrecision::Estimate || page.total_count == Some(200))
        );
    }
    // A skip can reach the last row.
    let skip = async |skip| {
        let page = Some(PageRequest { page_size: 10, skip, ..Default::default() });
        recall_in(&client, "default", &RecallMemoriesRequest { page, ..words("tea") }).await.unwrap().0.len()
    };
    assert_eq!([skip(10).await, skip(195).await, skip(200).await], [10, 5, 0]);
}

/// Memories that contain the words very often are not all ranked, because that could take a minute.
#[tokio::test]
async fn so_many_positions_are_ranked() {
    let (_platform, client) = start().await;
    let query = "a1 b1 c1 d1 e1 f1 g1 h1 i1 j1 k1 l1 m1 n1 o1 p1";
    make(&client, "default", &vec![text(format!("{query} ").repeat(255)); 60]).await;
    let found = recalled(&client, &words(query)).await.len();
    assert!((20..30).contains(&found), "{found} of 60, with 4,080 positions each");
    make(&client, "other", &vec![text(format!("{query} ").repeat(2)); 150]).await;
    let page = Some(PageRequest { page_size: 200, ..Default::default() });
    let (found, _) = recall_in(&client, "other", &RecallMemoriesRequest { page, ..words(query) }).await.unwrap();
    assert_eq!(found.len(), 150);
}

#[tokio::test]
async fn a_page_stays_below_the_limit_of_clients() {
    let (_platform, client) = start().await;
    let large: Vec<_> = (0..20).map(|_| text("tea ".repeat(64 << 10))).collect();
    make(&client, "default", &large).await;
    let fetch = async |page| {
        recall_in(&client, "default", &RecallMemoriesRequest { page: Some(page), ..words("tea") }).await.unwrap()
    };
    let pages = there_and_back(200, fetch).await;
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [13, 7]);
}

#[tokio::test]
async fn words_beyond_those_that_a_query_asks_for_are_counted() {
    let (_platform, client) = start().await;
    let many: Vec<_> = (0..MAX_QUERY_WORDS + 8).map(|number| format!("word{number}")).collect();
    let most = &many[..MAX_QUERY_WORDS];
    make(&client, "default", &[text(most.join(" ")), text("other")]).await;
    for (query, omitted_words) in [
        (most.join(" "), 0),
        (many.join(" "), 8),
        (many.join("/"), 8),
        (format!("{} -\"{}\"", most.join(" "), most.join(" ")), MAX_QUERY_WORDS as i32),
        (format!("the {}", most.join(" of the ")), 0),
        (format!("{} {}", most.join(" "), most.join(" ")), 0),
    ] {
        let response = client.clone().recall_memories(from("default", words(&query))).await.unwrap().into_inner();
        assert_eq!((response.memories.len(), response.omitted_words), (1, omitted_words), "{query}");
    }
}

/// Text with a meaning for the parser of queries, or for the parsers below it.
const PARTS: [&str; 32] = [
    "tea",
    "the",
    " ",
    "  ",
    "\"",
    "\"\"",
    "-",
    "--",
    "or",
    " or ",
    "OR",
    "and",
    "not",
    "!",
    "&",
    "|",
    "(",
    ")",
    "<->",
    "<2>",
    ":*",
    ":A",
    "'",
    "''",
    "\\",
    "%",
    "é",
    "日本",
    "☕",
    "\u{202e}",
    "\t\n",
    "http://a.b/c-d_e@f",
];

/// The rank of each memory by its whole vector.
async fn ranks(pool: &PgPool, query: &str) -> BTreeMap<String, f32> {
    let sql = "select id::text, ts_rank_cd(words, query) from memories, cast($1 as tsquery) as query";
    sqlx::query_as(sql).bind(WordQuery::new(query).text).fetch_all(pool).await.unwrap().into_iter().collect()
}

#[test]
fn any_query_is_answered_with_the_ranks_of_the_whole_texts() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (platform, client) = runtime.block_on(start());
    let all = PARTS.concat();
    let contents = ["tea", "no words of a query", "tea -5 not http://a.b/c-d_e@f and é 日本", "a!b 'tea' \\tea", &all];
    runtime.block_on(make(&client, "default", &contents.map(text)));
    let pool = runtime.block_on(async { testing::pool(&platform) });
    let query = prop_oneof![
        vec(select(&PARTS[..]), 1..40).prop_map(|parts| parts.concat()),
        vec(select(&PARTS[..]), 3_000..4_000).prop_map(|parts| parts.concat()),
        ".{1,60}",
        vec(any::<char>(), 1..100).prop_map(String::from_iter),
    ];
    TestRunner::new(Config { failure_persistence: None, ..Config::default() })
        .run(&query, |query| {
            let found = runtime.block_on(recall_in(&client, "default", &words(&query)));
            let is_right = !query.is_empty() && !query.contains('\0');
            if let Ok((found, _)) = &found {
                let ranks = runtime.block_on(ranks(&pool, &query));
                for found in found {
                    prop_assert_eq!(Some(&found.rank), ranks.get(&found.memory.as_ref().unwrap().id));
                }
            }
            let code = found.map_or_else(|status| status.code(), |_| Code::Ok);
            prop_assert_eq!(code, if is_right { Code::Ok } else { Code::InvalidArgument });
            Ok(())
        })
        .unwrap();
}
