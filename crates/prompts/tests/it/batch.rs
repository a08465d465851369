//! BatchCreatePrompts: all or none, in the order of the requests.
use crate::support::{Client, add, at, by, get, list, make, named, paged, start, text, told, with};
use platform::{Platform, testing};
use quire_proto::{
    pagination::v1::{PageRequest, TotalCount},
    prompts::v1::{
        BatchCreatePromptsRequest, CreatePromptRequest, DeletePromptRequest, GetPromptRequest, Prompt, PromptVersion,
        UpdatePromptRequest,
    },
};
use tonic::{Code, Status};

async fn create(client: &Client, requests: Vec<CreatePromptRequest>) -> Result<Vec<Prompt>, Status> {
    let request = BatchCreatePromptsRequest { requests, ..Default::default() };
    Ok(client.clone().batch_create_prompts(request).await?.into_inner().prompts)
}

async fn refusal(client: &Client, requests: Vec<CreatePromptRequest>) -> String {
    told(&create(client, requests).await.unwrap_err())
}

fn with_id(id: &str, name: &str) -> CreatePromptRequest {
    with(Prompt { id: id.into(), name: name.into(), ..Default::default() })
}

/// Names in neither ascending nor descending order.
fn shuffled(count: usize) -> Vec<CreatePromptRequest> {
    (0..count).map(|place| named(format!("{:05}", place * 7_919 % 10_007))).collect()
}

/// How many prompts, and how many versions, there are in all.
async fn counts(platform: &Platform) -> (i64, i64) {
    let sql = "select (select count(*) from prompts), (select count(*) from prompt_versions)";
    sqlx::query_as(sql).fetch_one(&testing::pool(platform)).await.unwrap()
}

#[tokio::test]
async fn a_thousand_are_made_at_once_and_answered_in_the_order_of_the_requests() {
    let (platform, client) = start().await;
    let requests = shuffled(1_000);
    let made = create(&client, requests.clone()).await.unwrap();

    let names = |prompts: &[Prompt]| prompts.iter().map(|prompt| prompt.name.clone()).collect::<Vec<_>>();
    let asked: Vec<_> = requests.into_iter().map(|request| request.prompt.unwrap().name).collect();
    assert_eq!(names(&made), asked);
    assert!(made.iter().all(|prompt| prompt.create_time == made[0].create_time));
    assert!(made.iter().all(|prompt| prompt.update_time == made[0].create_time && prompt.latest_version == 1));
    assert_eq!(counts(&platform).await, (1_000, 1_000));

    let exact = PageRequest { page_size: 1, total_count: TotalCount::Exact.into(), ..Default::default() };
    assert_eq!(list(&client, &paged(&by(""), exact)).await.unwrap().page.total_count, Some(1_000));
    for place in [0, 499, 999] {
        let id = made[place].id.clone();
        let got = client.clone().get_prompt(GetPromptRequest { id }).await.unwrap().into_inner();
        assert_eq!(got.prompt.as_ref(), Some(&made[place]));
    }
}

#[tokio::test]
async fn each_prompt_has_its_own_version() {
    let (platform, client) = start().await;
    let requests = ["one {{a}}", "two {{b}} {{c}}", "three"].map(|content| {
        let version = PromptVersion { content: content.into(), model: content.into(), ..Default::default() };
        CreatePromptRequest { version: Some(version), ..named(content) }
    });
    create(&client, requests.into()).await.unwrap();
    let sql = "
        select name, content, model, array_to_string(variables, ' '), content_hash = sha256(convert_to(name, 'UTF8'))
        from prompts join prompt_versions using (workspace_id) where prompt_id = id order by prompt_id";
    let rows: Vec<(String, String, String, String, bool)> =
        sqlx::query_as(sql).fetch_all(&testing::pool(&platform)).await.unwrap();
    let expected = [("one {{a}}", "a"), ("two {{b}} {{c}}", "b c"), ("three", "")];
    let expected = expected.map(|(text, variables)| (text.into(), text.into(), text.into(), variables.into(), true));
    assert_eq!(rows, expected);
}

