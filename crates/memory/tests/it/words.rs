//! Every word of every content finds it, in databases of any locale.
use std::collections::BTreeSet;

use crate::support::{Client, list_in, make, recall_in, recalled, start, start_on, store, text, words};
use database::{Limits, connect, migrate};
use memory::words::{WordQuery, word_vector};
use platform::testing;
use proptest::{
    collection::vec,
    prelude::*,
    sample::select,
    test_runner::{Config, TestRunner},
};
use quire_proto::memory::v1::{ListMemoriesRequest, RecallMemoriesRequest};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection, PgPool, raw_sql};
use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};

/// The options of `create database`.
const LOCALES: [&str; 4] = [
    "locale 'C'",
    "locale 'C.UTF-8'",
    "locale_provider icu icu_locale 'tr-TR' locale 'C.UTF-8'",
    "locale_provider icu icu_locale 'en-US' locale 'C'",
];

const CONTENTS: [&str; 20] = [
    "“Quotes” and ‘more’ — a dash, an arrow→here, a\u{a0}space, soft\u{ad}hyphen, \u{feff}mark and zero\u{200b}width",
    "ÄRGER mit STRASSE und Fußgänger, ΟΔΥΣΣΕΥΣ, ПРИВЕТ МИР, İSTANBUL'DA ÇIĞLIK ISPARTA ılık",
    "L’œuvre d'Élise n'était qu'un cœur naïf à Cannes",
    "El pingüino comió ñandú; ¿dónde está el niño?",
    "Đường phố Hà Nội rất đông vào buổi sáng",
    "東京都の天気は晴れです。データベース、ﾃﾞｰﾀ、ひらがな",
    "数据库的每一页都以同样的方式排列。部署服务",
    "데이터베이스에서 페이지를 읽습니다",
    "ฐานข้อมูลแสดงรายการทีละหน้า",
    "ຖານຂໍ້ມູນ ទិន្នន័យ ဒေတာဘေ့စ်",
    "قاعدة البيانات می‌خواهم مسد النظام",
    "बस्तियों में डेटाबेस की सूची",
    "מסד נתונים של צוות",
    "Ship it 🚀👍🏽👨‍👩‍👧 ☕️ 🇩🇪 © Quire™ 🄰b x² ½ ﬁne Ｆｕｌｌ",
    "See https://quire.example:8443/tea/green?kind=black&n=5#top or mailto:ada.l@quire.example, www.x.org.",
    "/usr/local/lib/python3.12/site-packages C:\\Users\\Ada\\Desktop ~/.config/quire.toml ../a/b.rs",
    "let mut byId: HashMap<Uuid, Vec<u8>> = foo::bar_baz(&x)?.unwrapOrElse(|e| e.into()); // HTMLParser2 C++ a->b",
    r#"{"name":"Ada","tags":["a-b","c_d"],"nested":{"x":1.5e-3,"ok":true,"url":"http:\/\/x.y"}}"#,
    "Ada's team didn't re-deploy; they've rolled-back v1.2.3-rc.1 (sha256:9f86d081) at 12:30:59Z",
    "the or and not -x --flag \"unbalanced == <> $ € ∑ 'quoted' `code` *bold* _it_ #tag @user",
];

fn is_letter(char: char) -> bool {
    use GeneralCategoryGroup::{Letter, Mark, Number};
    matches!(char.general_category_group(), Letter | Mark | Number)
}

fn is_visible(char: char) -> bool {
    is_letter(char) || char.general_category_group() == GeneralCategoryGroup::Symbol
}

/// The words of a text as somebody would look them up: what spaces separate, and what anything but letters, marks and digits
/// separates; each as it is, in capitals, in small letters and in quotes.
fn queries(content: &str) -> Vec<String> {
    // The selectors of variants are marks, but invisible.
    let is_selector = |char| matches!(char, '\u{34f}' | '\u{180b}'..='\u{180f}' | '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}');
    let is_seen = |word: &&str| !word.chars().all(is_selector);
    // A hyphen before a word would exclude it.
    let runs = content.split_whitespace().map(|run| run.trim_start_matches('-'));
    let runs = runs.filter(|run| run.contains(is_visible));
    let parts = content.split(|char| !is_letter(char)).filter(|part| !part.is_empty());
    let words: BTreeSet<_> = runs.chain(parts).filter(is_seen).collect();
    let cases = |word: &str| {
        let quoted = format!("\"{}\"", word.replace('"', " "));
        [word.to_owned(), word.to_uppercase(), word.to_lowercase(), quoted]
    };
    words.into_iter().flat_map(cases).collect()
}

