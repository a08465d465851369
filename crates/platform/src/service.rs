use std::convert::Infallible;

use futures_util::future::LocalBoxFuture;
use keyset::CatalogueError;
use tonic::{
    body::Body,
    codegen::{Service as TowerService, http},
    server::NamedService,
    service::Routes,
};

use crate::{Platform, Sweep};

/// The registration of a service: everything that the program knows about it.
#[derive(Debug)]
pub struct Service {
    /// Its name on the command line, as in `prompts`.
    pub name: &'static str,
    /// Its full name in gRPC, as in `prompts.v1.PromptService`.
    pub grpc_name: &'static str,
    /// Opens the service on a migrated database. Fails when the tables do not fit the service's lists.
    pub open: fn(&Platform) -> LocalBoxFuture<'_, Result<Opened, CatalogueError>>,
    /// The records that the command line imports.
    pub imports: &'static [Import],
}

/// An open service.
pub struct Opened {
    /// Its methods.
    pub routes: Routes,
    /// Its work in the background, which the program's [`Sweeper`](crate::Sweeper) does.
    pub sweeps: Vec<Box<dyn Sweep>>,
}

impl Opened {
    /// A service as tonic serves it, without sweeps.
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
        Self { routes: Routes::new(server), sweeps: Vec::new() }
    }

    /// Adds a sweep.
    #[must_use]
    pub fn with_sweep(mut self, sweep: impl Sweep + 'static) -> Self {
        self.sweeps.push(Box::new(sweep));
        self
    }
}

/// A kind of record that the command line imports from a file, one record on each line in protobuf's JSON.
///
/// The rest follows from the descriptors. A line is an element of the one repeated message field of the batch method's
/// request. If that request has a field `pass_over_existing`, identical existing records are skipped.
#[derive(Debug)]
pub struct Import {
    /// The noun of the command, as in `quire usage import`.
    pub noun: &'static str,
    /// The plural name of the records, as in `usage records`.
    pub records: &'static str,
    /// The method that creates many records in one call, as in `RecordUsage`.
    pub batch_method: &'static str,
    /// The method that lists the records, as in `ListUsage`. Samples are loaded only if it returns no records.
    pub list_method: &'static str,
    /// The order of the list that an export follows. Its key identifies a record, and an imported copy has the same one.
    pub order: &'static str,
    /// The samples, one on each line: at most as many as one call accepts.
    pub samples: &'static str,
}
