//! CreatePromptVersion, GetPromptVersion and ListPromptVersions: numbers without gaps whoever writes, and pages that fit.
use std::collections::BTreeSet;

use crate::support::{Client, add, from, get, make, one, start, start_ticking, text, there_and_back, told, with};
use futures_util::future::join_all;
use pagination::MAX_PAGE_SIZE;
use platform::{Platform, testing};
use prost::Message;
use quire_proto::{
    pagination::v1::{PageRequest, TotalCount},
    prompts::v1::{
        DeletePromptRequest, GetPromptVersionRequest, ListPromptVersionsRequest, ListPromptVersionsResponse, Prompt,
        PromptVersion, UpdatePromptRequest,
    },
};
use tonic::Status;
use uuid::Uuid;

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

/// All versions of a prompt of the workspace `default`, the first one first.
async fn versions(client: &Client, prompt_id: &str) -> Vec<PromptVersion> {
    let mut versions = pages(client, prompt_id, MAX_PAGE_SIZE as i32).await.concat();
    versions.reverse();
    versions
}

fn numbers(versions: &[PromptVersion]) -> Vec<i32> {
    versions.iter().map(|version| version.version).collect()
}

/// Makes the prompts be as the previous release made them.
async fn age(platform: &Platform) {
    let sql = "update prompts set latest_content_hash = null";
    sqlx::query(sql).execute(&testing::pool(platform)).await.unwrap();
}

