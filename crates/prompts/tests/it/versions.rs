//! CreatePromptVersion, GetPromptVersion and ListPromptVersions: numbers without gaps despite concurrent writers, and
//! the size of pages.
use std::collections::BTreeSet;

use crate::support::{Client, add, from, get, one, start, start_ticking, text, there_and_back, told};
use futures_util::future::join_all;
use pagination::PageRules;
use platform::{Platform, testing};
use prost::Message;
use quire_proto::{
    pagination::v1::PageRequest,
    prompts::v1::{
        DeletePromptRequest, GetPromptVersionRequest, ListPromptVersionsRequest, ListPromptVersionsResponse, Prompt,
        PromptVersion, UpdatePromptRequest,
    },
};
use tonic::Status;

async fn get_version(client: &Client, workspace: &str, id: &str, version: i32) -> Result<PromptVersion, Status> {
    let request = GetPromptVersionRequest { prompt_id: id.into(), version };
    let response = client.clone().get_prompt_version(from(workspace, request)).await?;
    Ok(response.into_inner().version.unwrap())
}

fn of(prompt_id: &str) -> ListPromptVersionsRequest {
    ListPromptVersionsRequest { prompt_id: prompt_id.into(), ..Default::default() }
}

async fn list(
    client: &Client,
    workspace: &str,
    request: ListPromptVersionsRequest,
) -> Result<ListPromptVersionsResponse, Status> {
    Ok(client.clone().list_prompt_versions(from(workspace, request)).await?.into_inner())
}

/// All versions of a prompt of the workspace `default`, latest first, in pages of this size.
async fn pages(client: &Client, prompt_id: &str, page_size: i32) -> Vec<Vec<PromptVersion>> {
    let fetch = async |page| {
        let response = list(client, "default", ListPromptVersionsRequest { page: Some(page), ..of(prompt_id) }).await;
        let response = response.unwrap();
        assert!(response.encoded_len() < 4 << 20, "a page of {} bytes", response.encoded_len());
        (response.versions, response.page.unwrap())
    };
    there_and_back(page_size, fetch).await
}

/// All versions of a prompt of the workspace `default`, oldest first.
async fn versions(client: &Client, prompt_id: &str) -> Vec<PromptVersion> {
    let mut versions = pages(client, prompt_id, PageRules::DEFAULT.max_size as i32).await.concat();
    versions.reverse();
    versions
}

fn numbers(versions: &[PromptVersion]) -> Vec<i32> {
    versions.iter().map(|version| version.version).collect()
}

/// Changes the prompts to the form in which the previous release stored them.
async fn age(platform: &Platform) {
    let sql = "update prompts set latest_content_hash = null";
    sqlx::query(sql).execute(&testing::pool(platform)).await.unwrap();
}

#[tokio::test]
async fn variables_are_names_in_double_braces() {
    let (_platform, client) = start().await;
    let prompt = one(&client, "x").await;
    for (content, variables) in [
        (
            "{{a}} {{ b }} {{a}} {c} {{1}} {{}} {{x y}} {{{d}}} {{user.name-2}} {{open",
            &["a", "b", "d", "user.name-2"][..],
        ),
        ("{{{{a}}", &["a"]),
        ("{{ é }}", &[]),
    ] {
        let added = add(&client, "default", text(&prompt.id, content)).await.unwrap();
        assert_eq!(added.variables, variables, "{content}");
    }
}

