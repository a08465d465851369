//! The compression of messages: gzip and zstd.

use std::io::{self, Read, Write};

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use bytes::{BufMut, Bytes, BytesMut};
use tonic::{Code, Status, metadata::MetadataMap};

/// The header that names the encoding of the messages that follow.
pub(crate) const GRPC_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
/// The header that names the encodings that the sender understands.
const GRPC_ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");
const ENCODINGS: &str = "identity,gzip,zstd";

/// In gRPC, a message follows a flag, which says whether it is compressed, and its length.
const FLAG_BYTES: usize = 1;
pub(crate) const PREFIX_BYTES: usize = FLAG_BYTES + 4;

/// Messages below this size are sent as they are.
const SMALL: usize = 1 << 10;
/// The most memory that zstd may use to decompress a message, as a power of two: 8 MiB, which its format recommends.
const ZSTD_WINDOW_LOG: u32 = 23;
/// The fastest levels: a page is compressed for every call.
const GZIP_LEVEL: u32 = 1;
const ZSTD_LEVEL: i32 = 1;

/// How a message is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Gzip,
    Zstd,
}

impl Encoding {
    fn named(name: &[u8]) -> Option<Self> {
        match name {
            b"gzip" => Some(Self::Gzip),
            b"zstd" => Some(Self::Zstd),
            _ => None,
        }
    }

    /// The value of `grpc-encoding`.
    pub(crate) fn name(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        })
    }

    /// How the compressed messages of a request are encoded.
    ///
    /// # Errors
    ///
    /// UNIMPLEMENTED for another encoding, as gRPC requires.
    pub(crate) fn of_request(headers: &HeaderMap) -> Result<Option<Self>, Status> {
        match headers.get(GRPC_ENCODING).map(HeaderValue::as_bytes) {
            None | Some(b"identity") => Ok(None),
            Some(name) => Self::named(name).map(Some).ok_or_else(|| {
                let mut metadata = MetadataMap::new();
                metadata.as_mut().insert(GRPC_ACCEPT_ENCODING, HeaderValue::from_static(ENCODINGS));
                let message = "the encoding of the message is unknown; this server knows gzip and zstd";
                Status::with_metadata(Code::Unimplemented, message, metadata)
            }),
        }
    }

    /// The first encoding in `grpc-accept-encoding` that this server knows.
    pub(crate) fn of_answer(headers: &HeaderMap) -> Option<Self> {
        let values = headers.get_all(GRPC_ACCEPT_ENCODING).into_iter();
        let mut names = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
        names.find_map(|name| Self::named(name.trim_ascii()))
    }

    /// Writes the decompressed message. Stops at the first error of the writer.
    pub(crate) fn decompress(self, mut message: &[u8], out: &mut impl Write) -> io::Result<()> {
        match self {
            Self::Gzip => io::copy(&mut flate2::bufread::GzDecoder::new(&mut message), out)?,
            Self::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(&mut message)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG)?;
                io::copy(&mut decoder, out)?
            }
        };
        if message.is_empty() { Ok(()) } else { Err(io::ErrorKind::InvalidData.into()) }
    }

    fn compress(self, message: &[u8]) -> io::Result<Vec<u8>> {
        match self {
            Self::Gzip => {
                let mut out = Vec::new();
                flate2::bufread::GzEncoder::new(message, flate2::Compression::new(GZIP_LEVEL)).read_to_end(&mut out)?;
                Ok(out)
            }
            Self::Zstd => zstd::bulk::compress(message, ZSTD_LEVEL),
        }
    }

    /// Compresses each of these messages of an answer that becomes smaller. The bytes are whole messages with their
    /// prefixes, none of them compressed.
    pub(crate) fn compress_all(self, mut messages: Bytes) -> Bytes {
        let mut out = BytesMut::new();
        while let Some((prefix, rest)) = messages.split_first_chunk::<PREFIX_BYTES>() {
            let [_, length @ ..] = *prefix;
            let length = PREFIX_BYTES + (u32::from_be_bytes(length) as usize).min(rest.len());
            let whole = messages.split_to(length);
            let message = whole.get(PREFIX_BYTES..).unwrap_or_default();
            match self.compress(message) {
                Ok(compressed) if message.len() >= SMALL && compressed.len() < message.len() => {
                    out.put(framed(1, &compressed));
                }
                // Compressing in memory does not fail; the message itself is an answer too.
                Ok(_) | Err(_) => out.extend_from_slice(&whole),
            }
        }
        out.freeze()
    }
}

/// A message after its flag and its length.
fn framed(flag: u8, message: &[u8]) -> Bytes {
    let mut framed = BytesMut::with_capacity(PREFIX_BYTES + message.len());
    framed.extend_from_slice(&prefix(flag, message.len()));
    framed.extend_from_slice(message);
    framed.freeze()
}

/// The flag and the length of a message.
pub(crate) fn prefix(flag: u8, length: usize) -> [u8; PREFIX_BYTES] {
    // Messages are smaller than their maximum size, or than what they were compressed from.
    let [a, b, c, d] = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    [flag, a, b, c, d]
}
