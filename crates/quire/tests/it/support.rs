//! Runs the program as its users do: as a process that is called over a socket.
pub mod admin;
pub mod authority;
pub mod frames;
pub mod postgres;
pub mod proxy;
pub mod raw;
pub mod storm;

use std::{
    ffi::OsStr,
    fs::{File, Permissions},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use access::SigningKeys;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use platform::testing;
use quire_proto::{
    pagination::v1::{PageRequest, PageResponse, TotalCount},
    prompts::v1::{
        CreatePromptRequest, ListPromptsRequest, Prompt, PromptVersion, prompt_service_client::PromptServiceClient,
    },
};
use sqlx::{ConnectOptions, postgres::PgConnectOptions};
use tempfile::{NamedTempFile, TempDir};
use tonic::{
    Request, Status, Streaming,
    metadata::MetadataValue,
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, Endpoint},
};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus,
    health_client::HealthClient as GeneratedHealthClient,
};

pub type Client = PromptServiceClient<Channel>;
pub type HealthClient = GeneratedHealthClient<Channel>;

/// How long a test waits at most. It is long enough for a busy machine, and no test passes because of it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until an attempt succeeds.
pub async fn eventually<T>(what: &str, mut attempt: impl AsyncFnMut() -> Option<T>) -> T {
    let attempts = async {
        loop {
            if let Some(value) = attempt().await {
                return value;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    within(what, attempts).await
}

/// Waits for a future, at most for [`PATIENCE`].
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("waited {PATIENCE:?} until {what}"))
}

/// The program with these arguments, without the environment of the user who runs the tests.
pub fn quire<S: AsRef<OsStr>>(arguments: &[S]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quire"));
    for (name, _) in std::env::vars_os() {
        let text = name.as_encoded_bytes();
        if text == b"DATABASE_URL" || text.starts_with(b"QUIRE_") || text.starts_with(b"PG") {
            command.env_remove(&name);
        }
    }
    command.args(arguments).stdin(Stdio::null());
    command
}

/// A process that is killed when it is dropped.
pub struct Program {
    process: Child,
    stderr: NamedTempFile,
}

impl Program {
    pub fn start(mut command: Command) -> Self {
        // A file never blocks the writer, unlike a full pipe.
        let stderr = NamedTempFile::new().unwrap();
        let process = command.stdout(Stdio::null()).stderr(stderr.reopen().unwrap()).spawn().unwrap();
        Self { process, stderr }
    }

    /// The exit code, once the process has ended; `None` if a signal ended it.
    pub async fn exit_code(&mut self) -> Option<i32> {
        eventually("the program ended", async || self.process.try_wait().unwrap()).await.code()
    }

    pub fn is_running(&mut self) -> bool {
        self.process.try_wait().unwrap().is_none()
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.process.id().try_into().unwrap()), signal).unwrap();
    }

    /// Stops the process, and returns its exit code.
    pub async fn stop(&mut self) -> Option<i32> {
        self.signal(Signal::SIGTERM);
        self.exit_code().await
    }

    /// Kills the process without a chance to clean up.
    pub fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    pub fn id(&self) -> u32 {
        self.process.id()
    }

    pub fn stderr(&self) -> String {
        std::fs::read_to_string(&self.stderr).unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("what process {} wrote:\n{}", self.id(), self.stderr());
        }
        self.kill();
    }
}

/// A server process.
pub struct Server {
    pub program: Program,
    pub address: SocketAddr,
}

impl Server {
    /// Serves a private Postgres.
    pub fn on_data_dir(data_dir: &DataDir, arguments: &[&str]) -> Self {
        let mut command = quire(&["serve"]);
        command.args(arguments).arg("--data-dir").arg(data_dir.path());
        Self::start(command)
    }

    /// Serves the database that a URL in the environment names.
    pub fn on_database(url: &str, arguments: &[&str]) -> Self {
        Self::start(on_database(url, arguments))
    }

    /// Serves a database, and returns freed memory to the system at once, so that the peak is the memory in use.
    pub fn without_spare_memory(url: &str) -> Self {
        let mut command = on_database(url, &[]);
        command.env("MIMALLOC_PURGE_DELAY", "0");
        Self::start(command)
    }

    /// Serves on an address of its own.
    pub fn start(command: Command) -> Self {
        Self::start_at(free_address(), command)
    }

    /// Serves a private Postgres again, on the address of an earlier server.
    pub fn start_again(data_dir: &DataDir, address: SocketAddr) -> Self {
        let mut command = quire(&["serve"]);
        command.arg("--data-dir").arg(data_dir.path());
        Self::start_at(address, command)
    }

    fn start_at(address: SocketAddr, mut command: Command) -> Self {
        command.arg("--listen").arg(address.to_string());
        Self { program: Program::start(command), address }
    }

    /// Connects once the server is serving.
    pub async fn connect(&mut self) -> Channel {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address)).unwrap();
        let channel = eventually("the server listened", async || {
            assert!(self.program.is_running(), "the server has ended");
            endpoint.connect().await.ok()
        })
        .await;
        // The port is bound early; a call is answered when everything is ready.
        assert_eq!(health(&channel, "").await, ServingStatus::Serving);
        channel
    }

    pub async fn client(&mut self) -> Client {
        Client::new(self.connect().await)
    }
}

fn on_database(url: &str, arguments: &[&str]) -> Command {
    let mut command = quire(&["serve"]);
    command.args(arguments).env("DATABASE_URL", url).env("QUIRE_TOKEN_KEYS", testing::TOKEN_KEYS);
    command
}

/// A file with keys for access tokens.
pub struct KeyFile {
    pub pem: String,
    file: NamedTempFile,
}