#[tokio::test]
async fn versions_are_numbered_in_order() {
    let (_platform, client) = start_ticking().await;
    let mut prompt = one(&client, "x").await;
    for number in 2..=6 {
        let asked = PromptVersion {
            model: format!("m-{number}"),
            author: "ada".into(),
            version: 40,
            variables: vec!["not read".into()],
            content_hash: vec![7],
            create_time: Some(Default::default()),
            ..text(&prompt.id, format!("{{{{b}}}} {{{{a{number}}}}} {{{{b}}}}"))
        };
        let added = add(&client, "default", asked.clone()).await.unwrap();
        let after = get(&client, &prompt.id).await.unwrap();
        let expected = PromptVersion {
            version: number,
            variables: vec!["b".into(), format!("a{number}")],
            content_hash: added.content_hash.clone(),
            create_time: after.update_time,
            ..asked
        };
        assert_eq!(added, expected);
        assert_eq!(get_version(&client, "default", &prompt.id, number).await.unwrap(), added);
        assert_ne!(after.etag, prompt.etag);
        assert!(after.update_time.unwrap().seconds > prompt.update_time.unwrap().seconds);
        let (etag, update_time) = (after.etag.clone(), after.update_time);
        assert_eq!(after, Prompt { latest_version: number, etag, update_time, ..prompt });
        prompt = after;
    }
    let version = get_version(&client, "default", &prompt.id, 6).await.unwrap();
    let hash = version.content_hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    insta::assert_snapshot!(hash, @"0641d2b662984ad81f67b0e30cfaf255f447a952fb67b84648dfe6a84ce184d1");
    assert_eq!(numbers(&versions(&client, &prompt.id).await), [1, 2, 3, 4, 5, 6]);
}

#[tokio::test]
async fn the_content_of_the_latest_version_is_not_added_again() {
    let (platform, client) = start().await;
    for aged in [false, true] {
        let id = one(&client, &format!("aged: {aged}")).await.id;
        let by_ada = |content: &str| PromptVersion { author: "ada".into(), ..text(&id, content) };
        let by_bob = |content: &str| PromptVersion { author: "bob".into(), model: "m".into(), ..text(&id, content) };
        // `Hello` is the content of version 1 and of version 3, with another version between them.
        for (version, content) in [(1, "Hello"), (2, "Bye"), (3, "Hello")] {
            if aged {
                age(&platform).await;
            }
            let added = add(&client, "default", by_ada(content)).await.unwrap();
            assert_eq!((added.version, added.content.as_str()), (version, content));
            if aged {
                age(&platform).await;
            }
            let (prompt, versions) =
                (get(&client, &id).await.unwrap(), testing::rows(&platform, &["prompt_versions"]).await);
            assert_eq!(prompt.latest_version, version);
            for asked in [by_ada(content), by_bob(content), text(&id, content)] {
                assert_eq!(add(&client, "default", asked).await.unwrap(), added);
            }
            assert_eq!(get(&client, &id).await.unwrap(), prompt);
            assert_eq!(testing::rows(&platform, &["prompt_versions"]).await, versions);
        }
        let all = versions(&client, &id).await;
        let all: Vec<_> = all.iter().map(|version| (version.content.as_str(), version.author.as_str())).collect();
        assert_eq!(all, [("Hello", ""), ("Bye", "ada"), ("Hello", "ada")]);
    }
}

#[tokio::test]
async fn an_update_of_the_prompt_keeps_the_latest_content() {
    let (platform, client) = start().await;
    for aged in [false, true] {
        let prompt = one(&client, &format!("aged: {aged}")).await;
        if aged {
            age(&platform).await;
        }
        let request = UpdatePromptRequest {
            prompt: Some(Prompt { id: prompt.id.clone(), surface: "chat".into(), ..Default::default() }),
            update_mask: None,
        };
        client.clone().update_prompt(request).await.unwrap();
        assert_eq!(add(&client, "default", text(&prompt.id, "Hello")).await.unwrap().version, 1);
        assert_eq!(add(&client, "default", text(&prompt.id, "Bye")).await.unwrap().version, 2);
    }
}

