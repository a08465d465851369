//! CreatePrompt: what comes back, what is refused, and how much of each thing a prompt can have.
use std::time::{Duration, UNIX_EPOCH};

use crate::support::{Client, from, list, named, start, start_on, told, with};
use platform::{Clock, Platform, testing};
use quire_proto::prompts::v1::{
    CreatePromptRequest, CreatePromptResponse, GetPromptRequest, GetPromptResponse, ListPromptsRequest, Prompt,
    PromptVersion,
};
use tonic::Status;
use uuid::Uuid;

async fn create(client: &Client, request: CreatePromptRequest) -> Result<CreatePromptResponse, Status> {
    Ok(client.clone().create_prompt(request).await?.into_inner())
}

/// Makes a prompt, reads it again, and gives it once both answers agree.
async fn kept(client: &Client, request: CreatePromptRequest) -> (Prompt, PromptVersion) {
    let CreatePromptResponse { prompt, version } = create(client, request).await.unwrap();
    let prompt = prompt.unwrap();
    let got = client.clone().get_prompt(GetPromptRequest { id: prompt.id.clone() }).await.unwrap();
    assert_eq!(got.into_inner(), GetPromptResponse { prompt: Some(prompt.clone()) });
    (prompt, version.unwrap())
}

async fn refusal(client: &Client, request: CreatePromptRequest) -> String {
    told(&create(client, request).await.unwrap_err())
}

fn with_content(content: impl Into<String>) -> CreatePromptRequest {
    let version = PromptVersion { content: content.into(), ..Default::default() };
    CreatePromptRequest { version: Some(version), ..named("x") }
}

/// How many prompts, and how many versions, there are in all.
async fn counts(platform: &Platform) -> (i64, i64) {
    let sql = "select (select count(*) from prompts), (select count(*) from prompt_versions)";
    sqlx::query_as(sql).fetch_one(&testing::pool(platform)).await.unwrap()
}

#[tokio::test]
async fn a_new_prompt_comes_back_as_it_is_kept() {
    let platform = Platform {
        clock: Clock::new(|| UNIX_EPOCH + Duration::new(1_700_000_000, 123_456_789)),
        ids: testing::counting(),
        ..testing::platform().await
    };
    let client = start_on(&platform).await;
    let (prompt, version) = kept(
        &client,
        CreatePromptRequest {
            prompt: Some(Prompt {
                name: "greeting".into(),
                surface: "chat".into(),
                tags: vec!["z".into(), "a".into()],
                metadata: [("team".into(), "web".into()), ("empty".into(), String::new())].into(),
                latest_version: 7,
                etag: "not read".into(),
                create_time: Some(Default::default()),
                ..Default::default()
            }),
            version: Some(PromptVersion {
                prompt_id: "not read".into(),
                version: 7,
                content: "Hello {{ name }}, {{user.first-name}} and {{name}}".into(),
                model: "m-1".into(),
                author: "ada".into(),
                variables: vec!["not read".into()],
                content_hash: vec![7],
                create_time: Some(Default::default()),
            }),
        },
    )
    .await;

    // To the microsecond, which is what the database keeps: an answer says no more than a later read can.
    let create_time = prompt.create_time.unwrap();
    assert_eq!((create_time.seconds, create_time.nanos), (1_700_000_000, 123_456_000));
    let id = "00000000-0000-0000-0000-000000000001";
    assert_eq!(
        prompt,
        Prompt {
            id: id.into(),
            name: "greeting".into(),
            surface: "chat".into(),
            tags: vec!["z".into(), "a".into()],
            metadata: [("team".into(), "web".into()), ("empty".into(), String::new())].into(),
            latest_version: 1,
            etag: "00000000-0000-0000-0000-000000000002".into(),
            create_time: Some(create_time),
            update_time: Some(create_time),
        }
    );
    let hash = version.content_hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    insta::assert_snapshot!(hash, @"10d908fb6f58c496f160328588578de9f006d60129b39cbf8b6ad8c9b6228ab2");
    assert_eq!(
        version,
        PromptVersion {
            prompt_id: id.into(),
            version: 1,
            content: "Hello {{ name }}, {{user.first-name}} and {{name}}".into(),
            model: "m-1".into(),
            author: "ada".into(),
            variables: vec!["name".into(), "user.first-name".into()],
            content_hash: version.content_hash.clone(),
            create_time: Some(create_time),
        }
    );
}