impl KeyFile {
    /// Creates a file with a new key.
    pub fn new() -> Self {
        Self::with(&testing::new_signing_key())
    }

    pub fn with(pem: &str) -> Self {
        let file = NamedTempFile::new().unwrap();
        std::fs::write(file.path(), pem).unwrap();
        Self { pem: pem.to_owned(), file }
    }

    pub fn path(&self) -> &str {
        self.file.path().to_str().unwrap()
    }

    /// The public half of its key, as `openssl pkey -pubout` writes it.
    pub fn public(&self) -> String {
        let keys: SigningKeys = self.pem.parse().unwrap();
        let keys = serde_json::to_value(keys.public()).unwrap();
        let x = URL_SAFE_NO_PAD.decode(keys["keys"][0]["x"].as_str().unwrap()).unwrap();
        let prefix = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
        pem::encode(&pem::Pem::new("PUBLIC KEY", [prefix.as_slice(), &x].concat()))
    }
}

/// Writes a file that only its owner can read.
pub fn write_secret(path: impl AsRef<Path>, text: &str) {
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
}

/// An address that nobody listens on.
pub fn free_address() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}

pub async fn health(channel: &Channel, service: &str) -> ServingStatus {
    let request = HealthCheckRequest { service: service.to_owned() };
    let answer = within("health answered", HealthClient::new(channel.clone()).check(request)).await;
    answer.unwrap().into_inner().status()
}

/// The changes of the server's health since this value was created.
pub struct HealthWatch(Streaming<HealthCheckResponse>);

impl HealthWatch {
    pub async fn begin(channel: &Channel) -> Self {
        let request = HealthCheckRequest { service: "prompts.v1.PromptService".to_owned() };
        let mut watch = Self(HealthClient::new(channel.clone()).watch(request).await.unwrap().into_inner());
        watch.tells(ServingStatus::Serving).await;
        watch
    }

    /// Waits for the next status, which must be this one.
    pub async fn tells(&mut self, status: ServingStatus) {
        let told = within(&format!("health told {status:?}"), self.0.message()).await;
        assert_eq!(told.unwrap().unwrap().status(), status);
    }
}

/// The data directory of a private Postgres. Declare it before its server, so that it is removed after the server.
pub struct DataDir {
    path: PathBuf,
    _directory: TempDir,
}

impl DataDir {
    pub fn new() -> Self {
        Self::called("data")
    }

    /// A directory with a path that is too long for a socket, so that Postgres creates its socket elsewhere.
    pub fn with_long_path() -> Self {
        Self::called(&"data".repeat(30))
    }

    /// A directory that does not exist yet. The first server creates it.
    fn called(name: &str) -> Self {
        let directory = TempDir::new().unwrap();
        Self { path: directory.path().join(name), _directory: directory }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn file(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path().join(name)
    }

    /// Whether any process of Postgres is left. The standard error of each is the log, which each therefore keeps
    /// locked.
    pub fn is_in_use(&self) -> bool {
        let log = File::open(self.file("postgres.log")).unwrap();
        let is_in_use = log.try_lock().is_err();
        log.unlock().unwrap();
        is_in_use
    }
}

impl Drop for DataDir {
    fn drop(&mut self) {
        // Files that a stopping Postgres still writes would not be removed.
        for _ in 0..500 {
            if !self.file("postgres.log").exists() || !self.is_in_use() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// A new empty database: its connection options and its URL.
pub async fn database() -> (PgConnectOptions, String) {
    let options = testing::empty_database().await;
    let url = options.to_url_lossy().to_string();
    (options, url)
}

/// A request to create a prompt with this name.
pub fn named(name: &str) -> CreatePromptRequest {
    let prompt = Prompt { name: name.to_owned(), ..Default::default() };
    let version = PromptVersion { content: "Hello".to_owned(), ..Default::default() };
    CreatePromptRequest { prompt: Some(prompt), version: Some(version) }
}

/// A client in this workspace of a server without authentication.
pub fn in_workspace(
    channel: &Channel,
    workspace: &'static str,
) -> PromptServiceClient<InterceptedService<Channel, impl Interceptor + Clone>> {
    PromptServiceClient::with_interceptor(channel.clone(), move |mut request: Request<()>| {
        request.metadata_mut().insert("quire-workspace", MetadataValue::from_static(workspace));
        Ok(request)
    })
}

/// Creates a prompt with this name, and returns its id.
pub async fn make(client: &Client, name: &str) -> Result<String, Status> {
    let request = named(name);
    Ok(client.clone().create_prompt(request).await?.into_inner().prompt.unwrap().id)
}

/// The names on a page of fifteen prompts, and the page's tokens and exact total.
pub async fn list(client: &Client, page_token: &str) -> Result<(Vec<String>, PageResponse), Status> {
    let page = PageRequest {
        page_size: 15,
        page_token: page_token.to_owned(),
        total_count: TotalCount::Exact.into(),
        ..Default::default()
    };
    let request = ListPromptsRequest { page: Some(page), ..Default::default() };
    let response = client.clone().list_prompts(request).await?.into_inner();
    let names = response.prompts.into_iter().map(|prompt| prompt.name).collect();
    Ok((names, response.page.unwrap()))
}

/// The names of all prompts. Each page is fetched with the token of the previous page.
pub async fn names(client: &Client) -> Vec<String> {
    let (mut names, mut page) = list(client, "").await.unwrap();
    while !page.next_page_token.is_empty() {
        let (more, next) = list(client, &page.next_page_token).await.unwrap();
        names.extend(more);
        page = next;
    }
    assert_eq!(page.total_count, Some(names.len().try_into().unwrap()));
    names
}