#[tokio::test]
async fn a_batch_has_1_to_1000_requests() {
    let (platform, client) = start().await;
    insta::assert_snapshot!(refusal(&client, vec![]).await, @"
    InvalidArgument: requests: must be 1 to 1000; there are 0
      requests: must be 1 to 1000; there are 0
    ");
    insta::assert_snapshot!(refusal(&client, shuffled(1_001)).await, @"
    InvalidArgument: requests: must be 1 to 1000; there are 1001
      requests: must be 1 to 1000; there are 1001
    ");
    assert_eq!(counts(&platform).await, (0, 0));
    make(&client, "default", &shuffled(1)).await;
}

#[tokio::test]
async fn one_wrong_request_and_nothing_is_made() {
    let (platform, client) = start().await;
    let mut requests = shuffled(10);
    requests[3] = with(Prompt { id: "x".into(), tags: vec!["a".into(), "a".into()], ..Default::default() });
    requests[7].version = None;
    insta::assert_snapshot!(refusal(&client, requests).await, @"
    InvalidArgument: requests[3].prompt.name: must have 1 to 256 bytes; it has 0; requests[3].prompt.tags[1]: must not be given twice; requests[3].prompt.id: must be a UUID, as in 01934f6e-8a3b-7c21-9d55-0242ac120002; requests[7].version.content: must have 1 to 1048576 bytes; it has 0
      requests[3].prompt.name: must have 1 to 256 bytes; it has 0
      requests[3].prompt.tags[1]: must not be given twice
      requests[3].prompt.id: must be a UUID, as in 01934f6e-8a3b-7c21-9d55-0242ac120002
      requests[7].version.content: must have 1 to 1048576 bytes; it has 0
    ");
    assert_eq!(counts(&platform).await, (0, 0));
}

#[tokio::test]
async fn one_that_exists_and_nothing_is_made() {
    let (platform, client) = start().await;
    let id = "01934f6e-8a3b-7c21-9d55-0242ac120002";
    let there = create(&client, vec![with_id(id, "taken")]).await.unwrap();
    // What another workspace has is not in the way.
    make(&client, "other", &shuffled(10)).await;

    let mut requests = shuffled(10);
    requests[5] = named("taken");
    insta::assert_snapshot!(refusal(&client, requests.clone()).await, @r#"
    AlreadyExists: prompts.v1.Prompt with requests[5].prompt.name "taken" already exists
      ALREADY_EXISTS of quire {"field": "requests[5].prompt.name"}
      prompts.v1.Prompt "taken"
    "#);
    requests[5] = with_id(id, "free");
    insta::assert_snapshot!(refusal(&client, requests.clone()).await, @r#"
    AlreadyExists: prompts.v1.Prompt with requests[5].prompt.id "01934f6e-8a3b-7c21-9d55-0242ac120002" already exists
      ALREADY_EXISTS of quire {"field": "requests[5].prompt.id"}
      prompts.v1.Prompt "01934f6e-8a3b-7c21-9d55-0242ac120002"
    "#);
    // The first of several is named.
    requests[8] = named("taken");
    insta::assert_snapshot!(refusal(&client, requests).await, @r#"
    AlreadyExists: prompts.v1.Prompt with requests[5].prompt.id "01934f6e-8a3b-7c21-9d55-0242ac120002" already exists
      ALREADY_EXISTS of quire {"field": "requests[5].prompt.id"}
      prompts.v1.Prompt "01934f6e-8a3b-7c21-9d55-0242ac120002"
    "#);

    assert_eq!(counts(&platform).await, (11, 11));
    assert_eq!(list(&client, &at(&by(""), 0, "")).await.unwrap().prompts, there);
}

#[tokio::test]
async fn no_two_of_a_batch_have_the_same_id_or_name() {
    let (platform, client) = start().await;
    let mut requests = shuffled(10);
    requests[2] = with_id("abcdef00-8a3b-7c21-9d55-0242ac120002", "a");
    requests[4] = named("b");
    requests[6] = with_id("ABCDEF00-8A3B-7C21-9D55-0242AC120002", "c");
    requests[9] = named("b");
    insta::assert_snapshot!(refusal(&client, requests).await, @"
    InvalidArgument: requests[6].prompt.id: must not be that of another request of the batch; requests[9].prompt.name: must not be that of another request of the batch
      requests[6].prompt.id: must not be that of another request of the batch
      requests[9].prompt.name: must not be that of another request of the batch
    ");
    assert_eq!(counts(&platform).await, (0, 0));
}

#[tokio::test]
async fn a_call_that_failed_can_be_made_again_without_what_was_wrong() {
    let (platform, client) = start().await;
    let mut requests = shuffled(100);
    requests[50] = named("");
    assert_eq!(create(&client, requests.clone()).await.unwrap_err().code(), Code::InvalidArgument);
    requests[50] = named("right");
    create(&client, requests.clone()).await.unwrap();
    assert_eq!(create(&client, requests).await.unwrap_err().code(), Code::AlreadyExists);
    assert_eq!(counts(&platform).await, (100, 100));
}

#[tokio::test]
async fn batches_that_want_the_same_names_at_once_are_made_whole_or_not_at_all() {
    let (platform, client) = start().await;
    let batch = async |place: usize| {
        let mut requests = shuffled(50);
        requests.rotate_left(place);
        create(&client, requests).await.map(|made| made.len()).map_err(|status| status.code())
    };
    // In other sequences, so that each may hold what another waits for: a deadlock is for the caller to try again.
    let answers = futures_util::future::join_all((0..4).map(|place| batch(place * 12))).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1, "{answers:?}");
    let refused = |answer: &Result<_, Code>| matches!(answer, Err(Code::AlreadyExists | Code::Unavailable));
    assert_eq!(answers.iter().filter(|answer| refused(answer)).count(), 3, "{answers:?}");
    assert_eq!(counts(&platform).await, (50, 50));
}

#[tokio::test]
async fn the_nil_id_is_an_id_as_any_other() {
    let (_platform, client) = start().await;
    let nil = "00000000-0000-0000-0000-000000000000";
    let status = create(&client, vec![with_id(nil, "a"), with_id(nil, "b")]).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
}

#[tokio::test]
async fn however_many_requests_are_wrong_the_answer_says_so() {
    let (_platform, client) = start().await;
    make(&client, "default", &shuffled(200)).await;
    for count in [50, 1_000] {
        let wrong = create(&client, (0..count).map(|place| named(format!("{place}\0"))).collect());
        let request = at(&by(""), 200, "");
        let others = futures_util::future::join_all((0..20).map(|_| list(&client, &request)));
        let (status, others) = tokio::join!(wrong, others);
        let status = status.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
        assert!(others.iter().all(Result::is_ok), "{others:?}");
    }
}

#[tokio::test]
async fn what_a_batch_may_ask_for_its_answer_can_hold() {
    let (_platform, client) = start().await;
    let metadata = || (0..8).map(|key| (key.to_string(), "x".repeat(1_023))).collect();
    let prompt = |place: usize| Prompt { name: place.to_string(), metadata: metadata(), ..Default::default() };
    let refused = create(&client, (0..450).map(|place| with(prompt(place))).collect()).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
    insta::assert_snapshot!(refused.message(), @"requests: the prompts, without their versions, must have at most 3670016 bytes in all");
    let made = create(&client, (0..400).map(|place| with(prompt(place))).collect()).await;
    assert_eq!(made.unwrap().len(), 400);
}

/// Asks for prompts of which those that exist are passed over.
async fn make_missing(client: &Client, requests: &[CreatePromptRequest]) -> Result<Vec<Prompt>, Status> {
    let request = BatchCreatePromptsRequest { requests: requests.to_vec(), pass_over_existing: true };
    Ok(client.clone().batch_create_prompts(request).await?.into_inner().prompts)
}

/// A request in which everything is given but, unless it is not empty, the id.
fn full(id: &str, name: &str) -> CreatePromptRequest {
    CreatePromptRequest {
        prompt: Some(Prompt {
            id: id.into(),
            name: name.into(),
            surface: "chat".into(),
            tags: vec!["b".into(), "a".into()],
            metadata: [("team".into(), "web".into()), ("tier".into(), "1".into())].into(),
            ..Default::default()
        }),
        version: Some(PromptVersion {
            content: "Hello".into(),
            model: "m".into(),
            author: "ada".into(),
            ..Default::default()
        }),
    }
}

const ID: &str = "abcdef00-8a3b-7c21-9d55-0242ac120002";
const OTHER_ID: &str = "abcdef00-8a3b-7c21-9d55-0242ac120003";

#[tokio::test]
async fn what_exists_as_asked_for_is_passed_over() {
    let (platform, client) = start().await;
    // What another workspace has is not what exists.
    make(&client, "other", &[full("", "a"), full(ID, "b")]).await;
    let requests = [full("", "a"), full(ID, "b"), full("", "c"), full(OTHER_ID, "d"), named("e")];
    let first = make_missing(&client, &requests[1..3]).await.unwrap();
    assert_eq!(first.iter().map(|prompt| prompt.name.as_str()).collect::<Vec<_>>(), ["b", "c"]);
    let all = make_missing(&client, &requests).await.unwrap();
    assert_eq!(all.iter().map(|prompt| prompt.name.as_str()).collect::<Vec<_>>(), ["a", "b", "c", "d", "e"]);
    assert_eq!(all[1..3], first);
    assert_eq!((all[1].id.as_str(), all[3].id.as_str()), (ID, OTHER_ID));
    for prompt in &all {
        assert_eq!(get(&client, &prompt.id).await.unwrap(), *prompt);
    }

    // All of it again, in another order, and whether the ids are given or not, is what there is.
    let before = testing::rows(&platform, &["prompts", "prompt_versions"]).await;
    assert_eq!(make_missing(&client, &requests).await.unwrap(), all);
    let given = [4, 2, 0, 3, 1].map(|place| {
        let prompt = Prompt { id: all[place].id.to_uppercase(), ..requests[place].prompt.clone().unwrap() };
        CreatePromptRequest { prompt: Some(prompt), version: requests[place].version.clone() }
    });
    let answered = make_missing(&client, &given).await.unwrap();
    assert_eq!(answered, [4, 2, 0, 3, 1].map(|place: usize| all[place].clone()));
    let left_out = [full("", "d"), full("", "b")];
    assert_eq!(make_missing(&client, &left_out).await.unwrap(), [all[3].clone(), all[1].clone()]);
    assert_eq!(testing::rows(&platform, &["prompts", "prompt_versions"]).await, before);
    // Without the flag they are in the way.
    assert_eq!(create(&client, requests.into()).await.unwrap_err().code(), Code::AlreadyExists);
}

#[tokio::test]
async fn a_prompt_that_has_come_further_is_still_the_one_asked_for() {
    let (platform, client) = start().await;
    let request = full("", "a");
    let id = make_missing(&client, std::slice::from_ref(&request)).await.unwrap().remove(0).id;
    for content in ["Bye", "Hello", "Bye"] {
        add(&client, "default", text(&id, content)).await.unwrap();
    }
    // A change that leaves all as it was but the etag.
    let same = Prompt { id: id.clone(), surface: "chat".into(), ..Default::default() };
    client.clone().update_prompt(UpdatePromptRequest { prompt: Some(same), update_mask: None }).await.unwrap();
    let kept = get(&client, &id).await.unwrap();
    assert_eq!(kept.latest_version, 4);
    let before = testing::rows(&platform, &["prompts", "prompt_versions"]).await;
    assert_eq!(make_missing(&client, &[request]).await.unwrap(), [kept]);
    assert_eq!(testing::rows(&platform, &["prompts", "prompt_versions"]).await, before);
}

#[tokio::test]
async fn what_exists_otherwise_than_asked_for_is_in_the_way() {
    let (platform, client) = start().await;
    make_missing(&client, &[full(ID, "a")]).await.unwrap();
    let id = &make_missing(&client, &[full("", "b")]).await.unwrap()[0].id;
    let before = testing::rows(&platform, &["prompts", "prompt_versions"]).await;
    let prompt = |request: CreatePromptRequest, change: fn(&mut Prompt)| {
        let mut prompt = request.prompt.unwrap();
        change(&mut prompt);
        CreatePromptRequest { prompt: Some(prompt), ..request }
    };
    let version = |request: CreatePromptRequest, change: fn(&mut PromptVersion)| {
        let mut version = request.version.unwrap();
        change(&mut version);
        CreatePromptRequest { version: Some(version), ..request }
    };
    let mut answers = Vec::new();
    for (id, name) in [(ID, "a"), ("", "b")] {
        let full = || full(id, name);
        let different = [
            prompt(full(), |prompt| prompt.surface.clear()),
            prompt(full(), |prompt| prompt.tags.reverse()),
            prompt(full(), |prompt| prompt.tags.truncate(1)),
            prompt(full(), |prompt| prompt.metadata.values_mut().for_each(|value| value.push('x'))),
            prompt(full(), |prompt| drop(prompt.metadata.pop_first())),
            version(full(), |version| version.content.push(' ')),
            version(full(), |version| version.model.clear()),
            version(full(), |version| version.author = "bob".into()),
        ];
        for request in different {
            let requests = [named("new"), named("newer"), request];
            answers.push(told(&make_missing(&client, &requests).await.unwrap_err()));
        }
    }
    // Another id, another name, the id of one with the name of another, and the other way round.
    for request in [full(OTHER_ID, "a"), full(ID, "c"), full(ID, "b"), full(id, "a")] {
        answers.push(told(&make_missing(&client, &[request]).await.unwrap_err()).replace(id, "<id>"));
    }
    answers.dedup();
    insta::assert_snapshot!(answers.join("\n"), @r#"
    AlreadyExists: prompts.v1.Prompt with requests[2].prompt.id "abcdef00-8a3b-7c21-9d55-0242ac120002" already exists
      ALREADY_EXISTS of quire {"field": "requests[2].prompt.id"}
      prompts.v1.Prompt "abcdef00-8a3b-7c21-9d55-0242ac120002"
    AlreadyExists: prompts.v1.Prompt with requests[2].prompt.name "b" already exists
      ALREADY_EXISTS of quire {"field": "requests[2].prompt.name"}
      prompts.v1.Prompt "b"
    AlreadyExists: prompts.v1.Prompt with requests[0].prompt.name "a" already exists
      ALREADY_EXISTS of quire {"field": "requests[0].prompt.name"}
      prompts.v1.Prompt "a"
    AlreadyExists: prompts.v1.Prompt with requests[0].prompt.id "abcdef00-8a3b-7c21-9d55-0242ac120002" already exists
      ALREADY_EXISTS of quire {"field": "requests[0].prompt.id"}
      prompts.v1.Prompt "abcdef00-8a3b-7c21-9d55-0242ac120002"
    AlreadyExists: prompts.v1.Prompt with requests[0].prompt.id "<id>" already exists
      ALREADY_EXISTS of quire {"field": "requests[0].prompt.id"}
      prompts.v1.Prompt "<id>"
    "#);
    assert_eq!(testing::rows(&platform, &["prompts", "prompt_versions"]).await, before);
}

#[tokio::test]
async fn a_call_sent_again_while_it_is_being_done_passes_over_what_that_makes() {
    let (platform, client) = start().await;
    let pool = testing::pool(&platform);
    let call = |mut client: Client| async move {
        let request = BatchCreatePromptsRequest { requests: vec![named("a")], pass_over_existing: true };
        client.batch_create_prompts(request).await.map(|response| response.into_inner().prompts)
    };
    // The first call is held at its end by a trigger that waits for a lock.
    let hold = "create function hold() returns trigger language plpgsql as
            $$ begin perform pg_advisory_xact_lock_shared(1); return new; end $$;
        create trigger hold after insert on prompt_versions for each row execute function hold()";
    sqlx::raw_sql(hold).execute(&pool).await.unwrap();
    let mut lock = pool.begin().await.unwrap();
    sqlx::query("select pg_advisory_xact_lock(1)").execute(&mut *lock).await.unwrap();
    let first = tokio::spawn(call(client.clone()));
    testing::wait_for_waiting(&pool, 1).await;
    let again = tokio::spawn(call(client.clone()));
    testing::wait_for_waiting(&pool, 2).await;
    lock.rollback().await.unwrap();
    let first = first.await.unwrap().unwrap();
    assert_eq!(again.await.unwrap().map_err(|status| told(&status)), Ok(first));
}

/// They take what they have in common in the same order, so that none waits for another that waits for it.
#[tokio::test(flavor = "multi_thread")]
async fn batches_that_overlap_in_other_orders_are_all_done() {
    let (platform, client) = start().await;
    for round in 0..6 {
        let forward: Vec<_> = (0..400).map(|number| named(format!("{round}/{number:03}"))).collect();
        let batches = [forward.clone(), forward.iter().rev().cloned().collect(), forward[200..].to_vec(), forward];
        let answers = batches.map(|requests| {
            let mut client = client.clone();
            let request = BatchCreatePromptsRequest { requests, pass_over_existing: true };
            async move { client.batch_create_prompts(request).await }
        });
        for answer in futures_util::future::join_all(answers).await {
            answer.unwrap();
        }
    }
    assert_eq!(counts(&platform).await, (2_400, 2_400));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_others_make_and_delete_meanwhile_is_no_error_inside() {
    let (_platform, client) = start().await;
    let writer = async |mut client: Client| {
        for _ in 0..60 {
            match create(&client, vec![named("x")]).await {
                Ok(made) => {
                    let request = DeletePromptRequest { id: made[0].id.clone() };
                    client.delete_prompt(request).await.unwrap();
                }
                Err(status) => assert!(matches!(status.code(), Code::AlreadyExists | Code::Aborted), "{status}"),
            }
        }
    };
    futures_util::future::join_all((0..6).map(|_| writer(client.clone()))).await;
}
