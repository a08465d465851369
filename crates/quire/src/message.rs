//! The messages of a request: their framing, their compression and their sizes.

use std::{
    io, mem,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll, ready},
};

use axum::{body::Body, extract::Request};
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame};
use metrics::counter;
use platform::{Error, MAX_OPEN_REQUEST_BYTES};
use prost::Message;
use quire_proto::requests::{LARGE_REQUEST_BYTES, alone, max_request_bytes};
use tonic::Status;
use tonic_health::pb::HealthCheckRequest;
use tonic_reflection::pb::v1::ServerReflectionRequest;

use crate::{
    budget::{Charge, TooMuch, too_much},
    compression::{Encoding, GRPC_ENCODING, PREFIX_BYTES, prefix},
};

/// The status of a call whose messages were refused. Libraries answer such a call with a status of their own.
pub(crate) type Refusal = Arc<OnceLock<Status>>;

/// What the messages of a method may be.
struct Rules {
    /// The maximum size of a message.
    most: usize,
    /// Whether a call can have other than one message.
    is_stream: bool,
    /// Checks a message that tonic's own codec decodes. [`RequestCodec`](quire_proto::requests::RequestCodec) decodes those
    /// of the services.
    check: Option<fn(&[u8]) -> bool>,
}

impl Rules {
    fn of(path: &str) -> Self {
        let open = |is_stream, check| Self { most: MAX_OPEN_REQUEST_BYTES, is_stream, check: Some(check) };
        match max_request_bytes(path) {
            Some(most) => Self { most, is_stream: false, check: None },
            None if path.starts_with("/grpc.health.") => open(false, is::<HealthCheckRequest>),
            None => open(true, is::<ServerReflectionRequest>),
        }
    }
}

fn is<M: Message + Default>(message: &[u8]) -> bool {
    M::decode(message).is_ok()
}

/// The body of a request. It charges the call for the bytes as they arrive, refuses a message when its length has
/// arrived if it is too large, and decompresses it.
pub(crate) struct Messages {
    body: Body,
    charge: Arc<Charge>,
    rules: Rules,
    encoding: Option<Encoding>,
    refusal: Refusal,
    /// What has arrived and was not read yet.
    arrived: Bytes,
    /// How many messages have begun.
    count: usize,
    state: State,
}

enum State {
    /// This much of a prefix has arrived.
    Prefix(Vec<u8>),
    /// So many bytes of the message are missing. It is collected if it must be decompressed or checked.
    Message { missing: usize, is_compressed: bool, collected: Option<Vec<u8>> },
    /// The prefix of this message has gone to tonic, which makes room for the message when it has read the prefix.
    Whole(Bytes),
}

impl Messages {
    /// Reads the messages of this request. Also returns where their refusal will be.
    ///
    /// # Errors
    ///
    /// UNIMPLEMENTED for an unknown encoding.
    pub(crate) fn of(request: Request, charge: Arc<Charge>) -> Result<(Request, Refusal), Status> {
        let (mut head, body) = request.into_parts();
        let encoding = Encoding::of_request(&head.headers)?;
        head.headers.remove(GRPC_ENCODING);
        let refusal = Refusal::default();
        let messages = Self {
            body,
            charge,
            rules: Rules::of(head.uri.path()),
            encoding,
            refusal: refusal.clone(),
            arrived: Bytes::new(),
            count: 0,
            state: State::Prefix(Vec::new()),
        };
        Ok((Request::from_parts(head, Body::new(messages)), refusal))
    }

