//! `quire serve`.

use std::{io, net::SocketAddr, time::Duration};

use futures_util::StreamExt;
use keyset::Paging;
use metrics_exporter_prometheus::PrometheusHandle;
use pagination::{Clock, PageTokens};
use platform::{Availability, Ids, MAX_OPEN_REQUEST_BYTES, Platform};
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
    sync::oneshot::{self, error::RecvError},
};
use tonic::{
    service::Routes,
    transport::{
        Server, ServerTlsConfig,
        server::{Router, TcpIncoming},
    },
};
use tonic_health::{ServingStatus, pb::health_server, server::HealthReporter};

use crate::{
    admin::{self, Admin},
    arguments::Serve,
    authentication,
    database::{self, Database},
    error::Error,
    private::Keeper,
    sample,
    services::Services,
};

/// How long a call may take, its message included, before its caller has had enough.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);
/// How many calls a connection may have in flight.
const MAX_CALLS: u32 = 100;
/// How often a connection is asked whether its other end is still there.
const KEEPALIVE: Duration = Duration::from_secs(30);
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long to wait after a connection that could not be accepted.
const PAUSE: Duration = Duration::from_millis(100);

pub(crate) async fn serve(arguments: Serve) -> Result<(), Error> {
    let mut stop = Stop::listen()?;
    tokio::spawn(end_when_told_twice(Stop::listen()?));
    let started = tokio::select! {
        started = start(&arguments) => started?,
        () = stop.wait() => return Ok(()),
    };
    let Started { listeners, mut server, keeper, platform, availability, mut services, metrics } = started;
    let database = platform.paging.database;
    let address = listeners.grpc.local_addr().unwrap_or(arguments.listen);
    if let Some(listener) = listeners.admin {
        let access_tokens = platform.access_tokens;
        let admin = Admin { metrics, database: database.clone(), availability: availability.clone(), access_tokens };
        tokio::spawn(admin.serve(listener));
    }
    if let Some(sweeper) = services.sweeper.take() {
        tokio::spawn(sweeper.run());
    }
    let (reporter, health_server) = tonic_health::server::health_reporter();
    let health = Health { reporter, availability, names: [&[""], services.names.as_slice()].concat() };
    health.begin().await;
    let health_server = health_server.max_decoding_message_size(MAX_OPEN_REQUEST_BYTES);
    let server = server.add_routes(with_reflection(services)?.add_service(health_server).prepare());
    tracing::info!(%address, "serving");
    let served = run(listeners.grpc, server, health, stop, arguments.drain_timeout).await;
    // A call that was given up still holds its connection, which ends with the process.
    if let Ok(Drained::AllAnswered) = served {
        database.close();
    }
    if let Some(keeper) = keeper {
        keeper.stop().await?;
    }
    served.map(|_: Drained| ())
}

/// How serving ended.
enum Drained {
    /// Every call was answered.
    AllAnswered,
    /// Some calls took too long.
    SomeGivenUp,
}

/// Everything that serving needs.
struct Started {
    listeners: Listeners,
    server: Server,
    keeper: Option<Keeper>,
    platform: Platform,
    availability: Availability,
    services: Services,
    metrics: PrometheusHandle,
}

/// Where callers and operators come in.
struct Listeners {
    grpc: TcpListener,
    admin: Option<TcpListener>,
}

async fn start(arguments: &Serve) -> Result<Started, Error> {
    let token_keys = arguments.token_keys.as_deref().map(str::parse).transpose()?;
    let clock = Clock::system();
    let access_tokens = authentication::access_tokens(arguments, &clock)?;
    let server = server(authentication::tls(&arguments.tls)?)?;
    let listeners = Listeners::bind(arguments).await?;
    let Database { options, token_keys, private } = database::open(&arguments.database, token_keys).await?;
    platform::migrate(&options).await?;

    let tokens = PageTokens {
        keys: token_keys,
        time_to_live: arguments.token_ttl,
        clock: clock.clone(),
        version: arguments.token_version,
    };
    let metrics = admin::measure()?;
    let database = platform::connect(options);
    let keeper = private.map(|(server, settings)| Keeper::new(server, settings, database.clone()));
    let availability = Availability::watch(database.clone());
    let paging = Paging::new(database, tokens);
    let platform = Platform { paging, ids: Ids::by_time(clock.clone()), clock, access_tokens };
    let services = Services::open(&platform, &arguments.services, &availability).await?;
    if arguments.sample {
        sample::load(&platform, &arguments.services, &availability).await?;
    }
    Ok(Started { listeners, server, keeper, platform, availability, services, metrics })
}

