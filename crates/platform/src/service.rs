use std::convert::Infallible;

use futures_util::future::{BoxFuture, LocalBoxFuture};
use keyset::CatalogueError;
use tonic::{
    body::Body,
    codegen::{Service as TowerService, http},
    server::NamedService,
    service::Routes,
};

use crate::Platform;

/// A service, as it registers: everything that the program knows of it.
#[derive(Debug)]
pub struct Service {
    /// What the command line calls it, as in `prompts`.
    pub name: &'static str,
    /// What gRPC calls it, as in `prompts.v1.PromptService`.
    pub grpc_name: &'static str,
    /// Opens it on a database that has been migrated. It fails when the database is not as the service's lists need it.
    pub open: fn(&Platform) -> LocalBoxFuture<'_, Result<Opened, CatalogueError>>,
    /// The paths of the methods that need no credential, as in `/identity.v1.IdentityService/CreateSession`. Most services
    /// have none.
    pub open_methods: &'static [&'static str],
    /// The records that the command line imports.
    pub imports: &'static [Import],
}

/// A service that is open.
pub struct Opened {
    /// Its methods.
    pub routes: Routes,
    /// What runs beside it. Each task is dropped at an await when the program stops.
    pub tasks: Vec<BoxFuture<'static, ()>>,
}

impl Opened {
    /// A service as tonic serves it, without tasks.
    pub fn new<S>(server: S) -> Self
    where
        S: TowerService<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send + 'static,
    {
        Self { routes: Routes::new(server), tasks: Vec::new() }
    }

    /// Adds a task.
    #[must_use]
    pub fn with_task(mut self, task: impl Future<Output = ()> + Send + 'static) -> Self {
        self.tasks.push(Box::pin(task));
        self
    }
}

/// Records that are imported from a file with one on each line, in protobuf's JSON.
///
/// The descriptors say the rest. A line is an element of the one repeated message field of the batch method's request. If
/// that request has a field `pass_over_existing`, identical existing records are skipped.
#[derive(Debug)]
pub struct Import {
    /// The noun of the command, as in `quire usage import`.
    pub noun: &'static str,
    /// What the records are called, as in `usage records`.
    pub records: &'static str,
    /// The method that creates many records in a call, as in `RecordUsage`.
    pub batch_method: &'static str,
    /// The method that lists the records, as in `ListUsage`. Samples are loaded only where it has none.
    pub list_method: &'static str,
    /// The samples, one on each line: at most as many as one call takes.
    pub samples: &'static str,
}