    fn refuse(&self, status: Status) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Poll::Ready(Some(Err(self.refusal.get_or_init(|| status).clone())))
    }

    /// Reads what has arrived. Returns bytes for tonic, or nothing when more must arrive.
    fn read(&mut self) -> Result<Option<Bytes>, Status> {
        loop {
            match &mut self.state {
                State::Message { missing: 0, is_compressed, collected } => {
                    let (is_compressed, collected) = (*is_compressed, collected.take());
                    self.state = State::Prefix(Vec::new());
                    if let Some(message) = collected {
                        let message = self.whole(message, is_compressed)?;
                        let prefix = Bytes::from_owner(prefix(0, message.len()));
                        self.state = State::Whole(message);
                        return Ok(Some(prefix));
                    }
                }
                State::Whole(message) => {
                    let message = mem::take(message);
                    self.state = State::Prefix(Vec::new());
                    return Ok(Some(message));
                }
                _ if self.arrived.is_empty() => return Ok(None),
                State::Prefix(prefix) => {
                    let length = self.arrived.len().min(PREFIX_BYTES - prefix.len());
                    prefix.extend_from_slice(&self.arrived.split_to(length));
                    if let Ok(prefix) = <[u8; PREFIX_BYTES]>::try_from(prefix.as_slice())
                        && let Some(prefix) = self.begin(prefix)?
                    {
                        return Ok(Some(prefix));
                    }
                }
                State::Message { missing, collected, .. } => {
                    let bytes = self.arrived.split_to(self.arrived.len().min(*missing));
                    *missing -= bytes.len();
                    match collected {
                        Some(collected) => collected.extend_from_slice(&bytes),
                        None => return Ok(Some(bytes)),
                    }
                }
            }
        }
    }

    /// Begins a message after its prefix. Returns the prefix if the message goes to tonic as it arrives.
    fn begin(&mut self, prefix: [u8; PREFIX_BYTES]) -> Result<Option<Bytes>, Status> {
        let [flag, length @ ..] = prefix;
        let missing = u32::from_be_bytes(length) as usize;
        let is_compressed = match (flag, self.encoding) {
            (0, _) => false,
            (1, Some(_)) => true,
            (1, None) => return Err(malformed("the message is compressed, but there is no grpc-encoding")),
            _ => return Err(malformed("the first byte of a message must be 0, or 1 if it is compressed")),
        };
        if missing > self.rules.most {
            return Err(too_large(&format!("the request has {missing} bytes"), self.rules.most));
        }
        self.count += 1;
        if self.count > 1 && !self.rules.is_stream {
            return Err(malformed("the call must have one message"));
        }
        let is_collected = is_compressed || self.rules.check.is_some();
        self.state = State::Message { missing, is_compressed, collected: is_collected.then(Vec::new) };
        Ok((!is_collected).then(|| Bytes::copy_from_slice(&prefix)))
    }

    /// A collected message, decompressed.
    fn whole(&self, message: Vec<u8>, is_compressed: bool) -> Result<Bytes, Status> {
        let message = match self.encoding.filter(|_| is_compressed) {
            Some(encoding) => {
                let decompress = || self.decompressed(encoding, &message);
                // A short message can become a large one.
                let is_large = self.rules.most >= LARGE_REQUEST_BYTES;
                if is_large { alone(decompress) } else { decompress() }?
            }
            None => message.into(),
        };
        if self.rules.check.is_some_and(|is_valid| !is_valid(&message)) {
            return Err(refusal("MESSAGE_MALFORMED", "the message cannot be decoded".to_owned()));
        }
        Ok(message)
    }

    /// The decompressed message. It is decompressed twice: the first time only to learn its length, so that
    /// it is charged before it takes memory, and takes no more than it is charged for.
    fn decompressed(&self, encoding: Encoding, message: &[u8]) -> Result<Bytes, Status> {
        let mut length = Length { bytes: 0, most: self.rules.most };
        let counted = encoding.decompress(message, &mut length);
        if length.bytes > length.most {
            return Err(too_large("the decompressed request is too large", length.most));
        }
        let invalid = |_: io::Error| malformed("the message cannot be decompressed");
        counted.map_err(invalid)?;
        self.charge.hold(|held| held + length.bytes).map_err(|TooMuch| too_much())?;
        let mut whole = Vec::with_capacity(length.bytes);
        encoding.decompress(message, &mut whole).map_err(invalid)?;
        // Holding less is never too much.
        let _: Result<(), TooMuch> = self.charge.hold(|held| held.saturating_sub(message.len()));
        Ok(whole.into())
    }

    /// Checks that the request ends after a message.
    fn end(&self) -> Result<(), Status> {
        let is_between = matches!(&self.state, State::Prefix(prefix) if prefix.is_empty());
        let has_message = self.count > 0 || self.rules.is_stream;
        match (is_between, has_message) {
            (true, true) => Ok(()),
            // A reset with the code NO_ERROR ends the body too.
            _ if !self.body.is_end_stream() => Err(incomplete()),
            (true, false) => Err(malformed("the call must have one message")),
            (false, _) => Err(malformed("the request ends in the middle of a message")),
        }
    }
}

impl HttpBody for Messages {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        loop {
            match self.read() {
                Ok(Some(data)) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Ok(None) => {}
                Err(status) => return self.refuse(status),
            }
            match ready!(Pin::new(&mut self.body).poll_frame(context)).map(|frame| frame.map(Frame::into_data)) {
                Some(Ok(Ok(data))) if self.charge.hold(|bytes| bytes + data.len()).is_err() => {
                    return self.refuse(too_much());
                }
                Some(Ok(Ok(data))) => self.arrived = data,
                // Trailers, which have no meaning in a request.
                Some(Ok(Err(_))) => {}
                // The caller has reset the call or closed the connection.
                Some(Err(_)) => return self.refuse(incomplete()),
                None => return self.end().map_or_else(|status| self.refuse(status), |()| Poll::Ready(None)),
            }
        }
    }
}

/// Counts the bytes that are written, up to the first one too many.
struct Length {
    bytes: usize,
    most: usize,
}

impl io::Write for Length {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes += bytes.len();
        if self.bytes > self.most { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(bytes.len()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn incomplete() -> Status {
    Status::cancelled("the request did not arrive completely")
}

fn too_large(what: &str, most: usize) -> Status {
    counter!("limits_reached_total", "limit" => "request_bytes").increment(1);
    refusal("REQUEST_TOO_LARGE", format!("{what}; this method accepts at most {most} bytes"))
}

fn malformed(message: &str) -> Status {
    refusal("CALL_MALFORMED", message.to_owned())
}

fn refusal(reason: &'static str, message: String) -> Status {
    Error::Unreadable { message, reason }.into()
}
