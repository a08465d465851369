//! The server under attack, on a private Postgres.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use access::{Caller, Methods, SigningKeys};
use platform::{Clock, now, testing};
use sqlx::{ConnectOptions, PgConnection, postgres::PgConnectOptions};
use tempfile::{NamedTempFile, TempDir};
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use uuid::Uuid;

pub struct Server {
    process: Child,
    target: Target,
    keys: SigningKeys,
    data: TempDir,
    _key_file: NamedTempFile,
}

/// What an attack needs to know.
#[derive(Clone)]
pub struct Target {
    pub address: SocketAddr,
    /// The attacker's credential.
    pub bearer: String,
}

impl Server {
    pub async fn start(build: &Path) -> Self {
        let (key_file, data) = (NamedTempFile::new().unwrap(), tempfile::tempdir().unwrap());
        let pem = testing::new_signing_key();
        fs::write(key_file.path(), &pem).unwrap();
        let keys: SigningKeys = pem.parse().unwrap();
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
        let mut command = Command::new(build);
        command.arg("serve").args(["--listen", &address.to_string()]).arg("--data-dir").arg(data.path());
        command
            .arg("--signing-keys")
            .arg(key_file.path())
            .args(["--audience", "quire"])
            .env("QUIRE_LOG", "error")
            .stdin(Stdio::null());
        let process = command.spawn().unwrap();
        let bearer = bearer(&keys, "attacker");
        let server = Self { process, target: Target { address, bearer }, keys, data, _key_file: key_file };
        // The port is bound early; a call is answered when everything is ready.
        HealthClient::new(server.channel().await).check(HealthCheckRequest::default()).await.unwrap();
        server
    }

    pub fn target(&self) -> Target {
        self.target.clone()
    }

    pub fn bearer(&self, workspace: &str) -> String {
        bearer(&self.keys, workspace)
    }

    /// A new connection, as soon as the server listens.
    pub async fn channel(&self) -> Channel {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.target.address)).unwrap();
        for _ in 0..3_000 {
            if let Ok(channel) = endpoint.connect().await {
                return channel;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("the server does not listen");
    }

    /// A connection to its database.
    pub async fn postgres(&self) -> PgConnection {
        let running = private_postgres::Running::at(self.data.path()).unwrap();
        let options = PgConnectOptions::new_without_pgpass().socket(running.socket_dir()).port(private_postgres::PORT);
        options.username(private_postgres::USER).database("postgres").connect().await.unwrap()
    }

    /// Forgets the peak of its memory. Returns what it uses now, in bytes.
    pub fn reset_peak(&self) -> u64 {
        fs::write(format!("/proc/{}/clear_refs", self.process.id()), "5").unwrap();
        self.memory("VmRSS:")
    }

    /// The peak of its memory, in bytes.
    pub fn peak(&self) -> u64 {
        self.memory("VmHWM:")
    }

    fn memory(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() << 10
    }

    /// Waits until the statements of the last attack have ended.
    pub async fn rests(&mut self) {
        let mut postgres = self.postgres().await;
        let sql = "select count(*) from pg_stat_activity where state = 'active' and application_name = 'quire'";
        for _ in 0..1_200 {
            let active: i64 = sqlx::query_scalar(sql).fetch_one(&mut postgres).await.unwrap();
            if active == 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert!(self.process.try_wait().unwrap().is_none(), "the server has ended");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

fn bearer(keys: &SigningKeys, workspace: &str) -> String {
    let scopes = Methods::of_contract().unwrap().scopes().clone();
    let (workspace, subject) = (workspace.to_owned(), "somebody".to_owned());
    let caller = Caller { workspace, subject, scopes, session: Some(Uuid::nil()) };
    let time = now(&Clock::system());
    let token = keys.private().unwrap().sign(&caller, time, time + time::Duration::days(1)).unwrap().token;
    format!("Bearer {token}")
}