#[tokio::test]
async fn version_1_is_written_with_the_prompt() {
    let (platform, client) = start().await;
    let content = "{{b}} {{a}} {{b}}".to_owned();
    let version = PromptVersion { content, model: "m".into(), author: "ada".into(), ..Default::default() };
    let (prompt, answered) = kept(&client, CreatePromptRequest { version: Some(version), ..named("x") }).await;
    let sql = "select workspace_id, version, content, model, author, variables, content_hash from prompt_versions
        where prompt_id = $1";
    type Version = (String, i32, String, String, String, Vec<String>, Vec<u8>);
    let id: Uuid = prompt.id.parse().unwrap();
    let row: Version = sqlx::query_as(sql).bind(id).fetch_one(&testing::pool(&platform)).await.unwrap();
    let PromptVersion { content, model, author, variables, content_hash, .. } = answered;
    assert_eq!(row, ("default".to_owned(), 1, content, model, author, variables, content_hash));
}

#[tokio::test]
async fn an_id_may_be_given_and_otherwise_is_made() {
    let (_platform, client) = start().await;
    let given = |id: &str, name: &str| with(Prompt { id: id.into(), name: name.into(), ..Default::default() });
    let (prompt, version) = kept(&client, given("01934f6e-8a3b-4c21-9d55-0242ac120002", "given")).await;
    assert_eq!(prompt.id, "01934f6e-8a3b-4c21-9d55-0242ac120002");
    assert_eq!(version.prompt_id, prompt.id);
    let (prompt, _) = kept(&client, given("ABCDEF00-0000-0000-0000-00000000000A", "upper case")).await;
    assert_eq!(prompt.id, "abcdef00-0000-0000-0000-00000000000a");

    let (first, _) = kept(&client, named("made 1")).await;
    let (second, _) = kept(&client, named("made 2")).await;
    for prompt in [&first, &second] {
        assert_eq!(prompt.id.parse::<Uuid>().unwrap().get_version_num(), 7);
    }
    assert!(first.id < second.id, "ids are in the order in which they were made");
    assert_ne!(first.etag, second.etag);
}