#[tokio::test]
async fn versions_are_numbered_as_they_come() {
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
async fn the_content_of_the_latest_adds_nothing() {
    let (platform, client) = start().await;
    for aged in [false, true] {
        let id = one(&client, &format!("aged: {aged}")).await.id;
        let by_ada = |content: &str| PromptVersion { author: "ada".into(), ..text(&id, content) };
        let by_bob = |content: &str| PromptVersion { author: "bob".into(), model: "m".into(), ..text(&id, content) };
        // `Hello` is the content of version 1, and again of version 3, behind another.
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
async fn a_prompt_that_changed_otherwise_still_knows_its_latest_content() {
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

/// Has 50 writers add these contents to a prompt at once, and gives the number that each was answered. Whatever the
/// contents are, each is answered its own, and no version follows one of the same content.
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
    assert!(times.is_sorted_by(|earlier, later| earlier < later), "each is made later than the one before");
    // None was added that nobody was told of, but for version 1.
    let mut told: BTreeSet<_> = numbers(&answers).into_iter().collect();
    told.insert(1);
    assert_eq!(told.into_iter().collect::<Vec<_>>(), numbers(&all));
    numbers(&answers)
}

#[tokio::test(flavor = "multi_thread")]
async fn many_writers_at_once_leave_no_gap_and_no_double() {
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
async fn what_is_wrong_is_named_by_its_field() {
    let (platform, client) = start().await;
    let id = one(&client, "x").await.id;
    let before = testing::rows(&platform, &["prompt_versions"]).await;
    let versions = [
        ("nothing at all", PromptVersion::default()),
        ("no UUID", text("x", "x")),
        ("no content", text(&id, "")),
        ("1 MiB and 1 byte", text(&id, "x".repeat((1 << 20) + 1))),
        ("NUL in the content", text(&id, "a\0b")),
        ("129 bytes", PromptVersion { model: "x".repeat(129), author: "x".repeat(129), ..text(&id, "x") }),
        ("NUL elsewhere", PromptVersion { model: "\0".into(), author: "\0".into(), ..text(&id, "x") }),
    ];
    let mut answers = String::new();
    for (what, version) in versions {
        let answer = told(&add(&client, "default", version).await.unwrap_err());
        answers += &format!("{what}\n{answer}\n");
    }
    for (id, version) in [(id.as_str(), 0), (&id, -1), ("", 0)] {
        let answer = told(&get_version(&client, "default", id, version).await.unwrap_err());
        answers += &format!("get version {version} of {}\n{answer}\n", if id.len() > 1 { "x" } else { "none" });
    }
    for request in [of(""), of("x"), ListPromptVersionsRequest { order_by: "version".into(), ..of(&id) }] {
        answers += &format!("list\n{}\n", told(&list(&client, "default", request).await.unwrap_err()));
    }
    insta::assert_snapshot!(answers, @r#"
    nothing at all
    InvalidArgument: version.prompt_id: must be a UUID, as in 01934f6e-8a3b-7c21-9d55-0242ac120002; version.content: must have 1 to 1048576 bytes; it has 0
      version.prompt_id: must be a UUID, as in 01934f6e-8a3b-7c21-9d55-0242ac120002
      version.content: must have 1 to 1048576 bytes; it has 0
    no UUID
    InvalidArgument: version.prompt_id: must be a UUID, as in 01934f6e-8a3b-7c21-9d55-0242ac120002
      version.prompt_id: must be a UUID, as in 01934f6e-8a3b-7c21-9d55-0242ac120002
    no content
    InvalidArgument: version.content: must have 1 to 1048576 bytes; it has 0
      version.content: must have 1 to 1048576 bytes; it has 0
    1 MiB and 1 byte
    InvalidArgument: version.content: must have 1 to 1048576 bytes; it has 1048577
      version.content: must have 1 to 1048576 bytes; it has 1048577
    NUL in the content
    InvalidArgument: version.content: must not contain NUL
      version.content: must not contain NUL
    129 bytes
    InvalidArgument: version.model: must have 0 to 128 bytes; it has 129; version.author: must have 0 to 128 bytes; it has 129
      version.model: must have 0 to 128 bytes; it has 129
      version.author: must have 0 to 128 bytes; it has 129
    NUL elsewhere
    InvalidArgument: version.model: must not contain NUL; version.author: must not contain NUL
      version.model: must not contain NUL
      version.author: must not contain NUL
    get version 0 of x
    InvalidArgument: version: must be at least 1
      version: must be at least 1
    get version -1 of x
    InvalidArgument: version: must be at least 1
      version: must be at least 1
    get version 0 of none
    InvalidArgument: prompt_id: must be a UUID, as in 01934f6e-8a3b-7c21-9d55-0242ac120002; version: must be at least 1
      prompt_id: must be a UUID, as in 01934f6e-8a3b-7c21-9d55-0242ac120002
      version: must be at least 1
    list
    InvalidArgument: prompt_id: must be a UUID, as in 01934f6e-8a3b-7c21-9d55-0242ac120002
      prompt_id: must be a UUID, as in 01934f6e-8a3b-7c21-9d55-0242ac120002
    list
    InvalidArgument: prompt_id: must be a UUID, as in 01934f6e-8a3b-7c21-9d55-0242ac120002
      prompt_id: must be a UUID, as in 01934f6e-8a3b-7c21-9d55-0242ac120002
    list
    InvalidArgument: order_by: must be one of "version desc"
      order_by: must be one of "version desc"
    "#);
    assert_eq!(testing::rows(&platform, &["prompt_versions"]).await, before);
    // Each limit can be reached.
    let asked = PromptVersion { model: "m".repeat(128), author: "é".repeat(64), ..text(&id, "x".repeat(1 << 20)) };
    assert_eq!(add(&client, "default", asked).await.unwrap().version, 2);
}

#[tokio::test]
async fn what_another_workspace_has_is_as_if_it_were_nowhere() {
    let (platform, client) = start().await;
    let id = &Uuid::from_u128(1).to_string();
    let nowhere = async || {
        [
            told(&add(&client, "theirs", text(id, "x")).await.unwrap_err()),
            told(&get_version(&client, "theirs", id, 1).await.unwrap_err()),
            told(&list(&client, "theirs", of(id)).await.unwrap_err()),
        ]
    };
    let missing = nowhere().await;
    insta::assert_snapshot!(missing.join("\n"), @r#"
    NotFound: prompts.v1.Prompt with version.prompt_id "00000000-0000-0000-0000-000000000001" does not exist
      NOT_FOUND of quire {"field": "version.prompt_id"}
      prompts.v1.Prompt "00000000-0000-0000-0000-000000000001"
    NotFound: prompts.v1.PromptVersion with version "00000000-0000-0000-0000-000000000001/1" does not exist
      NOT_FOUND of quire {"field": "version"}
      prompts.v1.PromptVersion "00000000-0000-0000-0000-000000000001/1"
    NotFound: prompts.v1.Prompt with prompt_id "00000000-0000-0000-0000-000000000001" does not exist
      NOT_FOUND of quire {"field": "prompt_id"}
      prompts.v1.Prompt "00000000-0000-0000-0000-000000000001"
    "#);
    let request = with(Prompt { id: id.clone(), name: "x".into(), ..Default::default() });
    make(&client, "ours", std::slice::from_ref(&request)).await;
    add(&client, "ours", text(id, "ours")).await.unwrap();
    let before = testing::rows(&platform, &["prompt_versions"]).await;
    assert_eq!(nowhere().await, missing);
    assert_eq!(testing::rows(&platform, &["prompt_versions"]).await, before);

    // The same id elsewhere is another prompt, with versions of its own.
    make(&client, "theirs", &[request]).await;
    assert_eq!(add(&client, "theirs", text(id, "theirs")).await.unwrap().version, 2);
    for workspace in ["ours", "theirs"] {
        assert_eq!(get_version(&client, workspace, id, 2).await.unwrap().content, workspace);
        let listed = list(&client, workspace, of(id)).await.unwrap().versions;
        assert_eq!(listed.iter().map(|version| version.content.as_str()).collect::<Vec<_>>(), [workspace, "Hello"]);
    }
    // A version that the prompt does not have is as missing as the prompt.
    let status = get_version(&client, "ours", id, 3).await.unwrap_err();
    assert_eq!(told(&status), missing[1].replace("/1\"", "/3\""));
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
        // In the middle of a walk as at its beginning.
        told(&list(&client, "default", ListPromptVersionsRequest { page: page(token), ..of(&id) }).await.unwrap_err()),
    ];
    assert!(answers.iter().all(|answer| answer.starts_with("NotFound: ")), "{answers:?}");
    assert_eq!(answers[2], answers[3]);
}

#[tokio::test]
async fn the_latest_come_first_and_pages_lead_both_ways() {
    let (_platform, client) = start().await;
    let [id, other] = [one(&client, "x").await.id, one(&client, "other").await.id];
    for number in 2..=12 {
        add(&client, "default", text(&id, number.to_string())).await.unwrap();
        add(&client, "default", text(&other, number.to_string())).await.unwrap();
    }
    let all: Vec<i32> = (1..=12).rev().collect();
    for page_size in [1, 3, 5, 12, 200] {
        let pages: Vec<_> = pages(&client, &id, page_size).await.iter().map(|page| numbers(page)).collect();
        assert_eq!(pages, all.chunks(page_size as usize).collect::<Vec<_>>());
    }
    let page = PageRequest { total_count: TotalCount::Exact.into(), page_size: 4, skip: 3, ..Default::default() };
    let request = ListPromptVersionsRequest { page: Some(page), order_by: "version desc".into(), ..of(&id) };
    let skipped = list(&client, "default", request).await.unwrap();
    assert_eq!((numbers(&skipped.versions), skipped.page.unwrap().total_count), (vec![9, 8, 7, 6], Some(12)));
    // A page past the end is of a prompt that exists.
    let page = Some(PageRequest { skip: 12, ..Default::default() });
    let past = list(&client, "default", ListPromptVersionsRequest { page, ..of(&id) }).await.unwrap();
    assert_eq!(past.versions, []);
    // What comes back is what there is, whoever asks for it.
    for version in versions(&client, &id).await {
        assert_eq!(get_version(&client, "default", &id, version.version).await.unwrap(), version);
    }
}

/// 1 MiB of nothing but names in braces, none twice, of which this many come last.
fn all_variables(last: usize) -> String {
    let first = ('a'..='z').chain('A'..='F');
    let names = first.flat_map(|first| (0..4_096).map(move |rest| format!("{{{{{first}{rest:03x}}}}}")));
    let names: Vec<_> = names.collect();
    names[last..].concat() + &names[..last].concat()
}

#[tokio::test]
async fn a_page_of_large_versions_ends_before_a_client_refuses_it() {
    let (_platform, client) = start().await;
    let id = one(&client, "x").await.id;
    // Three of 1 MiB fit; of those that are all variables, which say each name twice, two.
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