async fn in_locale(number: usize, locale: &str) -> Client {
    let name = format!("locale_{number}");
    let mut connection: PgConnection = testing::options("postgres").connect().await.unwrap();
    let create = format!("create database {name} template template0 encoding 'UTF8' {locale}");
    raw_sql(AssertSqlSafe(create)).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    let options = testing::options(&name);
    migrate(&options).await.unwrap();
    start_on(&testing::platform_on(connect(options, Limits::default()))).await
}

#[tokio::test]
async fn every_word_finds_its_content_in_every_locale() {
    for (number, locale) in LOCALES.iter().enumerate() {
        let client = in_locale(number, locale).await;
        make(&client, "default", &CONTENTS.map(text)).await;
        for content in CONTENTS {
            for query in queries(content) {
                let found = recalled(&client, &words(&query)).await;
                assert!(found.iter().any(|found| found == content), "{locale}: {query:?} of {content:?}: {found:?}");
            }
        }
    }
}

/// Postgres says for each query whether it matches.
async fn missed(pool: &PgPool, content: &str, queries: &[String]) -> Vec<String> {
    let texts: Vec<_> = queries.iter().map(|query| WordQuery::new(query).text).collect();
    let sql = "select number::int4 - 1 from unnest($2::text[]) with ordinality as given (query, number)
        where not $1::tsvector @@ query::tsquery";
    let vector = word_vector("default", content);
    let missed: Vec<i32> = sqlx::query_scalar(sql).bind(vector).bind(texts).fetch_all(pool).await.unwrap();
    missed.into_iter().map(|place| queries[place as usize].clone()).collect()
}

#[test]
fn every_word_of_any_content_finds_it() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (platform, _client) = runtime.block_on(start());
    let pool = runtime.block_on(async { testing::pool(&platform) });
    let pieces: Vec<String> =
        CONTENTS.iter().flat_map(|content| content.split_inclusive(' ')).map(str::to_owned).collect();
    let content = prop_oneof![
        vec(select(pieces), 1..40).prop_map(|pieces| pieces.concat()),
        "\\PC{1,80}",
        vec(any::<char>(), 1..200).prop_map(String::from_iter),
    ];
    TestRunner::new(Config { failure_persistence: None, ..Config::default() })
        .run(&content, |content| {
            let queries = queries(&content);
            let missed = runtime.block_on(missed(&pool, &content, &queries));
            prop_assert!(missed.is_empty(), "{:?} of {:?}", missed, content);
            Ok(())
        })
        .unwrap();
}

#[tokio::test]
async fn a_composed_word_finds_a_decomposed_one() {
    let (_platform, client) = start().await;
    make(&client, "default", &["cafe\u{301} na\u{ef}ve", "ガラス"].map(text)).await;
    for query in ["café", "NAI\u{308}VE", "カ\u{3099}ラス", "ｶﾞﾗｽ"] {
        assert_eq!(recalled(&client, &words(query)).await.len(), 1, "{query}");
    }
}

