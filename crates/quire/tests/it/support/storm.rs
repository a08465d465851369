//! Walkers and writers that continue despite failures, and assert the server's guarantees.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use quire_proto::{
    pagination::v1::PageRequest,
    prompts::v1::{
        BatchCreatePromptsRequest, CreatePromptRequest, CreatePromptVersionRequest, GetPromptRequest,
        ListPromptVersionsRequest, ListPromptsRequest, Prompt, PromptVersion,
    },
};
use tokio::task::JoinSet;
use tonic::{Code, Status, transport::Channel};

use super::{Client, eventually, within};

const WALKERS: usize = 32;
const WRITERS: usize = 8;
/// The number of prompts that exist from the beginning. Each writer adds versions to one of the first of them.
const SEEDS: usize = 120;
/// How long a call may take. A call that takes longer hangs.
const DEADLINE: Duration = Duration::from_secs(10);

/// 32 walkers and 8 writers at work on one server.
pub struct Storm {
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
}

struct Shared {
    client: Client,
    /// Which errors are retried.
    is_passing: fn(&Status) -> bool,
    is_over: AtomicBool,
    /// The ids of the prompts that were acknowledged.
    acknowledged: Mutex<BTreeSet<String>>,
    /// How many pages or rows each walker and writer has processed.
    progress: Vec<AtomicUsize>,
    /// How many pages were fetched with a token with which an earlier call had failed.
    resumed: AtomicUsize,
    refused: AtomicUsize,
}

/// The error of calls while the database is unavailable.
pub fn is_unavailable(status: &Status) -> bool {
    status.code() == Code::Unavailable
}

/// The error of calls while the database is unavailable, or the client's error for a broken connection.
pub fn is_unavailable_or_broken(status: &Status) -> bool {
    is_unavailable(status) || std::error::Error::source(status).is_some()
}

impl Storm {
    pub async fn begin(channel: &Channel, is_passing: fn(&Status) -> bool) -> Self {
        let shared = Arc::new(Shared {
            client: Client::new(channel.clone()),
            is_passing,
            is_over: AtomicBool::new(false),
            acknowledged: Mutex::new((0..SEEDS).map(|seed| id(0, seed)).collect()),
            progress: (0..WALKERS + WRITERS).map(|_| AtomicUsize::new(0)).collect(),
            resumed: AtomicUsize::new(0),
            refused: AtomicUsize::new(0),
        });
        let requests = (0..SEEDS).map(|seed| new_prompt(id(0, seed))).collect();
        let request = BatchCreatePromptsRequest { requests, ..Default::default() };
        shared.client.clone().batch_create_prompts(request).await.unwrap();
        let mut tasks = JoinSet::new();
        for place in 0..WALKERS {
            tasks.spawn(walker(shared.clone(), place));
        }
        for place in 0..WRITERS {
            tasks.spawn(writer(shared.clone(), place));
        }
        let mut storm = Self { shared, tasks };
        storm.goes_on().await;
        storm
    }

    /// Waits until each walker and each writer has made progress.
    pub async fn goes_on(&mut self) {
        let progress =
            || -> Vec<usize> { self.shared.progress.iter().map(|had| had.load(Ordering::Relaxed)).collect() };
        let before = progress();
        eventually("everybody got on", async || {
            if let Some(ended) = self.tasks.try_join_next() {
                ended.unwrap();
            }
            before.iter().zip(progress()).all(|(before, now)| now >= before + 3).then_some(())
        })
        .await;
    }

    /// Whether any call was refused so far.
    pub fn refused(&self) -> usize {
        self.shared.refused.load(Ordering::Relaxed)
    }

    /// How many pages were fetched with a token with which an earlier call had failed.
    pub fn resumed(&self) -> usize {
        self.shared.resumed.load(Ordering::Relaxed)
    }

    /// Stops the writers, lets each walk end, and asserts that every acknowledged prompt exists once.
    pub async fn end(self) {
        let Self { shared, tasks } = self;
        shared.is_over.store(true, Ordering::Relaxed);
        within("everybody was done", tasks.join_all()).await;
        assert!(shared.resumed.load(Ordering::Relaxed) > 0, "no walk was interrupted and went on");
        let mut there = Vec::new();
        shared.walk("name", 200, |ids| there.extend(ids)).await;
        let acknowledged: Vec<String> = shared.acknowledged().into_iter().collect();
        there.sort();
        assert_eq!(there, acknowledged);
        join_all((0..WRITERS).map(|place| shared.check_versions(place))).await;
    }
}

/// An id that contains the number of the prompt's writer. Seeds have the number 0.
fn id(maker: usize, number: usize) -> String {
    format!("{maker:08x}-0000-7000-8000-{number:012x}")
}

fn new_prompt(id: String) -> CreatePromptRequest {
    // The order by name differs from the order by time.
    let name = id.chars().rev().collect();
    let version = PromptVersion { content: "first".to_owned(), ..Default::default() };
    CreatePromptRequest { prompt: Some(Prompt { id, name, ..Default::default() }), version: Some(version) }
}

