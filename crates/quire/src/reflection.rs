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

use crate::{audit::AuditLog, error::Error, gate::refused, stream_age};

/// Who may use reflection.
#[derive(Debug, Clone)]
pub(crate) struct Door {
    /// With signing keys, a caller needs an access token, with any scope.
    pub(crate) keys: Option<SigningKeys>,
    pub(crate) clock: Clock,
    pub(crate) audit: AuditLog,
}

/// Reflection of the services with these names, in both versions. A stream should be as short as a call, because its
/// requests may never arrive completely.
pub(crate) fn router(names: &[&str], door: Door, age: Duration) -> Result<Router, Error> {
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
        .route_layer(from_fn_with_state(door, authenticated)))
}

async fn authenticated(State(door): State<Door>, mut request: Request, next: Next) -> Response {
    let Door { keys, clock, audit } = door;
    match keys.map(|keys| keys.authenticate(request.headers(), now(&clock))) {
        Some(Err(error)) => {
            let mut audited = audit.begin(&mut request);
            let answer = refused(Status::from(CallError::from(error)), request).await;
            audited.is_answered_with(answer.headers());
            answer
        }
        Some(Ok(_)) | None => next.run(request).await,
    }
}
