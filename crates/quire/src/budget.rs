//! The memory that calls in flight may hold, in all and for each tenant and connection.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use access::network;
use axum::{
    body::Body,
    extract::{Request, State},
    http::HeaderMap,
    middleware::Next,
    response::Response,
};
use bytes::Bytes;
use database::Tenant;
use http_body::Frame;
use http_body_util::{BodyExt, Full};
use keyset::internal_status;
use metrics::counter;
use platform::Caller;
use tokio::task::block_in_place;
use tonic::{Status, transport::server::TcpConnectInfo};

use crate::{
    compression::{Encoding, GRPC_ENCODING},
    message::{Messages, Refusal},
};

/// What a call holds besides its headers, its message and its answer: about the size of its tasks and buffers.
const CALL_BYTES: usize = 16 << 10;
/// The size in bytes from which an answer takes so long to compress that the thread's other tasks continue meanwhile.
const LARGE_ANSWER_BYTES: usize = 64 << 10;

/// The most bytes that calls in flight may hold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Of all calls.
    pub(crate) all: usize,
    /// Of the calls of one workspace, and of all calls without a credential.
    pub(crate) tenant: usize,
    /// Of the calls without a credential from one address.
    pub(crate) address: usize,
    /// Of the calls of one connection.
    pub(crate) connection: usize,
}

/// The bytes that calls in flight hold. Clones share the account.
#[derive(Debug, Clone)]
pub(crate) struct Budget {
    limits: Limits,
    held: Arc<Mutex<HashMap<Holder, usize>>>,
}

/// Whose calls hold bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Holder {
    All,
    /// All calls without a credential.
    Open,
    Workspace(Tenant),
    Address(Tenant),
    Connection(SocketAddr),
}

/// On whose behalf a call runs, and over which connection.
#[derive(Debug, Clone)]
pub(crate) struct Party {
    /// The workspace of the caller; without a credential, its address.
    pub(crate) tenant: Tenant,
    has_workspace: bool,
    connection: Option<SocketAddr>,
}

impl Party {
    /// The party of a call that was admitted.
    pub(crate) fn of(request: &Request) -> Self {
        let peer = request.extensions().get::<TcpConnectInfo>().and_then(TcpConnectInfo::remote_addr);
        let workspace = request.extensions().get::<Caller>().map(|caller| &caller.workspace);
        let tenant = match (workspace, peer) {
            (Some(workspace), _) => Tenant::new(&format!("workspace {workspace}")),
            (None, Some(peer)) => Tenant::new(&format!("address {}", network(peer.ip()))),
            (None, None) => Tenant::new("address unknown"),
        };
        Self { tenant, has_workspace: workspace.is_some(), connection: peer }
    }

    fn holders(&self) -> Vec<Holder> {
        let tenant = self.tenant.clone();
        let mut holders = if self.has_workspace {
            vec![Holder::All, Holder::Workspace(tenant)]
        } else {
            vec![Holder::All, Holder::Open, Holder::Address(tenant)]
        };
        holders.extend(self.connection.map(Holder::Connection));
        holders
    }
}

impl Holder {
    fn limit(&self, limits: &Limits) -> (usize, &'static str) {
        match self {
            Self::All => (limits.all, "call_memory"),
            Self::Open | Self::Workspace(_) => (limits.tenant, "tenant_memory"),
            Self::Address(_) => (limits.address, "address_memory"),
            Self::Connection(_) => (limits.connection, "connection_memory"),
        }
    }
}

impl Budget {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, held: Arc::default() }
    }

    /// The bytes that all calls hold.
    pub(crate) fn in_use(&self) -> usize {
        self.lock().get(&Holder::All).copied().unwrap_or_default()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Holder, usize>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Charges a call for itself, its headers and its message as it arrives, then runs it, and charges it for its answer
    /// until that was sent. A call that would hold too much is refused. The answer is compressed if the caller accepts that.
    pub(crate) async fn bound<F: Future<Output = Response>>(
        &self,
        party: &Party,
        request: Request,
        run: impl FnOnce(Request) -> F,
    ) -> Response {
        let charge = Arc::new(Charge::new(self.clone(), party));
        if charge.hold(|_| CALL_BYTES + header_bytes(request.headers())).is_err() {
            return too_much().into_http();
        }
        let encoding = Encoding::of_answer(request.headers());
        let (request, refusal) = match Messages::of(request, Arc::clone(&charge)) {
            Ok(messages) => messages,
            Err(status) => return status.into_http(),
        };
        let (mut head, body) = run(request).await.into_parts();
        if let Some(status) = refusal.get() {
            return status.clone().into_http();
        }
        // The message of a unary answer is there already, so this waits for nothing.
        let body = match body.collect().await {
            Ok(body) => body,
            Err(error) => return internal_status(&error).into_http(),
        };
        let (trailers, mut bytes) = (body.trailers().cloned(), body.to_bytes());
        if bytes.is_empty() && trailers.is_none() {
            return Response::from_parts(head, Body::empty());
        }
        // The answer takes over what its message was charged for, so that an answer of that size is never refused, such as
        // that of a write.
        if charge.hold(|_| CALL_BYTES + bytes.len()).is_err() {
            return too_much().into_http();
        }
        if let Some(encoding) = encoding {
            head.headers.insert(GRPC_ENCODING, encoding.name());
            let is_large = bytes.len() >= LARGE_ANSWER_BYTES;
            let compress = || encoding.compress_all(bytes);
            bytes = if is_large { block_in_place(compress) } else { compress() };
            // Holding less is never too much.
            let _: Result<(), TooMuch> = charge.hold(|_| CALL_BYTES + bytes.len());
        }
        let bytes = Bytes::from_owner(Charged { bytes, _charge: charge });
        let body = Full::new(bytes).with_trailers(std::future::ready(trailers.map(Ok)));
        Response::from_parts(head, Body::new(body))
    }
}

