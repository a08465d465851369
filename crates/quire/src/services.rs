//! The services that are served, and what goes around each of them.

use std::{collections::BTreeSet, convert::Infallible};

use clap::ValueEnum;
use identity::Identity;
use jobs::Jobs;
use memory::Memories;
use meter::Meter;
use platform::{Access, Availability, Measure, Methods, Platform};
use prompts::Prompts;
use registry::{Registry, Sweeper};
use tonic::{
    body::Body,
    codegen::{Service, http},
    server::NamedService,
    service::{Routes, RoutesBuilder},
};
use tower_layer::Layer;

use crate::error::Error;

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

/// What every call goes through on its way to a service.
struct Gate {
    measure: Measure,
    access: Access,
    availability: Availability,
}

struct Builder {
    gate: Gate,
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
        let methods = Methods::of_contract().map_err(|error| Error::Descriptors(error.to_string()))?;
        let gate = Gate {
            measure: Measure::new(methods.clone()),
            access: Access::new(methods, platform.access_tokens.clone()),
            availability: availability.clone(),
        };
        let mut builder = Builder { gate, routes: Routes::builder(), names: Vec::new(), sweeper: None };
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
        let Builder { routes, names, sweeper, .. } = builder;
        Ok(Self { routes: routes.routes(), names, sweeper })
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
        let Gate { measure, access, availability } = &self.gate;
        self.routes.add_service(measure.layer(access.layer(availability.layer(service))));
        self.names.push(S::NAME);
    }
}
