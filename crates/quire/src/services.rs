//! The services of the program.

use access::{Access, Methods};
use database::Availability;
use platform::{Opened, Platform, Service, Sweep};
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

/// The methods of the contract.
pub(crate) fn methods() -> Result<Methods, Error> {
    Methods::of_contract().map_err(|error| Error::Descriptors(error.to_string()))
}

/// The open services.
pub(crate) struct Services {
    pub(crate) routes: Routes,
    /// Their full names in gRPC.
    pub(crate) names: Vec<&'static str>,
    /// Their work in the background.
    pub(crate) sweeps: Vec<Box<dyn Sweep>>,
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
        let mut all_sweeps = Vec::new();
        for service in services {
            let Opened { routes, sweeps } = (service.open)(platform).await?;
            // Only one of the merged routers may have a fallback.
            router = router.merge(routes.into_axum_router().reset_fallback());
            all_sweeps.extend(sweeps);
        }
        let names = services.iter().map(|service| service.grpc_name).collect();
        Ok(Self { routes: gate.around(router).into(), names, sweeps: all_sweeps })
    }
}