/// Middleware that charges calls whose answers go on: for themselves, their headers and their messages, until they end.
pub(crate) async fn bound_stream(State(budget): State<Budget>, request: Request, next: Next) -> Response {
    let charge = Arc::new(Charge::new(budget, &Party::of(&request)));
    if charge.hold(|_| CALL_BYTES + header_bytes(request.headers())).is_err() {
        return too_much().into_http();
    }
    let encoding = Encoding::of_answer(request.headers());
    let (request, refusal) = match Messages::of(request, Arc::clone(&charge)) {
        Ok(messages) => messages,
        Err(status) => return status.into_http(),
    };
    let mut answer = next.run(request).await;
    if let Some(status) = refusal.get() {
        return status.clone().into_http();
    }
    if let Some(encoding) = encoding {
        answer.headers_mut().insert(GRPC_ENCODING, encoding.name());
    }
    answer.map(|body| {
        Body::new(body.map_frame(move |frame| {
            // The body owns the charge.
            let _charge = &charge;
            streamed(frame, encoding, &refusal)
        }))
    })
}

/// A frame of a streamed answer: its messages are compressed, and it ends with the refusal of the request's messages, if
/// there is one.
fn streamed(frame: Frame<Bytes>, encoding: Option<Encoding>, refusal: &Refusal) -> Frame<Bytes> {
    match frame.into_data() {
        Ok(data) => Frame::data(match encoding {
            Some(encoding) => encoding.compress_all(data),
            None => data,
        }),
        Err(frame) => {
            let mut trailers = HeaderMap::new();
            let refused = refusal.get().is_some_and(|status| status.add_header(&mut trailers).is_ok());
            if refused { Frame::trailers(trailers) } else { frame }
        }
    }
}

pub(crate) fn too_much() -> Status {
    Status::resource_exhausted("too many bytes are in flight; make fewer calls at once, and read their answers")
}

/// What headers take in memory.
fn header_bytes(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum::<usize>() * 2
}

/// What a call holds. Dropping it releases that.
#[derive(Debug)]
pub(crate) struct Charge {
    budget: Budget,
    holders: Vec<Holder>,
    bytes: Mutex<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many bytes are in flight")]
pub(crate) struct TooMuch;

impl Charge {
    fn new(budget: Budget, party: &Party) -> Self {
        Self { budget, holders: party.holders(), bytes: Mutex::default() }
    }

    /// Changes how many bytes the call holds, given how many it held before.
    pub(crate) fn hold(&self, bytes: impl FnOnce(usize) -> usize) -> Result<(), TooMuch> {
        let mut held = self.budget.lock();
        let mut own = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = bytes(*own);
        for holder in self.holders.iter().filter(|_| bytes > *own) {
            let (limit, name) = holder.limit(&self.budget.limits);
            if held.get(holder).copied().unwrap_or_default() - *own + bytes > limit {
                counter!("limits_reached_total", "limit" => name).increment(1);
                return Err(TooMuch);
            }
        }
        for holder in &self.holders {
            let sum = held.entry(holder.clone()).or_default();
            *sum = *sum - *own + bytes;
            if *sum == 0 {
                held.remove(holder);
            }
        }
        *own = bytes;
        Ok(())
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        // Holding nothing is never too much.
        let _: Result<(), TooMuch> = self.hold(|_| 0);
    }
}

/// The bytes of an answer, charged until HTTP/2 has written the last of them.
struct Charged {
    bytes: Bytes,
    _charge: Arc<Charge>,
}

impl AsRef<[u8]> for Charged {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}
