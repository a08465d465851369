//! The services that are served.

use std::{collections::BTreeSet, convert::Infallible};

use access::{Access, Methods};
use clap::ValueEnum;
use database::Availability;
use identity::{Identity, OPEN_METHODS};
use jobs::Jobs;
use memory::Memories;
use meter::Meter;
use platform::Platform;
use prompts::Prompts;
use registry::{Registry, Sweeper};
use tonic::{
    body::Body,
    codegen::{Service, http},
    server::NamedService,
    service::{Routes, RoutesBuilder},
};

use crate::{error::Error, gate::Gate, measure::Measure};

/// A service, as the command line calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum ServiceName {
    Prompts,
    Memory,
    Registry,
    Meter,
    Identity,
    Jobs,
}

impl ServiceName {
    pub(crate) const ALL: [Self; 6] =
        [Self::Prompts, Self::Memory, Self::Registry, Self::Meter, Self::Identity, Self::Jobs];
}

/// Services that are open, and the names that gRPC knows them by.
pub(crate) struct Services {
    pub(crate) routes: Routes,
    pub(crate) names: Vec<&'static str>,
    /// What is to run beside them, if the registry is among them.
    pub(crate) sweeper: Option<Sweeper>,
}

#[derive(Default)]
struct Builder {
    routes: RoutesBuilder,
    names: Vec<&'static str>,
    sweeper: Option<Sweeper>,
}

impl Services {
    /// Opens these services.
    pub(crate) async fn open(
        platform: &Platform,
        names: &[ServiceName],
        availability: &Availability,
    ) -> Result<Self, Error> {
        let methods = Methods::of_contract(&OPEN_METHODS).map_err(|error| Error::Descriptors(error.to_string()))?;
        let gate = Gate {
            measure: Measure::new(methods.clone()),
            access: Access::new(methods, platform.signing_keys.clone()),
            clock: platform.clock.clone(),
            availability: availability.clone(),
        };
        let mut builder = Builder::default();
        // One that is named twice is one.
        for name in names.iter().collect::<BTreeSet<_>>() {
            match name {
                ServiceName::Prompts => builder.add(Prompts::open(platform).await?.server()),
                ServiceName::Memory => builder.add(Memories::open(platform).await?.server()),
                ServiceName::Registry => {
                    let registry = Registry::open(platform).await?;
                    builder.sweeper = Some(registry.sweeper());
                    builder.add(registry.server());
                }
                ServiceName::Meter => builder.add(Meter::open(platform).await?.server()),
                ServiceName::Identity => builder.add(Identity::open(platform).await?.server()),
                ServiceName::Jobs => builder.add(Jobs::open(platform).await?.server()),
            }
        }
        let Builder { routes, names, sweeper } = builder;
        let routes = gate.around(routes.routes().into_axum_router()).into();
        Ok(Self { routes, names, sweeper })
    }
}

impl Builder {
    fn add<S>(&mut self, service: S)
    where
        S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send + 'static,
    {
        self.routes.add_service(service);
        self.names.push(S::NAME);
    }
}