/// Adds these contents to a prompt with 50 concurrent writers, and returns the number in each answer. Asserts that each
/// answer has the content of its request, and that no two consecutive versions have the same content.
async fn write_at_once(client: &Client, id: &str, content: impl Fn(usize) -> String) -> Vec<i32> {
    let answers = join_all((0..50).map(|place| add(client, "default", text(id, content(place))))).await;
    let answers: Vec<_> = answers.into_iter().map(Result::unwrap).collect();
    let all = versions(client, id).await;
    for (place, answer) in answers.iter().enumerate() {
        assert_eq!(answer.content, content(place));
        assert_eq!(Some(answer), all.get(answer.version as usize - 1));
    }
    assert_eq!(numbers(&all), (1..=all.len() as i32).collect::<Vec<_>>());
    assert_eq!(get(client, id).await.unwrap().latest_version as usize, all.len());
    assert!(all.windows(2).all(|two| two[0].content_hash != two[1].content_hash));
    let times = all.iter().map(|version| version.create_time.map(|time| (time.seconds, time.nanos)));
    assert!(times.is_sorted_by(|earlier, later| earlier < later), "each version is created later than the one before");
    // Every version except version 1 was returned by a call.
    let mut told: BTreeSet<_> = numbers(&answers).into_iter().collect();
    told.insert(1);
    assert_eq!(told.into_iter().collect::<Vec<_>>(), numbers(&all));
    numbers(&answers)
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_writers_leave_no_gap_and_no_duplicate() {
    let (platform, client) = start().await;
    for round in 0..6 {
        let mut ids = Vec::new();
        for what in ["distinct", "same", "as version 1", "mixed"] {
            ids.push(one(&client, &format!("{what} {round}")).await.id);
        }
        if round % 2 == 1 {
            age(&platform).await;
        }
        let mut distinct = write_at_once(&client, &ids[0], |place| place.to_string()).await;
        distinct.sort_unstable();
        assert_eq!(distinct, (2..=51).collect::<Vec<_>>());
        assert_eq!(write_at_once(&client, &ids[1], |_| "same".into()).await, [2; 50]);
        assert_eq!(write_at_once(&client, &ids[2], |_| "Hello".into()).await, [1; 50]);
        write_at_once(&client, &ids[3], |place| ["Hello", "a", "b"][place % 3].into()).await;
    }
}

#[tokio::test]
async fn the_versions_of_a_prompt_that_is_deleted_are_gone() {
    let (_platform, client) = start().await;
    let id = one(&client, "x").await.id;
    add(&client, "default", text(&id, "x")).await.unwrap();
    let page = |page_token: String| Some(PageRequest { page_size: 1, page_token, ..Default::default() });
    let first = list(&client, "default", ListPromptVersionsRequest { page: page(String::new()), ..of(&id) }).await;
    let token = first.unwrap().page.unwrap().next_page_token;
    client.clone().delete_prompt(DeletePromptRequest { id: id.clone() }).await.unwrap();
    let answers = [
        told(&add(&client, "default", text(&id, "x")).await.unwrap_err()),
        told(&get_version(&client, "default", &id, 1).await.unwrap_err()),
        told(&list(&client, "default", of(&id)).await.unwrap_err()),
        // In the middle of a walk, and at its beginning.
        told(&list(&client, "default", ListPromptVersionsRequest { page: page(token), ..of(&id) }).await.unwrap_err()),
    ];
    assert!(answers.iter().all(|answer| answer.starts_with("NotFound: ")), "{answers:?}");
    assert_eq!(answers[2], answers[3]);
}

/// 1 MiB of distinct names in braces. The first `last` of them are moved to the end, so that the texts differ.
fn all_variables(last: usize) -> String {
    let first = ('a'..='z').chain('A'..='F');
    let names = first.flat_map(|first| (0..4_096).map(move |rest| format!("{{{{{first}{rest:03x}}}}}")));
    let names: Vec<_> = names.collect();
    names[last..].concat() + &names[..last].concat()
}

#[tokio::test]
async fn a_page_of_large_versions_stays_below_the_limit_of_clients() {
    let (_platform, client) = start().await;
    let id = one(&client, "x").await.id;
    // Three versions of 1 MiB fit, but only two that consist of variables, because these contain each name twice.
    let large = |place: usize| format!("{place:x}").repeat(1 << 20);
    for content in (0..8).map(large).chain((0..5).map(all_variables)) {
        add(&client, "default", text(&id, content)).await.unwrap();
    }
    let lengths = |pages: &[Vec<PromptVersion>]| pages.iter().map(Vec::len).collect::<Vec<_>>();
    let pages = pages(&client, &id, 200).await;
    assert_eq!(lengths(&pages), [2, 2, 2, 3, 3, 2]);
    assert_eq!(numbers(&pages.concat()), (1..=14).rev().collect::<Vec<_>>());
    assert!(pages.concat().iter().all(|version| version.version == 1 || version.content.len() == 1 << 20));
}
