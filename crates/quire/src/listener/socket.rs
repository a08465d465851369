use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use super::activity::Activity;

/// How much is read before what it causes is written.
const MAX_READ: usize = 64 * 1024;

/// A client's socket. HTTP/2 keeps an answer to every bad frame in memory until it is written, and reads on meanwhile.
/// So that a client cannot fill the memory, nothing is read while the client does not read, and only a little at once.
#[derive(Debug)]
pub(crate) struct Socket {
    stream: TcpStream,
    activity: Arc<Activity>,
    is_blocked: bool,
    /// What was read since the reader last had to wait.
    read: usize,
    /// Who waits until the socket is not blocked.
    reader: Option<Waker>,
}

impl Socket {
    pub(crate) fn new(stream: TcpStream, activity: Arc<Activity>) -> Self {
        Self { stream, activity, is_blocked: false, read: 0, reader: None }
    }

    /// Remembers whether a write was possible.
    fn written(&mut self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if self.is_blocked != written.is_pending() {
            self.is_blocked = written.is_pending();
            if self.is_blocked {
                self.activity.blocked.begin();
                return written;
            }
            self.activity.blocked.end();
            if let Some(reader) = self.reader.take() {
                reader.wake();
            }
        }
        written
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_blocked {
            self.reader = Some(context.waker().clone());
            return Poll::Pending;
        }
        if self.read >= MAX_READ {
            self.read = 0;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.read = if polled.is_pending() { 0 } else { self.read + buffer.filled().len() - before };
        polled
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.written(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.written(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
