//! What every call of a service goes through: it is measured, has a deadline, is made by somebody who may make it, and is
//! answered while the database is.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Request, State},
    middleware::{Next, from_fn_with_state},
    response::Response,
};
use database::Availability;
use platform::{Access, Measure};
use tonic::Status;

use crate::deadline::Deadline;

/// What goes around services.
pub(crate) struct Gate {
    pub(crate) measure: Measure,
    pub(crate) access: Access,
    pub(crate) availability: Availability,
}

impl Gate {
    /// Goes around these services. A path that leads to none of them is not measured.
    pub(crate) fn around(self, services: Router) -> Router {
        services.route_layer(from_fn_with_state(Arc::new(self), measured))
    }

    async fn answer(&self, mut request: Request, next: Next) -> Response {
        if let Err(error) = self.access.admit(&mut request) {
            return Status::from(error).into_http();
        }
        let mut availability = self.availability.clone();
        tokio::select! {
            biased;
            () = availability.lost() => Status::unavailable("the database is unavailable; try again").into_http(),
            answer = next.run(request) => answer,
        }
    }
}

async fn measured(State(gate): State<Arc<Gate>>, request: Request, next: Next) -> Response {
    let mut call = gate.measure.begin(request.uri().path());
    let answer = Deadline::of(request.headers()).bound(gate.answer(request, next)).await;
    call.is_answered_with(answer.headers());
    answer
}
