//! Callers that cancel their calls or set short deadlines, and a caller that does neither.

use std::{
    path::Path,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use futures_util::future::join_all;
use quire_proto::{
    identity::v1::{CreateSessionRequest, identity_service_client::IdentityServiceClient},
    jobs::v1::{ListJobsRequest, job_service_client::JobServiceClient},
    pagination::v1::PageRequest,
    prompts::v1::{ListPromptsRequest, prompt_service_client::PromptServiceClient},
};
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval, timeout},
};
use tonic::{
    Request,
    metadata::{Ascii, MetadataValue},
    transport::Channel,
};

use crate::{
    Result,
    client::PAGE,
    server::{Server, quire},
    timing::{Stopwatch, Time},
};

/// The number of callers of ListPrompts, and the deadline of each call.
const CALLERS: usize = 8;
const DEADLINE: Time = Time::from_millis(10);
/// Calls of CreateSession with a forged key: how many at once, how often, and how long to wait for each.
const LOGINS: u64 = 16;
const LOGIN_INTERVAL: Time = Time::from_millis(20);
const LOGIN_TIMEOUT: Time = Time::from_millis(1);
/// How long the measured caller waits for an answer.
const CALL_TIMEOUT: Time = Time::from_secs(5);

/// A session in one workspace.
#[derive(Clone)]
pub(crate) struct Tenant {
    authorization: MetadataValue<Ascii>,
}

impl Tenant {
    /// Creates an API key, and a session with it.
    pub(crate) async fn begin(build: &Path, url: &str, server: &Server, workspace: &str) -> Result<Self> {
        let mut keys = quire(build, &["keys", "bootstrap", "--workspace", workspace], url);
        let output = keys.stdout(Stdio::piped()).output().await?;
        if !output.status.success() {
            return Err(format!("quire keys bootstrap: {}", output.status).into());
        }
        let secret = String::from_utf8(output.stdout)?.trim().to_owned();
        let request = CreateSessionRequest { secret, scopes: Vec::new() };
        let session = IdentityServiceClient::new(server.connect().await?).create_session(request).await?.into_inner();
        let credentials = session.credentials.ok_or("a session has no credentials")?;
        Ok(Self { authorization: format!("Bearer {}", credentials.access_token).parse()? })
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("authorization", self.authorization.clone());
        request
    }

    /// Walks through the jobs, one call after the other, and starts again at the end.
    pub(crate) async fn page(&self, server: &Server, time: Time) -> Result<Paged> {
        let mut stub = JobServiceClient::new(server.connect().await?);
        let (mut paged, mut page_token) = (Paged::default(), String::new());
        let stopwatch = Stopwatch::start();
        while stopwatch.elapsed() < time {
            let page =
                PageRequest { page_size: PAGE.try_into()?, page_token: page_token.clone(), ..Default::default() };
            let request = self.request(ListJobsRequest { page: Some(page), ..Default::default() });
            let call = Stopwatch::start();
            match timeout(CALL_TIMEOUT, stub.list_jobs(request)).await {
                Ok(Ok(response)) => {
                    paged.times.push(call.elapsed());
                    page_token = response.into_inner().page.unwrap_or_default().next_page_token;
                }
                Ok(Err(_)) | Err(_) => paged.refused += 1,
            }
        }
        Ok(paged)
    }
}

/// The outcome of paging for some time.
#[derive(Default)]
pub(crate) struct Paged {
    /// How long each page took.
    pub(crate) times: Vec<Time>,
    /// The number of calls that failed or timed out.
    pub(crate) refused: u64,
}

/// The callers that cancel. They stop when this is dropped.
pub(crate) struct Storm {
    _tasks: JoinSet<()>,
    listed: Arc<Listed>,
}

/// The numbers of ListPrompts calls, and of those that were answered with a page.
#[derive(Default)]
struct Listed {
    called: AtomicU64,
    answered: AtomicU64,
}

impl Storm {
    /// A tenant lists prompts; CreateSession is called without a credential.
    pub(crate) async fn begin(server: &Server, tenant: &Tenant) -> Result<Self> {
        let mut tasks = JoinSet::new();
        let listed = Arc::new(Listed::default());
        for _ in 0..CALLERS {
            tasks.spawn(list(server.connect().await?, tenant.clone(), listed.clone()));
        }
        tasks.spawn(log_in(server.connect().await?));
        Ok(Self { _tasks: tasks, listed })
    }

    /// How many calls of ListPrompts were answered with a page, and how many were made.
    pub(crate) fn answered(&self) -> (u64, u64) {
        (self.listed.answered.load(Ordering::Relaxed), self.listed.called.load(Ordering::Relaxed))
    }
}

/// Calls ListPrompts in a loop, for the first page of 50 rows.
async fn list(channel: Channel, tenant: Tenant, listed: Arc<Listed>) {
    let mut stub = PromptServiceClient::new(channel);
    loop {
        let page = PageRequest { page_size: PAGE as i32, ..Default::default() };
        let mut request = tenant.request(ListPromptsRequest { page: Some(page), ..Default::default() });
        request.metadata_mut().insert("grpc-timeout", MetadataValue::from_static("10m"));
        listed.called.fetch_add(1, Ordering::Relaxed);
        if let Ok(Ok(_)) = timeout(DEADLINE, stub.list_prompts(request)).await {
            listed.answered.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Calls CreateSession over one connection. One half of the calls is reset, the other half has a deadline.
async fn log_in(channel: Channel) {
    let stub = IdentityServiceClient::new(channel);
    let mut ticks = interval(LOGIN_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut number = 0_u64;
    loop {
        ticks.tick().await;
        let calls = (number..number + LOGINS).map(|number| {
            let mut stub = stub.clone();
            async move {
                // The key is well-formed, so the server looks it up in the database.
                let secret = format!("quire-key_default_{number:032x}_{}", "A".repeat(43));
                let mut request = Request::new(CreateSessionRequest { secret, scopes: Vec::new() });
                let is_reset = number.is_multiple_of(2);
                if !is_reset {
                    request.metadata_mut().insert("grpc-timeout", MetadataValue::from_static("1m"));
                }
                // The result is ignored.
                drop(
                    timeout(if is_reset { LOGIN_TIMEOUT } else { LOGIN_INTERVAL }, stub.create_session(request)).await,
                );
            }
        });
        join_all(calls).await;
        number += LOGINS;
    }
}