#[tokio::test]
async fn what_exists_is_not_made_again() {
    let (platform, client) = start().await;
    let id = "01934f6e-8a3b-7c21-9d55-0242ac120002";
    let request = with(Prompt { id: id.into(), name: "greeting".into(), ..Default::default() });
    let (kept_prompt, _) = kept(&client, request.clone()).await;

    insta::assert_snapshot!(refusal(&client, request.clone()).await, @r#"
    AlreadyExists: prompts.v1.Prompt with prompt.id "01934f6e-8a3b-7c21-9d55-0242ac120002" already exists
      ALREADY_EXISTS of quire {"field": "prompt.id"}
      prompts.v1.Prompt "01934f6e-8a3b-7c21-9d55-0242ac120002"
    "#);
    let same_id = with(Prompt { id: id.to_uppercase(), name: "other".into(), ..Default::default() });
    insta::assert_snapshot!(refusal(&client, same_id).await, @r#"
    AlreadyExists: prompts.v1.Prompt with prompt.id "01934f6e-8a3b-7c21-9d55-0242ac120002" already exists
      ALREADY_EXISTS of quire {"field": "prompt.id"}
      prompts.v1.Prompt "01934f6e-8a3b-7c21-9d55-0242ac120002"
    "#);
    insta::assert_snapshot!(refusal(&client, named("greeting")).await, @r#"
    AlreadyExists: prompts.v1.Prompt with prompt.name "greeting" already exists
      ALREADY_EXISTS of quire {"field": "prompt.name"}
      prompts.v1.Prompt "greeting"
    "#);

    // Nothing of the refused is there, and what was there is as it was.
    assert_eq!(counts(&platform).await, (1, 1));
    let all = list(&client, &ListPromptsRequest::default()).await.unwrap();
    assert_eq!(all.prompts, [kept_prompt]);

    // Names are compared byte by byte: another case or another way to write é is another name.
    for name in ["Greeting", "greeting ", "caf\u{e9}", "cafe\u{301}"] {
        kept(&client, named(name)).await;
    }
    // Both are unique in a workspace, not beyond it.
    client.clone().create_prompt(from("other", request)).await.unwrap();
}

#[tokio::test]
async fn what_is_wrong_is_named_by_its_field() {
    let (platform, client) = start().await;
    let prompt = || Prompt { name: "x".into(), ..Default::default() };
    let tags = |tags: &[&str]| with(Prompt { tags: tags.iter().map(|&tag| tag.into()).collect(), ..prompt() });
    let metadata =
        |entries: Vec<(String, String)>| with(Prompt { metadata: entries.into_iter().collect(), ..prompt() });
    let entry = |key: &str, value: &str| metadata(vec![(key.into(), value.into())]);
    let model = |model: String, author: String| {
        let version = PromptVersion { content: "x".into(), model, author, ..Default::default() };
        CreatePromptRequest { version: Some(version), ..named("x") }
    };
    let numbered: Vec<String> = (0..33).map(|tag| tag.to_string()).collect();

    let requests = [
        ("no prompt", CreatePromptRequest { prompt: None, ..named("x") }),
        ("no version", CreatePromptRequest { version: None, ..named("x") }),
        ("nothing at all", CreatePromptRequest::default()),
        ("NUL in the name", named("a\0b")),
        ("257 bytes of name", named("é".repeat(128) + "x")),
        ("65 bytes of surface", with(Prompt { surface: "x".repeat(65), ..prompt() })),
        ("NUL in the surface", with(Prompt { surface: "\0".into(), ..prompt() })),
        ("a tag twice", tags(&["a", "b", "a"])),
        ("an empty tag", tags(&["a", ""])),
        ("65 bytes of tag", tags(&[&"x".repeat(65)])),
        ("NUL in a tag", tags(&["a", "\0"])),
        ("33 tags", with(Prompt { tags: numbered, ..prompt() })),
        ("an empty key", entry("", "x")),
        ("65 bytes of key", entry(&"k".repeat(65), "x")),
        ("NUL in a key", entry("a\0", "x")),
        ("1,025 bytes of value", entry("key", &"x".repeat(1_025))),
        ("NUL in a value", entry("key", "a\0b")),
        ("65 entries", metadata((0..65).map(|key| (key.to_string(), String::new())).collect())),
        (
            "8 KiB and 1 byte",
            metadata((0..8_usize).map(|key| (key.to_string(), "x".repeat(1_024 - key.div_ceil(8)))).collect()),
        ),
        ("1 MiB and 1 byte", with_content("x".repeat((1 << 20) + 1))),
        ("NUL in the content", with_content("a\0b")),
        ("129 bytes of model and of author", model("x".repeat(129), "x".repeat(129))),
        ("NUL in the model and the author", model("\0".into(), "\0".into())),
    ];
    let mut answers = String::new();
    for (what, request) in requests {
        let answer = refusal(&client, request).await;
        answers += &format!("{what}\n{answer}\n");
    }
    insta::assert_snapshot!(answers, @r#"
    no prompt
    InvalidArgument: prompt.name: must have 1 to 256 bytes; it has 0
      prompt.name: must have 1 to 256 bytes; it has 0
    no version
    InvalidArgument: version.content: must have 1 to 1048576 bytes; it has 0
      version.content: must have 1 to 1048576 bytes; it has 0
    nothing at all
    InvalidArgument: prompt.name: must have 1 to 256 bytes; it has 0; version.content: must have 1 to 1048576 bytes; it has 0
      prompt.name: must have 1 to 256 bytes; it has 0
      version.content: must have 1 to 1048576 bytes; it has 0
    NUL in the name
    InvalidArgument: prompt.name: must not contain NUL
      prompt.name: must not contain NUL
    257 bytes of name
    InvalidArgument: prompt.name: must have 1 to 256 bytes; it has 257
      prompt.name: must have 1 to 256 bytes; it has 257
    65 bytes of surface
    InvalidArgument: prompt.surface: must have 0 to 64 bytes; it has 65
      prompt.surface: must have 0 to 64 bytes; it has 65
    NUL in the surface
    InvalidArgument: prompt.surface: must not contain NUL
      prompt.surface: must not contain NUL
    a tag twice
    InvalidArgument: prompt.tags[2]: must not be given twice
      prompt.tags[2]: must not be given twice
    an empty tag
    InvalidArgument: prompt.tags[1]: must have 1 to 64 bytes; it has 0
      prompt.tags[1]: must have 1 to 64 bytes; it has 0
    65 bytes of tag
    InvalidArgument: prompt.tags[0]: must have 1 to 64 bytes; it has 65
      prompt.tags[0]: must have 1 to 64 bytes; it has 65
    NUL in a tag
    InvalidArgument: prompt.tags[1]: must not contain NUL
      prompt.tags[1]: must not contain NUL
    33 tags
    InvalidArgument: prompt.tags: must be at most 32; there are 33
      prompt.tags: must be at most 32; there are 33
    an empty key
    InvalidArgument: prompt.metadata: a key must have 1 to 64 bytes; one has 0
      prompt.metadata: a key must have 1 to 64 bytes; one has 0
    65 bytes of key
    InvalidArgument: prompt.metadata: a key must have 1 to 64 bytes; one has 65
      prompt.metadata: a key must have 1 to 64 bytes; one has 65
    NUL in a key
    InvalidArgument: prompt.metadata: must not contain NUL
      prompt.metadata: must not contain NUL
    1,025 bytes of value
    InvalidArgument: prompt.metadata: a value must have at most 1024 bytes; one has 1025
      prompt.metadata: a value must have at most 1024 bytes; one has 1025
    NUL in a value
    InvalidArgument: prompt.metadata: must not contain NUL
      prompt.metadata: must not contain NUL
    65 entries
    InvalidArgument: prompt.metadata: must have at most 64 entries; it has 65
      prompt.metadata: must have at most 64 entries; it has 65
    8 KiB and 1 byte
    InvalidArgument: prompt.metadata: must have at most 8192 bytes in all; it has 8193
      prompt.metadata: must have at most 8192 bytes in all; it has 8193
    1 MiB and 1 byte
    InvalidArgument: version.content: must have 1 to 1048576 bytes; it has 1048577
      version.content: must have 1 to 1048576 bytes; it has 1048577
    NUL in the content
    InvalidArgument: version.content: must not contain NUL
      version.content: must not contain NUL
    129 bytes of model and of author
    InvalidArgument: version.model: must have 0 to 128 bytes; it has 129; version.author: must have 0 to 128 bytes; it has 129
      version.model: must have 0 to 128 bytes; it has 129
      version.author: must have 0 to 128 bytes; it has 129
    NUL in the model and the author
    InvalidArgument: version.model: must not contain NUL; version.author: must not contain NUL
      version.model: must not contain NUL
      version.author: must not contain NUL
    "#);

    assert_eq!(counts(&platform).await, (0, 0));
    // The channel that brought the refusals still works.
    kept(&client, named("x")).await;
}

#[tokio::test]
async fn an_id_is_a_uuid_with_hyphens_and_nothing_else() {
    let (platform, client) = start().await;
    let ids = [
        "x",
        " 01934f6e-8a3b-7c21-9d55-0242ac120002",
        "01934f6e-8a3b-7c21-9d55-0242ac120002\n",
        "01934f6e8a3b7c219d550242ac120002",
        "{01934f6e-8a3b-7c21-9d55-0242ac120002}",
        "urn:uuid:01934f6e-8a3b-7c21-9d55-0242ac120002",
        "01934f6e-8a3b-7c21-9d55-0242ac12000",
        "01934f6e-8a3b-7c21-9d55-0242ac120002\0",
        "g1934f6e-8a3b-7c21-9d55-0242ac120002",
        "01934f6e-8a3b-7c21-9d550242ac120002-",
    ];
    let mut answers = Vec::new();
    for id in ids {
        let request = with(Prompt { id: id.into(), name: "x".into(), ..Default::default() });
        answers.push(refusal(&client, request).await);
    }
    answers.dedup();
    insta::assert_snapshot!(answers.join("\n"), @"
    InvalidArgument: prompt.id: must be a UUID, as in 01934f6e-8a3b-7c21-9d55-0242ac120002
      prompt.id: must be a UUID, as in 01934f6e-8a3b-7c21-9d55-0242ac120002
    ");
    assert_eq!(counts(&platform).await, (0, 0));
}

#[tokio::test]
async fn each_limit_can_be_reached() {
    let (_platform, client) = start().await;
    let content = "é".repeat(1 << 19);
    let request = CreatePromptRequest {
        prompt: Some(Prompt {
            name: "😀".repeat(64),
            surface: "é".repeat(32),
            tags: (0..32).rev().map(|tag| format!("{tag:064}")).collect(),
            // 64 entries, one of them with the longest key and value, and 8 KiB in all.
            metadata: (0..62)
                .map(|key| (format!("{key:02}"), "v".repeat(111)))
                .chain([("k".repeat(64), "v".repeat(1_024)), ("rest".into(), "v".repeat(94))])
                .collect(),
            ..Default::default()
        }),
        version: Some(PromptVersion {
            content: content.clone(),
            model: "m".repeat(128),
            author: "é".repeat(64),
            ..Default::default()
        }),
    };
    let given = request.prompt.clone().unwrap();
    assert_eq!((given.name.len(), content.len()), (256, 1 << 20));
    assert_eq!(given.metadata.len(), 64);
    assert_eq!(given.metadata.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>(), 8 << 10);

    let (prompt, version) = kept(&client, request).await;
    assert_eq!((prompt.name, prompt.surface, prompt.tags), (given.name, given.surface, given.tags));
    assert_eq!(prompt.metadata, given.metadata);
    assert!(version.content == content, "1 MiB of content comes back as it was sent");
}

#[tokio::test]
async fn any_text_without_nul_is_kept() {
    let (_platform, client) = start().await;
    let texts = [
        "e\u{301} is not é",
        "日本語 😀 \u{10ffff} \u{feff}",
        "\u{1}\u{7f}\u{85}\u{2028}\u{ffff}",
        r#"{"a","b"}, \ \\ \u0000 " ' `$1` %_ NULL"#,
        " \t\r\n ",
        "null",
    ];
    for text in texts {
        let prompt = Prompt {
            name: text.into(),
            surface: text.into(),
            tags: vec![text.into(), "b".into()],
            metadata: [(text.to_owned(), text.to_owned())].into(),
            ..Default::default()
        };
        let (kept, _) = kept(&client, with(prompt.clone())).await;
        assert_eq!((kept.name, kept.surface), (prompt.name, prompt.surface));
        assert_eq!((kept.tags, kept.metadata), (prompt.tags, prompt.metadata));
    }
}

#[tokio::test]
async fn a_message_that_is_too_large_leaves_the_channel_working() {
    let (platform, client) = start().await;
    let status = create(&client, with_content("x".repeat(16 << 20))).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::OutOfRange);
    assert_eq!(counts(&platform).await, (0, 0));
    kept(&client, named("x")).await;
}

#[tokio::test]
async fn however_much_is_wrong_the_answer_says_so() {
    let (_platform, client) = start().await;
    let long_key = [("k".repeat(10_000), String::new())].into();
    for prompt in [
        Prompt { tags: vec![String::new(); 200], name: "x".into(), ..Default::default() },
        Prompt { metadata: long_key, name: "x".into(), ..Default::default() },
        Prompt { metadata: (0..300).map(|key| (format!("\0{key}"), "\0".into())).collect(), ..Default::default() },
    ] {
        let status = create(&client, with(prompt)).await.unwrap_err();
        assert_eq!(status.code(), tonic::Code::InvalidArgument, "{status:?}");
    }
}
