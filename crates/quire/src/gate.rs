//! The middleware of every call to a service: metrics, the audit log, the deadline, authorization, and the availability of the
//! database.

use std::{sync::Arc, time::Duration};

use access::Access;
use axum::{
    Router,
    extract::{Request, State},
    middleware::{Next, from_fn_with_state},
    response::Response,
};
use database::Availability;
use futures_util::StreamExt;
use platform::{Audit, Clock, Error, MAX_OPEN_REQUEST_BYTES, now};
use tokio::time::{error::Elapsed, timeout};
use tonic::Status;
use tracing::Instrument;

use crate::{
    audit::{AuditLog, WORKSPACE_INVALID, note_caller},
    budget::{Budget, Party},
    measure::Measure,
    protocol,
};

/// How long to wait for the message of a refused call.
const MESSAGE_LIMIT: Duration = Duration::from_millis(100);

/// The middleware around services.
pub(crate) struct Gate {
    pub(crate) measure: Measure,
    pub(crate) audit: AuditLog,
    pub(crate) access: Access,
    pub(crate) clock: Clock,
    pub(crate) availability: Availability,
    pub(crate) bounds: Bounds,
}

/// What calls may take.
#[derive(Debug, Clone)]
pub(crate) struct Bounds {
    pub(crate) budget: Budget,
    /// The maximum time of a call, including its message, even if the caller's timeout is longer.
    pub(crate) call_timeout: Duration,
}

impl Gate {
    /// Wraps these services. Calls of other paths are not measured.
    pub(crate) fn around(self, services: Router) -> Router {
        services.route_layer(from_fn_with_state(Arc::new(self), measured))
    }

    async fn answer(&self, mut request: Request, next: Next) -> Response {
        let admitted = self.access.admit(&mut request, now(&self.clock));
        note_caller(&request);
        if let Err(error) = admitted {
            if let access::Error::Workspace = error {
                Audit::of_http(&request).note(|notes| notes.reason = Some(WORKSPACE_INVALID));
            }
            return refused(Status::from(Error::from(error)), request).await;
        }
        if !self.availability.is_available() {
            return refused(unavailable(), request).await;
        }
        let party = Party::of(&request);
        let answer = self.bounds.budget.bound(&party, request, |request| next.run(request));
        let mut availability = self.availability.clone();
        tokio::select! {
            biased;
            () = availability.lost() => unavailable().into_http(),
            answer = party.tenant.clone().scope(answer) => answer,
        }
    }
}

fn unavailable() -> Status {
    Status::unavailable("the database is unavailable; try again")
}

/// Refuses a call before it reaches its service. A short message is read and discarded first: in HTTP/2, unread
/// messages count as errors of their connection, and too many of them close it, with all other calls on it.
pub(crate) async fn refused(status: Status, request: Request) -> Response {
    let mut message = request.into_body().into_data_stream();
    let read = async {
        let mut bytes = 0;
        while let Some(Ok(data)) = message.next().await {
            bytes += data.len();
            if bytes > MAX_OPEN_REQUEST_BYTES {
                return;
            }
        }
    };
    // The message may never arrive.
    let _: Result<(), Elapsed> = timeout(MESSAGE_LIMIT, read).await;
    status.into_http()
}

async fn measured(State(gate): State<Arc<Gate>>, mut request: Request, next: Next) -> Response {
    let mut audited = gate.audit.begin(&mut request);
    let mut call = gate.measure.begin(&request);
    let answer = protocol::answer(request, gate.bounds.call_timeout, |request| gate.answer(request, next));
    let answer = answer.instrument(call.span.clone()).await;
    call.is_answered_with(answer.headers());
    audited.is_answered_with(answer.headers());
    answer
}
