//! For the tests of services: a Postgres for each test binary, a migrated database for each test, and a service behind
//! a real socket.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot set up its database or its server has failed"
)]

mod calls;
mod checks;
mod clocks;
pub mod contract;
mod reads;
mod rows;

use std::{
    convert::Infallible,
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

use access::{Access, Methods, SigningKeys};
use axum::{
    extract::{Request, State},
    middleware::{Next, from_fn_with_state},
    response::Response,
};
pub use calls::{from, page, there_and_back, told};
pub use checks::assert_checks;
pub use clocks::{Hands, counting, ticking};
use database::{Database, Limits, connect, migrate};
use pagination::PageTokens;
use pem::Pem;
use private_postgres::Server;
pub use reads::Many;
use ring::{rand::SystemRandom, signature::Ed25519KeyPair};
pub use rows::{id, insert, rows, wait_for_waiting};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection, PgPool, postgres::PgConnectOptions, raw_sql};
use tokio::{net::TcpListener, sync::OnceCell};
use tonic::{
    Status,
    body::Body,
    codegen::{Service, http},
    server::NamedService,
    service::Routes,
    transport::{Channel, Endpoint, server::TcpIncoming},
};

use crate::{Clock, Error, Opened, Platform, now};

/// The text of the token keys in tests: one key, with the id `test`.
pub const TOKEN_KEYS: &str = "test:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

static DATABASES: AtomicU32 = AtomicU32::new(0);

/// The connection options of a database on the test binary's Postgres, which stops when the test binary ends.
pub fn options(database: &str) -> PgConnectOptions {
    static SERVER: OnceLock<Server> = OnceLock::new();
    options_on(SERVER.get_or_init(|| Server::temporary().unwrap()), database)
}

fn options_on(server: &Server, database: &str) -> PgConnectOptions {
    PgConnectOptions::new_without_pgpass()
        .socket(server.socket_dir())
        .port(server.port())
        .username(server.user())
        .database(database)
}

/// The connection options of a new, migrated database.
pub async fn new_database() -> PgConnectOptions {
    static TEMPLATE: OnceCell<()> = OnceCell::const_new();
    TEMPLATE
        .get_or_init(async || {
            create("template", "template0").await;
            migrate(&options("template")).await.unwrap();
        })
        .await;
    next_database("template").await
}

/// The connection options of a new, empty database.
pub async fn empty_database() -> PgConnectOptions {
    next_database("template0").await
}

async fn next_database(template: &str) -> PgConnectOptions {
    let name = format!("test_{}", DATABASES.fetch_add(1, Ordering::Relaxed));
    create(&name, template).await;
    options(&name)
}

async fn create(name: &str, template: &str) {
    let mut connection: PgConnection = options("postgres").connect().await.unwrap();
    let create = format!("create database {name} template {template}");
    raw_sql(AssertSqlSafe(create)).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

/// A platform with a new database, page tokens sealed with [`TOKEN_KEYS`], the system's clock, and no authentication.
pub async fn platform() -> Platform {
    platform_on(connect(new_database().await, Limits::default()))
}

/// The same as [`platform`], on this database.
pub fn platform_on(database: Database) -> Platform {
    let clock = Clock::system();
    let tokens = PageTokens::new(TOKEN_KEYS.parse().unwrap());
    Platform::new(database, tokens, clock, None)
}

/// The same as [`platform`], on the test's own Postgres, for tests that the transactions of other tests would disturb.
pub async fn platform_alone() -> (Server, Platform) {
    let server = Server::temporary().unwrap();
    let options = options_on(&server, "postgres");
    migrate(&options).await.unwrap();
    (server, platform_on(connect(options, Limits::default())))
}

/// A new private key for access tokens, in PEM.
pub fn new_signing_key() -> String {
    let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    pem::encode(&Pem::new("PRIVATE KEY", key.as_ref()))
}

/// A new private key for access tokens, parsed.
pub fn new_signing_keys() -> SigningKeys {
    new_signing_key().parse().unwrap()
}

/// A pool of connections to the platform's database, for the test's own statements.
pub fn pool(platform: &Platform) -> PgPool {
    PgPool::connect_lazy_with(platform.database.options())
}

/// Serves a service without authentication on a free port of the loopback interface, and connects to it. The server
/// runs as long as the test's runtime.
pub async fn serve<S>(service: S) -> Channel
where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>
        + NamedService
        + Clone
        + Send
        + Sync
        + 'static,
    S::Future: Send,
{
    serve_routes(Opened::new(service).routes).await
}

/// Serves a service to callers with an access token, which is verified with this platform's keys and clock.
pub async fn serve_to<S>(platform: &Platform, service: S) -> Channel
where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>
        + NamedService
        + Clone
        + Send
        + Sync
        + 'static,
    S::Future: Send,
{
    let access = Access::new(Methods::of_contract().unwrap(), platform.signing_keys.clone());
    serve_by(access, platform.clock.clone(), Opened::new(service).routes).await
}

/// Opens a service and serves it without authentication.
pub async fn serve_on(platform: &Platform, service: &crate::Service) -> Channel {
    serve_routes((service.open)(platform).await.unwrap().routes).await
}

/// Serves any number of services without authentication.
pub async fn serve_routes(routes: Routes) -> Channel {
    serve_by(Access::new(Methods::of_contract().unwrap(), None), Clock::system(), routes).await
}

async fn serve_by(access: Access, clock: Clock, routes: Routes) -> Channel {
    let layer = from_fn_with_state((access, clock), with_access);
    serve_bare(routes.into_axum_router().route_layer(layer).into()).await
}

/// Serves any number of services without [`Access`], so that calls have no caller.
pub async fn serve_bare(routes: Routes) -> Channel {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tonic::transport::Server::builder().add_routes(routes);
    tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true))));
    Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap()
}

async fn with_access(State((access, clock)): State<(Access, Clock)>, mut request: Request, next: Next) -> Response {
    match access.admit(&mut request, now(&clock)) {
        Ok(()) => next.run(request).await,
        Err(error) => Status::from(Error::from(error)).into_http(),
    }
}
