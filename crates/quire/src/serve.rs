//! `quire serve`.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use ::database::{Availability, DatabaseClock};
use axum::{Router, middleware::from_fn_with_state};
use metrics_exporter_prometheus::PrometheusHandle;
use pagination::PageTokens;
use platform::{Clock, Platform, Sweeper};
use tokio::net::{TcpListener, TcpSocket};
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic_health::{
    ServingStatus,
    pb::health_server::{self, HealthServer},
    server::HealthReporter,
};

use crate::{
    admin::{self, Admin},
    arguments::{Reflection, Serve},
    audit::AuditLog,
    authentication::{self, Credentials},
    budget::bound_stream,
    database::{self, Database},
    error::Error,
    gate::Bounds,
    listener::{Connections, Places, Protocol},
    open_files,
    private::Keeper,
    protocol,
    reflection::{self, Door},
    sample,
    services::{Services, methods},
    signals::{self, Signals},
    stream_age, telemetry,
};

/// How many connections can wait to be accepted. If there are more, the system loses some of them.
const BACKLOG: u32 = 4_096;

pub(crate) async fn serve(arguments: Serve) -> Result<(), Error> {
    let Signals { stopping, mut reload } = signals::listen()?;
    let Some(started) = stopping.run_until_cancelled(start(&arguments)).await else { return Ok(()) };
    let Started { listeners, credentials, keeper, platform, availability, bounds, mut services, audit, metrics } =
        started?;
    let database = platform.database.clone();
    let address = listeners.grpc.local_addr().unwrap_or(arguments.listen);
    if let Some(listener) = listeners.admin {
        let (signing_keys, tls) = (credentials.signing_keys.clone(), credentials.tls.clone());
        let (availability, budget) = (availability.clone(), bounds.budget.clone());
        let admin = Admin { metrics, database: database.clone(), availability, budget, signing_keys, tls };
        let connections = Connections {
            protocol: Protocol::Admin,
            router: admin.router(),
            tls: credentials.tls.clone().filter(|_| arguments.admin_tls),
            timeouts: arguments.limits.timeouts(),
            max_calls: 1,
            places: Places::new(admin::MAX_CONNECTIONS, admin::MAX_ADDRESS_CONNECTIONS),
            // It serves until the process ends.
            stopping: CancellationToken::new(),
        };
        tokio::spawn(connections.accept(listener));
    }
    let sweeper = Sweeper::new(database.clone(), std::mem::take(&mut services.sweeps));
    let sweeping = tokio::spawn(stopping.clone().run_until_cancelled_owned(sweeper.run()));
    let (reporter, health_server) = tonic_health::server::health_reporter();
    let health =
        Health { reporter, availability: availability.clone(), names: [&[""], services.names.as_slice()].concat() };
    health.begin().await;
    let reflection = reflection(&arguments, &services, &platform, audit.clone())?;
    let draining = CancellationToken::new();
    let connections = Connections {
        protocol: Protocol::Grpc,
        router: router(services, health_server, reflection, arguments.limits.stream_age, bounds),
        tls: credentials.tls.clone(),
        timeouts: arguments.limits.timeouts(),
        max_calls: arguments.limits.connection_calls,
        places: places(&arguments),
        stopping: draining.clone(),
    };
    tracing::info!(%address, "serving");
    let reloading = async {
        while let Some(()) = reload.recv().await {
            credentials.reload(&arguments);
        }
        std::future::pending().await
    };
    let serving = connections.accept(listeners.grpc);
    let drained = tokio::select! {
        drained = run(serving, health, stopping, draining, arguments.drain_timeout) => drained,
        drained = reloading => drained,
    };
    sweeping.await?;
    availability.end();
    audit.close().await;
    // An abandoned call still holds its database connection, which closes when the process ends.
    if let Drained::AllAnswered = drained {
        database.close();
    }
    if let Some(keeper) = keeper {
        keeper.stop().await?;
    }
    Ok(())
}

/// How serving ended.
enum Drained {
    /// Every call was answered.
    AllAnswered,
    /// Some calls took too long, and were abandoned.
    SomeAbandoned,
}

/// The state of a started server.
struct Started {
    listeners: Listeners,
    credentials: Credentials,
    keeper: Option<Keeper>,
    platform: Platform,
    availability: Availability,
    bounds: Bounds,
    services: Services,
    audit: AuditLog,
    metrics: PrometheusHandle,
}

/// The listening sockets.
struct Listeners {
    grpc: TcpListener,
    admin: Option<TcpListener>,
}