impl Listeners {
    async fn bind(arguments: &Serve) -> Result<Self, Error> {
        authentication::check_addresses(arguments)?;
        let grpc = bind(arguments.listen, "--listen").await?;
        let admin = match arguments.admin_listen {
            Some(address) => Some(bind(address, "--admin-listen").await?),
            None => None,
        };
        Ok(Self { grpc, admin })
    }
}

async fn bind(address: SocketAddr, argument: &'static str) -> Result<TcpListener, Error> {
    TcpListener::bind(address).await.map_err(|source| {
        let is_taken = source.kind() == io::ErrorKind::AddrInUse;
        if is_taken { Error::AddressTaken { address, argument } } else { Error::Listen { address, source } }
    })
}

fn server(tls: Option<ServerTlsConfig>) -> Result<Server, Error> {
    let server = Server::builder()
        .timeout(CALL_TIMEOUT)
        .max_concurrent_streams(MAX_CALLS)
        .http2_keepalive_interval(Some(KEEPALIVE));
    match tls {
        Some(tls) => server.tls_config(tls.timeout(HANDSHAKE_TIMEOUT)).map_err(Error::Tls),
        None => Ok(server),
    }
}

/// The services' routes, and reflection of these services and health.
fn with_reflection(services: Services) -> Result<Routes, Error> {
    let reflection = || {
        let builder = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(quire_proto::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            // The details of errors, for clients that show them.
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET);
        let names = services.names.iter().chain([&health_server::SERVICE_NAME]);
        names.fold(builder, |builder, name| builder.with_service_name(*name))
    };
    let v1 = reflection().build_v1()?.max_decoding_message_size(MAX_OPEN_REQUEST_BYTES);
    let v1alpha = reflection().build_v1alpha()?.max_decoding_message_size(MAX_OPEN_REQUEST_BYTES);
    Ok(services.routes.add_service(v1).add_service(v1alpha))
}

/// Serves until told to stop, then lets calls in flight finish for as long as that may take.
async fn run(
    listener: TcpListener,
    server: Router,
    mut health: Health,
    mut stop: Stop,
    drain_timeout: Duration,
) -> Result<Drained, Error> {
    let (begin_drain, drain) = oneshot::channel();
    let stopped = async move {
        tokio::select! {
            () = stop.wait() => {}
            () = health.follow() => {}
        }
        tracing::info!("stopping: letting calls in flight finish");
        health.end().await;
        // Nobody waits any more only when the server has failed.
        let _ = begin_drain.send(());
    };
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true)).then(async |connection| {
        if let Err(error) = &connection {
            // As when the process may have no more files open: the next attempt would fail as well.
            tracing::warn!(%error, "a connection was not accepted");
            tokio::time::sleep(PAUSE).await;
        }
        connection
    });
    let server = server.serve_with_incoming_shutdown(incoming, stopped);
    let out_of_time = async {
        match drain.await {
            Ok(()) => tokio::time::sleep(drain_timeout).await,
            Err(RecvError { .. }) => std::future::pending().await,
        }
    };
    tokio::select! {
        served = server => Ok(served.map(|()| Drained::AllAnswered)?),
        () = out_of_time => {
            tracing::warn!("calls or connections were left open after {}", humantime::format_duration(drain_timeout));
            Ok(Drained::SomeGivenUp)
        }
    }
}

/// What health tells of each service: whether the database answers.
struct Health {
    reporter: HealthReporter,
    availability: Availability,
    /// The services; the empty name is the whole server.
    names: Vec<&'static str>,
}

impl Health {
    async fn begin(&self) {
        for name in &self.names {
            self.reporter.set_service_status(*name, ServingStatus::Serving).await;
        }
    }

    /// Tells each change, and never ends.
    async fn follow(&mut self) {
        loop {
            let is_available = self.availability.changed().await;
            let status = if is_available { ServingStatus::Serving } else { ServingStatus::NotServing };
            for service in self.names.iter().copied() {
                self.reporter.set_service_status(service, status).await;
            }
        }
    }

    /// Tells that nothing is served any more.
    async fn end(&mut self) {
        for service in self.names.iter().copied() {
            self.reporter.set_service_status(service, ServingStatus::NotServing).await;
            // Those who watch are told, and are then calls in flight no more.
            self.reporter.clear_service_status(service).await;
        }
    }
}

/// Ends the process at once when it is told to stop a second time: what it does to stop may take a minute, as when its
/// Postgres hangs. Its Postgres ends with it.
async fn end_when_told_twice(mut stop: Stop) {
    stop.wait().await;
    stop.wait().await;
    tracing::warn!("told to stop again: ending at once");
    std::process::exit(1);
}

/// The signals that ask the program to stop.
struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    fn listen() -> Result<Self, Error> {
        let listen = |kind| signal(kind).map_err(Error::Signal);
        Ok(Self { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
