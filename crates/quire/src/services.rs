//! The services that are served.

use access::{Access, Methods};
use database::Availability;
use futures_util::future::BoxFuture;
use platform::{Opened, Platform, Service};
use tonic::service::Routes;

use crate::{error::Error, gate::Gate, measure::Measure};

/// Every service. A further one is a line here, and one in Cargo.toml.
#[rustfmt::skip]
pub(crate) static SERVICES: &[&Service] = &[
    &prompts::SERVICE,
    &memory::SERVICE,
    &registry::SERVICE,
    &meter::SERVICE,
    &identity::SERVICE,
    &jobs::SERVICE,
];

/// The methods of the contract. A method that needs no credential needs none where its service is not served.
pub(crate) fn methods() -> Result<Methods, Error> {
    let open_methods: Vec<_> = SERVICES.iter().flat_map(|service| service.open_methods).copied().collect();
    Methods::of_contract(&open_methods).map_err(|error| Error::Descriptors(error.to_string()))
}

/// Services that are open.
pub(crate) struct Services {
    pub(crate) routes: Routes,
    /// What gRPC calls them.
    pub(crate) names: Vec<&'static str>,
    /// What runs beside them.
    pub(crate) tasks: Vec<BoxFuture<'static, ()>>,
}

impl Services {
    /// Opens these services.
    pub(crate) async fn open(
        platform: &Platform,
        services: &[&'static Service],
        availability: &Availability,
    ) -> Result<Self, Error> {
        let methods = methods()?;
        let gate = Gate {
            measure: Measure::new(methods.clone()),
            access: Access::new(methods, platform.signing_keys.clone()),
            clock: platform.clock.clone(),
            availability: availability.clone(),
        };
        let mut router = Routes::default().into_axum_router();
        let mut all_tasks = Vec::new();
        for service in services {
            let Opened { routes, tasks } = (service.open)(platform).await?;
            // Of routers that are merged, one has a fallback.
            router = router.merge(routes.into_axum_router().reset_fallback());
            all_tasks.extend(tasks);
        }
        let names = services.iter().map(|service| service.grpc_name).collect();
        Ok(Self { routes: gate.around(router).into(), names, tasks: all_tasks })
    }
}
