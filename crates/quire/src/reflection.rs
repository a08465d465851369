//! The reflection service, which describes the services to generic clients.

use std::time::Duration;

use access::SigningKeys;
use axum::{
    Router,
    extract::{Request, State},
    middleware::{Next, from_fn_with_state},
    response::Response,
};
use platform::{Clock, Error as CallError, now};
use tonic::{Status, service::Routes};
use tonic_health::pb::health_server;
use tonic_reflection::server::Builder;

use crate::{error::Error, gate::refused, stream_age};

/// Reflection of the services with these names, in both versions. With signing keys, a caller needs an access token,
/// with any scope. A stream should be as short as a call, because its
/// requests may never arrive completely.
pub(crate) fn router(names: &[&str], keys: Option<SigningKeys>, clock: Clock, age: Duration) -> Result<Router, Error> {
    let builder = || {
        let builder = Builder::configure()
            .register_encoded_file_descriptor_set(quire_proto::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            // The messages in error details, for clients that print them.
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET);
        let names = names.iter().chain([&health_server::SERVICE_NAME]);
        names.fold(builder, |builder, name| builder.with_service_name(*name))
    };
    Ok(Routes::new(builder().build_v1()?)
        .add_service(builder().build_v1alpha()?)
        .into_axum_router()
        .reset_fallback()
        .route_layer(from_fn_with_state(age, stream_age::bound))
        .route_layer(from_fn_with_state((keys, clock), authenticated)))
}

async fn authenticated(
    State((keys, clock)): State<(Option<SigningKeys>, Clock)>,
    request: Request,
    next: Next,
) -> Response {
    match keys.map(|keys| keys.authenticate(request.headers(), now(&clock))) {
        Some(Err(error)) => refused(Status::from(CallError::from(error)), request).await,
        Some(Ok(_)) | None => next.run(request).await,
    }
}
