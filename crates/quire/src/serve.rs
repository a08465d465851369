//! `quire serve`.

use std::{io, time::Duration};

use keyset::Paging;
use pagination::{Clock, PageTokens};
use platform::{Ids, Platform};
use prompts::Prompts;
use quire_proto::prompts::v1::prompt_service_server::PromptServiceServer;
use sqlx::PgPool;
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
    pb::health_server::{Health, HealthServer},
    server::HealthReporter,
};

use crate::{
    arguments::Serve,
    database::{self, Database},
    error::Error,
    sample,
};

pub(crate) async fn serve(arguments: Serve) -> Result<(), Error> {
    let mut stop = Stop::listen()?;
    let started = tokio::select! {
        started = start(&arguments) => started?,
        () = stop.wait() => return Ok(()),
    };
    let Started { listener, server, pool, prompts } = started;
    let (health, health_server) = tonic_health::server::health_reporter();
    let routes = routes(prompts, &health, health_server).await?;
    let address = listener.local_addr().unwrap_or(arguments.listen);
    tracing::info!(%address, "serving");
    let served = run(listener, routes, health, stop, arguments.drain_timeout).await;
    // A call that was given up still holds its connection, which ends with the process.
    if let Ok(Drained::AllAnswered) = served {
        pool.close().await;
    }
    if let Some(server) = server {
        tokio::task::spawn_blocking(move || server.stop()).await??;
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
    server: Option<private_postgres::Server>,
    pool: PgPool,
    prompts: Prompts,
}

async fn start(arguments: &Serve) -> Result<Started, Error> {
    let token_keys = arguments.token_keys.as_deref().map(str::parse).transpose()?;
    let listener = bind(arguments).await?;
    let Database { options, token_keys, server } = database::open(arguments, token_keys).await?;
    platform::migrate(&options).await?;

    let clock = Clock::system();
    let tokens = PageTokens { keys: token_keys, time_to_live: arguments.token_ttl, clock: clock.clone() };
    let pool = platform::connect(options);
    let paging = Paging::new(pool.clone(), tokens);
    let platform = Platform { paging, ids: Ids::by_time(clock.clone()), clock };
    let prompts = Prompts::open(&platform).await?;
    if arguments.sample {
        sample::load(&prompts).await?;
    }
    Ok(Started { listener, server, pool, prompts })
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
    health: &HealthReporter,
    health_server: HealthServer<impl Health>,
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
        .add_service(prompts.server())
        .prepare())
}

/// Serves until told to stop, then lets calls in flight finish for as long as that may take.
async fn run(
    listener: TcpListener,
    routes: Routes,
    mut health: HealthReporter,
    mut stop: Stop,
    drain_timeout: Duration,
) -> Result<Drained, Error> {
    let (begin_drain, drain) = oneshot::channel();
    let stopped = async move {
        stop.wait().await;
        tracing::info!("stopping: letting calls in flight finish");
        for service in ["", PromptServiceServer::<Prompts>::NAME] {
            health.set_service_status(service, ServingStatus::NotServing).await;
            // Those who watch are told, and are then calls in flight no more.
            health.clear_service_status(service).await;
        }
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
            tracing::warn!("calls were still in flight after {}", humantime::format_duration(drain_timeout));
            Ok(Drained::SomeGivenUp)
        }
    }
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
