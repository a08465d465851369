//! `quire serve`.

use std::{io, time::Duration};

use keyset::Paging;
use pagination::{Clock, PageTokens};
use platform::{Availability, Ids, Platform};
use prompts::Prompts;
use quire_proto::prompts::v1::prompt_service_server::PromptServiceServer;
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
    sync::oneshot::{self, error::RecvError},
};
use tonic::{
    server::NamedService,
    service::Routes,
    transport::{Server, server::TcpIncoming},
};
use tonic_health::{
    ServingStatus,
    pb::health_server::{Health as HealthService, HealthServer},
    server::HealthReporter,
};
use tower_layer::Layer;

use crate::{
    arguments::Serve,
    database::{self, Database},
    error::Error,
    private::Keeper,
    sample,
};

pub(crate) async fn serve(arguments: Serve) -> Result<(), Error> {
    let mut stop = Stop::listen()?;
    tokio::spawn(end_when_told_twice(Stop::listen()?));
    let started = tokio::select! {
        started = start(&arguments) => started?,
        () = stop.wait() => return Ok(()),
    };
    let Started { listener, keeper, database, prompts } = started;
    let (health, health_server) = tonic_health::server::health_reporter();
    let availability = Availability::watch(database.clone());
    let routes = routes(prompts, &availability, &health, health_server).await?;
    let address = listener.local_addr().unwrap_or(arguments.listen);
    tracing::info!(%address, "serving");
    let health = Health { reporter: health, availability };
    let served = run(listener, routes, health, stop, arguments.drain_timeout).await;
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
    listener: TcpListener,
    keeper: Option<Keeper>,
    database: keyset::Database,
    prompts: Prompts,
}

async fn start(arguments: &Serve) -> Result<Started, Error> {
    let token_keys = arguments.token_keys.as_deref().map(str::parse).transpose()?;
    let listener = bind(arguments).await?;
    let Database { options, token_keys, private } = database::open(arguments, token_keys).await?;
    platform::migrate(&options).await?;

    let clock = Clock::system();
    let tokens = PageTokens {
        keys: token_keys,
        time_to_live: arguments.token_ttl,
        clock: clock.clone(),
        version: arguments.token_version,
    };
    let database = platform::connect(options);
    let keeper = private.map(|(server, settings)| Keeper::new(server, settings, database.clone()));
    let paging = Paging::new(database.clone(), tokens);
    let platform = Platform { paging, ids: Ids::by_time(clock.clone()), clock };
    let prompts = Prompts::open(&platform).await?;
    if arguments.sample {
        sample::load(&prompts).await?;
    }
    Ok(Started { listener, keeper, database, prompts })
}

async fn bind(arguments: &Serve) -> Result<TcpListener, Error> {
    let address = arguments.listen;
    if !address.ip().is_loopback() {
        return Err(Error::NotLoopback(address));
    }
    TcpListener::bind(address).await.map_err(|source| {
        let is_taken = source.kind() == io::ErrorKind::AddrInUse;
        if is_taken { Error::AddressTaken(address) } else { Error::Listen { address, source } }
    })
}

/// The services, with health and reflection.
async fn routes(
    prompts: Prompts,
    availability: &Availability,
    health: &HealthReporter,
    health_server: HealthServer<impl HealthService>,
) -> Result<Routes, Error> {
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(quire_proto::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            // The details of errors, for clients that show them.
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
    };
    health.set_serving::<PromptServiceServer<Prompts>>().await;
    Ok(Routes::new(health_server)
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?)
        .add_service(availability.layer(prompts.server()))
        .prepare())
}

/// Serves until told to stop, then lets calls in flight finish for as long as that may take.
async fn run(
    listener: TcpListener,
    routes: Routes,
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
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let server = Server::builder().add_routes(routes).serve_with_incoming_shutdown(incoming, stopped);
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
}

impl Health {
    const SERVICES: [&str; 2] = ["", PromptServiceServer::<Prompts>::NAME];

    /// Tells each change, and never ends.
    async fn follow(&mut self) {
        loop {
            let is_available = self.availability.changed().await;
            let status = if is_available { ServingStatus::Serving } else { ServingStatus::NotServing };
            for service in Self::SERVICES {
                self.reporter.set_service_status(service, status).await;
            }
        }
    }

    /// Tells that nothing is served any more.
    async fn end(&mut self) {
        for service in Self::SERVICES {
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