#[tokio::test]
async fn any_content_is_stored_and_all_of_it_is_found() {
    let (platform, client) = start().await;
    const BYTES: usize = (256 << 10) - 200;
    let han = |number: usize| char::from_u32(0x4e00 + (number as u32).wrapping_mul(7_919) % 20_000).unwrap();
    let fill = |word: &dyn Fn(usize) -> String| {
        let mut content = String::new();
        for number in 0.. {
            let word = word(number);
            if content.len() + word.len() > BYTES {
                return content;
            }
            content.push_str(&word);
        }
        content
    };
    let contents = [
        fill(&|_| "x".into()),
        fill(&|_| "a ".into()),
        fill(&|number| format!("{number} ")),
        fill(&|number| format!("{number:x}/")),
        fill(&|number| format!("aB{number:x}cD ")),
        fill(&|number| han(number / 7 * 3 + number % 11).to_string()),
        fill(&|_| "\u{fdfa}".into()),
        fill(&|_| "'\\".into()),
        fill(&|_| "\u{301}".into()),
        fill(&|_| "🚀".into()),
    ];
    let end = " zebra https://quire.example/walrus/5?x=the \"green tea\"";
    for content in &contents {
        store(&client, text(format!("{content}{end}"))).await.unwrap();
    }
    for query in ["zebra", "https://quire.example/walrus/5?x=the", "walrus", "\"green tea\""] {
        let request = RecallMemoriesRequest { query: query.into(), ..Default::default() };
        assert_eq!(recalled(&client, &request).await.len(), contents.len(), "{query}");
    }
    // A word as long as a content.
    assert_eq!(recalled(&client, &words(&contents[0])).await.len(), 1);
    // Han characters without any repetition do not all fit. The memory is stored and found by its beginning.
    // Numbers whose order does not repeat (SplitMix64).
    let random = fill(&|number| {
        let mixed = (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        han((mixed ^ (mixed >> 27)) as usize % 20_000).to_string()
    });
    store(&client, text(format!("otter {random}"))).await.unwrap();
    assert_eq!(recalled(&client, &words("otter")).await.len(), 1);
    let pair = |place: usize| random.chars().skip(place).take(2).collect::<String>();
    let count = random.chars().count();
    for (place, found) in [(0, 1), (count / 3, 1), (count / 2, 1), (count - 2, 0)] {
        assert_eq!(recalled(&client, &words(&pair(place))).await.len(), found, "{place} of {count}");
    }
    let sql = "select max(pg_column_size(words || '')) from memories";
    let largest: i32 = sqlx::query_scalar(sql).fetch_one(&testing::pool(&platform)).await.unwrap();
    assert!((500_000..2 << 20).contains(&largest), "{largest}");
    list_in(&client, "default", &ListMemoriesRequest::default()).await.unwrap();
}

#[tokio::test]
async fn operators_and_endless_quotes_are_answered() {
    let (_platform, client) = start().await;
    make(&client, "default", &[text("tea")]).await;
    for part in ["-", "- ", "\"", "\" ", "or ", "-\"", "( ", "!", "& | ", "-tea or ", "\"tea\"", "':*A", "\\"] {
        for times in [1, 33, 5_000] {
            recall_in(&client, "default", &words(&part.repeat(times))).await.unwrap();
        }
    }
}

/// Postgres takes no distance between words of more than 16,384.
#[tokio::test]
async fn words_of_a_query_are_as_far_apart_as_one_likes() {
    let (_platform, client) = start().await;
    for endings in [16_382, 16_384, 20_000] {
        let long = format!("oak{}/elm{endings}", "'s".repeat(endings));
        make(&client, "default", &[text(&long)]).await;
        for query in [&long, &format!("\"{long}\"")] {
            assert_eq!(recalled(&client, &words(query)).await, [long.as_str()]);
        }
        assert!(recalled(&client, &words(&format!("elm{endings} -{long}"))).await.is_empty());
    }
}

#[tokio::test]
async fn a_character_that_stands_for_several_words_is_these_words() {
    let (_platform, client) = start().await;
    let contents = ["5½ cups", "ﷺ", "⒈first", "don\u{2bc}t"];
    make(&client, "default", &contents.map(text)).await;
    let queries = ["5 1/2", "½", "5½", "صلى الله عليه وسلم", "1.first", "first", "don\u{2bc}t"];
    let found = [0, 0, 0, 1, 2, 2, 3];
    for (query, found) in queries.into_iter().zip(found) {
        assert_eq!(recalled(&client, &words(query)).await, Vec::from_iter(contents.get(found).copied()), "{query}");
    }
    for query in ["512", "12", "don"] {
        assert!(recalled(&client, &words(query)).await.is_empty(), "{query}");
    }
}