async fn start(arguments: &Serve) -> Result<Started, Error> {
    let mut credentials = Credentials::read(arguments)?;
    let listeners = Listeners::bind(arguments)?;
    let Database { options, token_keys, private } = database::open(arguments, credentials.token_keys.take()).await?;
    credentials.token_keys = Some(token_keys.clone());
    ::database::migrate(&options).await?;

    let tokens = PageTokens {
        time_to_live: arguments.token_ttl,
        version: arguments.token_version,
        ..PageTokens::new(token_keys)
    };
    let metrics = admin::measure()?;
    telemetry::describe();
    let database = ::database::connect(options, arguments.limits.of_database());
    let signing_keys = match &credentials.signing_keys {
        Some(keys) => Some(keys.for_audience(&audience(arguments, &database).await?)),
        None => None,
    };
    let keeper = private.map(|(server, settings)| Keeper::new(server, settings, database.clone()));
    let availability = Availability::watch(database.clone());
    let clock = DatabaseClock::of(&database).await.map_err(Error::Clock)?;
    let mut platform = Platform::new(database, tokens, Clock::new(move || clock.now()), signing_keys);
    platform.sign_ins = arguments.limits.sign_ins();
    platform.retention = arguments.retention.of_platform();
    let chosen = arguments.services();
    let bounds = arguments.limits.bounds();
    let audit = AuditLog::open(&arguments.audit, &methods()?, platform.clock.clone())?;
    let services = Services::open(&platform, &chosen, &availability, &bounds, &audit).await?;
    if arguments.sample {
        sample::load(&platform, &chosen, &availability, &bounds, &audit).await?;
    }
    Ok(Started { listeners, credentials, keeper, platform, availability, bounds, services, audit, metrics })
}

/// The audience of access tokens.
async fn audience(arguments: &Serve, database: &::database::Database) -> Result<String, Error> {
    match &arguments.audience {
        Some(audience) => Ok(audience.clone()),
        None => ::database::audience(database).await.map_err(Error::Audience),
    }
}

impl Listeners {
    fn bind(arguments: &Serve) -> Result<Self, Error> {
        authentication::check_addresses(arguments)?;
        let grpc = bind(arguments.listen, "--listen")?;
        let admin = match arguments.admin_listen {
            Some(address) => Some(bind(address, "--admin-listen")?),
            None => None,
        };
        Ok(Self { grpc, admin })
    }
}

/// Listens on the address that an argument names.
pub(crate) fn bind(address: SocketAddr, argument: &'static str) -> Result<TcpListener, Error> {
    let listener = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        // The address of a server that has just ended can be used again.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    listener().map_err(|source: io::Error| {
        let is_taken = source.kind() == io::ErrorKind::AddrInUse;
        if is_taken { Error::AddressTaken { address, argument } } else { Error::Listen { address, source } }
    })
}

/// The places for client connections, as many as the process may open files for.
fn places(arguments: &Serve) -> Arc<Places> {
    let open_files = open_files::raise();
    // One more connection to Postgres cancels statements.
    let others = usize::from(arguments.limits.max_connections) + 1 + admin::MAX_CONNECTIONS;
    let in_all = arguments.limits.max_client_connections.min(open_files::left(open_files, others));
    let by_address = arguments.limits.max_address_connections.unwrap_or(in_all.div_ceil(4)).min(in_all);
    tracing::info!(in_all, by_address, open_files, "maximum numbers of client connections");
    Places::new(in_all, by_address)
}

/// The reflection service, or nothing if it is off.
fn reflection(arguments: &Serve, services: &Services, platform: &Platform, audit: AuditLog) -> Result<Router, Error> {
    let keys = match arguments.reflection {
        Reflection::Authenticated => platform.signing_keys.clone(),
        Reflection::Open => None,
        Reflection::Off => return Ok(Router::new()),
    };
    let door = Door { keys, clock: platform.clock.clone(), audit };
    reflection::router(&services.names, door, arguments.limits.reflection_age())
}

/// The services, and health and reflection, which are not measured.
fn router(
    services: Services,
    health: HealthServer<impl health_server::Health>,
    reflection: Router,
    stream_age: Duration,
    Bounds { budget, call_timeout }: Bounds,
) -> Router {
    let open = Routes::new(health)
        .into_axum_router()
        .reset_fallback()
        .route_layer(from_fn_with_state(stream_age, stream_age::bound))
        .merge(reflection)
        .route_layer(from_fn_with_state(budget, bound_stream))
        .route_layer(from_fn_with_state(call_timeout, protocol::checked));
    // The router of the services answers all other paths.
    services.routes.into_axum_router().merge(open)
}

/// Serves until the server stops, then waits for calls in flight, at most for the drain timeout.
async fn run(
    serving: impl Future<Output = ()>,
    mut health: Health,
    stopping: CancellationToken,
    draining: CancellationToken,
    drain_timeout: Duration,
) -> Drained {
    let out_of_time = async {
        stopping.run_until_cancelled(health.follow()).await;
        tracing::info!("stopping: waiting for calls in flight");
        health.end().await;
        draining.cancel();
        tokio::time::sleep(drain_timeout).await;
    };
    tokio::select! {
        () = serving => Drained::AllAnswered,
        () = out_of_time => {
            tracing::warn!("calls or connections were left open after {}", humantime::format_duration(drain_timeout));
            Drained::SomeAbandoned
        }
    }
}

/// The health of each service: whether the database answers.
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

    /// Reports each change, and never returns.
    async fn follow(&mut self) {
        loop {
            let is_available = self.availability.changed().await;
            let status = if is_available { ServingStatus::Serving } else { ServingStatus::NotServing };
            for service in self.names.iter().copied() {
                self.reporter.set_service_status(service, status).await;
            }
        }
    }

    /// Reports that nothing is served any more.
    async fn end(&mut self) {
        for service in self.names.iter().copied() {
            self.reporter.set_service_status(service, ServingStatus::NotServing).await;
            // Ends the calls of watchers, after they have received the last status.
            self.reporter.clear_service_status(service).await;
        }
    }
}
