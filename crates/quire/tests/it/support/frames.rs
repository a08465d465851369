//! A client that writes and reads the frames of HTTP/2, and need not behave.

use std::net::{IpAddr, SocketAddr};

use prost::Message;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

use super::within;

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

// Open methods.
pub const CHECK: &str = "/grpc.health.v1.Health/Check";
pub const WATCH: &str = "/grpc.health.v1.Health/Watch";

// Types of frames.
pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

// Flags.
pub const ACK: u8 = 1;
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

/// A setting: the initial window of streams.
pub const INITIAL_WINDOW_SIZE: u16 = 4;

/// A received frame.
#[derive(Debug)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

/// A connection.
pub struct Frames<S>(pub S);

/// Connects from this address.
pub async fn connect_from(local: &str, server: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(local.parse::<IpAddr>().unwrap(), 0)).unwrap();
    socket.connect(server).await.unwrap()
}

impl Frames<TcpStream> {
    /// Connects, and sends the preface and this setting.
    pub async fn connect(server: SocketAddr, window: u32) -> Self {
        Self::over(TcpStream::connect(server).await.unwrap(), window).await
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Frames<S> {
    /// Sends the preface and the initial window of streams.
    pub async fn over(mut stream: S, window: u32) -> Self {
        let setting = [INITIAL_WINDOW_SIZE.to_be_bytes().as_slice(), &window.to_be_bytes()].concat();
        stream.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, &setting)].concat()).await.unwrap();
        Self(stream)
    }

    pub async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.0.write_all(&frame(kind, flags, stream, payload)).await.unwrap();
    }

    /// Lets the server send more of a stream, or of the connection if `stream` is 0.
    pub async fn enlarge(&mut self, stream: u32, bytes: u32) {
        self.send(WINDOW_UPDATE, 0, stream, &bytes.to_be_bytes()).await;
    }

    /// Starts a call with a complete message.
    pub async fn call(&mut self, stream: u32, path: &str, message: &impl Message) {
        self.0.write_all(&call(stream, path, message)).await.unwrap();
    }

    /// The next frame, or `None` if the server has closed the connection.
    pub async fn next(&mut self) -> Option<Frame> {
        within("a frame arrived or the connection was closed", self.read()).await
    }

    async fn read(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.0.read_exact(&mut head).await.ok()?;
        let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        self.0.read_exact(&mut payload).await.ok()?;
        let stream = u32::from_be_bytes(head[5..].try_into().unwrap());
        Some(Frame { kind: head[3], flags: head[4], stream, payload })
    }

    /// The next frame of this type. Settings and pings are answered.
    pub async fn next_of(&mut self, kind: u8) -> Option<Frame> {
        while let Some(frame) = self.next().await {
            if frame.kind == kind {
                return Some(frame);
            }
            if matches!(frame.kind, SETTINGS | PING) && frame.flags & ACK == 0 {
                let payload = if frame.kind == PING { frame.payload } else { Vec::new() };
                let reply = self::frame(frame.kind, ACK, 0, &payload);
                // The server may have closed the connection.
                self.0.write_all(&reply).await.ok()?;
            }
        }
        None
    }

    /// Waits until the server closes the connection. Returns the types of the frames that it sent before.
    pub async fn closed(&mut self) -> Vec<u8> {
        let mut kinds = Vec::new();
        while let Some(frame) = self.next().await {
            kinds.push(frame.kind);
        }
        kinds
    }
}

/// Waits until the server closes the connection.
pub async fn closed(mut stream: impl AsyncRead + Unpin) {
    let mut buffer = [0; 1024];
    let end = async { while stream.read(&mut buffer).await.is_ok_and(|length| length > 0) {} };
    within("the connection was closed", end).await;
}

/// A frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The headers of a call, encoded without compression.
pub fn headers(path: &str) -> Vec<u8> {
    let headers = [
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "x"),
        (":path", path),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ];
    let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    headers.iter().flat_map(|(name, value)| [vec![0], text(name), text(value)].concat()).collect()
}

/// The frames of a call with a complete message.
pub fn call(stream: u32, path: &str, message: &impl Message) -> Vec<u8> {
    let message = message.encode_to_vec();
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    let message = [&[0], length.as_slice(), &message].concat();
    let headers = frame(HEADERS, END_HEADERS, stream, &headers(path));
    [headers, frame(DATA, END_STREAM, stream, &message)].concat()
}
