//! The services of the program.

use access::{Access, Methods};
use database::Availability;
use futures_util::future::BoxFuture;
use platform::{Opened, Platform, Service};
use tonic::service::Routes;

use crate::{
    audit::AuditLog,
    error::Error,
    gate::{Bounds, Gate},
    measure::Measure,
};

/// All services. A new service is one line here, and one in Cargo.toml.
#[rustfmt::skip]
pub(crate) static SERVICES: &[&Service] = &[
    &prompts::SERVICE,
    &memory::SERVICE,
    &registry::SERVICE,
    &meter::SERVICE,
    &identity::SERVICE,
    &jobs::SERVICE,
];

/// The methods of the contract. Open methods are those of all services, even of services that this process does not
/// serve.
pub(crate) fn methods() -> Result<Methods, Error> {
    let open_methods: Vec<_> = SERVICES.iter().flat_map(|service| service.open_methods).copied().collect();
    Methods::of_contract(&open_methods).map_err(|error| Error::Descriptors(error.to_string()))
}

/// The open services.
pub(crate) struct Services {
    pub(crate) routes: Routes,
    /// Their full names in gRPC.
    pub(crate) names: Vec<&'static str>,
    /// Their background tasks.
    pub(crate) tasks: Vec<BoxFuture<'static, ()>>,
}

impl Services {
    /// Opens these services.
    pub(crate) async fn open(
        platform: &Platform,
        services: &[&'static Service],
        availability: &Availability,
        bounds: &Bounds,
        audit: &AuditLog,
    ) -> Result<Self, Error> {
        let methods = methods()?;
        let gate = Gate {
            measure: Measure::new(methods.clone()),
            audit: audit.clone(),
            access: Access::new(methods, platform.signing_keys.clone()),
            clock: platform.clock.clone(),
            availability: availability.clone(),
            bounds: bounds.clone(),
        };
        let mut router = Routes::default().into_axum_router();
        let mut all_tasks = Vec::new();
        for service in services {
            let Opened { routes, tasks } = (service.open)(platform).await?;
            // Only one of the merged routers may have a fallback.
            router = router.merge(routes.into_axum_router().reset_fallback());
            all_tasks.extend(tasks);
        }
        let names = services.iter().map(|service| service.grpc_name).collect();
        Ok(Self { routes: gate.around(router).into(), names, tasks: all_tasks })
    }
}