async fn writer(shared: Arc<Shared>, place: usize) {
    for round in 0.. {
        if shared.is_over.load(Ordering::Relaxed) {
            return;
        }
        let id = id(1 + place, round);
        shared.make(&id).await;
        shared.acknowledged.lock().unwrap().insert(id);
        shared.add_version(place, round).await;
        shared.progress[WALKERS + place].fetch_add(1, Ordering::Relaxed);
        // Writers pause, so that walks end.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn walker(shared: Arc<Shared>, place: usize) {
    let orders = ["create_time desc", "create_time", "name"];
    for (order_by, page_size) in orders.into_iter().cycle().skip(place).zip([7, 13, 5, 29].into_iter().cycle()) {
        if shared.is_over.load(Ordering::Relaxed) {
            return;
        }
        let throughout = shared.acknowledged();
        let mut seen = BTreeSet::new();
        let see = |ids: Vec<String>| {
            shared.progress[place].fetch_add(1, Ordering::Relaxed);
            for id in ids {
                assert!(!seen.contains(&id), "{id} was doubled by {order_by}");
                seen.insert(id);
            }
        };
        shared.walk(order_by, page_size, see).await;
        let skipped: Vec<_> = throughout.difference(&seen).collect();
        assert!(skipped.is_empty(), "{skipped:?} were skipped by {order_by}");
    }
}

impl Shared {
    fn acknowledged(&self) -> BTreeSet<String> {
        self.acknowledged.lock().unwrap().clone()
    }

    /// Retries a call while its error is retryable. Also returns the number of attempts.
    async fn call<T, F>(&self, attempt: impl Fn(Client) -> F) -> (Result<T, Status>, usize)
    where
        F: Future<Output = Result<T, Status>>,
    {
        for calls in 1.. {
            let answer = tokio::time::timeout(DEADLINE, attempt(self.client.clone())).await;
            match answer.unwrap_or_else(|_| panic!("a call hangs")) {
                Err(status) if (self.is_passing)(&status) => {
                    self.refused.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                answer => return (answer, calls),
            }
        }
        unreachable!()
    }

    /// Walks the list from the beginning to the end. A page that failed is fetched again with the same token.
    async fn walk(&self, order_by: &str, page_size: i32, mut see: impl FnMut(Vec<String>)) {
        let mut page_token = String::new();
        loop {
            let page = PageRequest { page_size, page_token: page_token.clone(), ..Default::default() };
            let request = ListPromptsRequest { page: Some(page), order_by: order_by.to_owned(), ..Default::default() };
            let (answer, calls) = self
                .call(|mut client| {
                    let request = request.clone();
                    async move { client.list_prompts(request).await }
                })
                .await;
            let answer = answer.unwrap().into_inner();
            if calls > 1 && !page_token.is_empty() {
                self.resumed.fetch_add(1, Ordering::Relaxed);
            }
            see(answer.prompts.into_iter().map(|prompt| prompt.id).collect());
            page_token = answer.page.unwrap().next_page_token;
            if page_token.is_empty() {
                return;
            }
        }
    }

    /// Creates a prompt, and retries until it is acknowledged. If it exists already, a call that reported an error had
    /// created it.
    async fn make(&self, id: &str) {
        let request = new_prompt(id.to_owned());
        let (answer, calls) = self
            .call(|mut client| {
                let request = request.clone();
                async move { client.create_prompt(request).await }
            })
            .await;
        match answer {
            Err(status) if status.code() == Code::AlreadyExists && calls > 1 => {}
            answer => assert_eq!(answer.unwrap().into_inner().prompt.unwrap().id, id),
        }
    }

    /// Adds a version to a prompt to which only this writer adds versions.
    async fn add_version(&self, place: usize, round: usize) {
        let version = PromptVersion { prompt_id: id(0, place), content: content(round), ..Default::default() };
        let request = CreatePromptVersionRequest { version: Some(version) };
        let (answer, _) = self
            .call(|mut client| {
                let request = request.clone();
                async move { client.create_prompt_version(request).await }
            })
            .await;
        // Version 1 was created with the prompt. If a call that reported an error had added the version, the retry
        // returns it and does not add it again.
        assert_eq!(answer.unwrap().into_inner().version.unwrap().version, i32::try_from(round).unwrap() + 2);
    }

    async fn check_versions(&self, place: usize) {
        let rounds = self.acknowledged().range(id(1 + place, 0)..id(2 + place, 0)).count();
        let expected = (0..rounds).map(|round| (round + 2, content(round)));
        let expected: BTreeMap<_, _> = std::iter::once((1, "first".to_owned())).chain(expected).collect();
        let mut client = self.client.clone();
        let mut there = BTreeMap::new();
        let mut page = PageRequest { page_size: 200, ..Default::default() };
        loop {
            let request = ListPromptVersionsRequest { page: Some(page), prompt_id: id(0, place), ..Default::default() };
            let answer = client.list_prompt_versions(request).await.unwrap().into_inner();
            there.extend(
                answer.versions.into_iter().map(|version| (version.version.try_into().unwrap(), version.content)),
            );
            let page_token = answer.page.unwrap().next_page_token;
            if page_token.is_empty() {
                break;
            }
            page = PageRequest { page_size: 200, page_token, ..Default::default() };
        }
        assert_eq!(there, expected);
        let prompt = client.get_prompt(GetPromptRequest { id: id(0, place) }).await.unwrap().into_inner().prompt;
        assert_eq!(prompt.unwrap().latest_version, i32::try_from(rounds).unwrap() + 1);
    }
}

fn content(round: usize) -> String {
    format!("written in round {round}")
}
