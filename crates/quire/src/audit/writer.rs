use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel},
    },
    thread,
    time::Duration,
};

use metrics::{counter, describe_counter};
use platform::{Clock, Rarely, now, timestamp};
use tokio::sync::watch;

use super::{allowance::Allowances, file::RotatedFile, line};
use crate::error::Error;

/// How many lines can wait to be written, about 4 MB.
const MAX_WAITING: usize = 8_192;
/// How often the writer looks whether lines were suppressed.
const TICK: Duration = Duration::from_secs(1);
/// How long the end of the program waits for lines to be written.
const CLOSE_LIMIT: Duration = Duration::from_secs(5);
/// How long to wait until another attempt to tell the writer to end.
const PAUSE: Duration = Duration::from_millis(10);

/// Where lines go.
#[derive(Debug)]
pub(crate) enum Sink {
    File(RotatedFile),
    /// The program's log.
    Log,
}

/// A thread that writes lines, so that no call waits for a disk.
#[derive(Debug)]
pub(crate) struct Writer {
    /// `None` ends the thread.
    lines: SyncSender<Option<String>>,
    lost: Arc<Lost>,
    /// Closed when the thread has ended.
    ended: watch::Receiver<()>,
}

/// Lines that could not be written.
#[derive(Debug, Default)]
struct Lost {
    /// Since the log last said so.
    count: AtomicU64,
    logged: Rarely,
}

impl Writer {
    pub(crate) fn start(sink: Sink, allowances: Arc<Mutex<Allowances>>, clock: Clock) -> Result<Self, Error> {
        describe_counter!("audit_lines_lost_total", "Lines of the audit log that could not be written.");
        describe_counter!("audit_lines_suppressed_total", "Lines about refused calls that were only counted.");
        let (lines, waiting) = sync_channel(MAX_WAITING);
        let (end, ended) = watch::channel(());
        let lost = Arc::new(Lost::default());
        let thread = WriterThread { sink, allowances, clock, lost: Arc::clone(&lost) };
        let run = move || {
            thread.run(&waiting);
            drop(end);
        };
        thread::Builder::new().name("audit".to_owned()).spawn(run).map_err(Error::Thread)?;
        Ok(Self { lines, lost, ended })
    }

    /// Writes a line soon.
    pub(crate) fn write(&self, line: String) {
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) = self.lines.try_send(Some(line)) {
            self.lost.add(&io::Error::other("too many lines wait"));
        }
    }

    /// Waits until the lines are written, for a bounded time.
    pub(crate) async fn close(&self) {
        let mut ended = self.ended.clone();
        let end = async {
            while let Err(TrySendError::Full(_)) = self.lines.try_send(None) {
                tokio::time::sleep(PAUSE).await;
            }
            // An error says that the thread has ended.
            while ended.changed().await.is_ok() {}
        };
        if tokio::time::timeout(CLOSE_LIMIT, end).await.is_err() {
            tracing::error!("the last lines of the audit log could not be written");
        }
    }
}

struct WriterThread {
    sink: Sink,
    allowances: Arc<Mutex<Allowances>>,
    clock: Clock,
    lost: Arc<Lost>,
}

impl WriterThread {
    fn run(mut self, waiting: &Receiver<Option<String>>) {
        loop {
            match waiting.recv_timeout(TICK) {
                Ok(Some(line)) => self.write(&line),
                Err(RecvTimeoutError::Timeout) => {}
                Ok(None) | Err(RecvTimeoutError::Disconnected) => break,
            }
            let suppressed = self.allowances.lock().unwrap_or_else(PoisonError::into_inner).end_if_over();
            suppressed.iter().for_each(|line| self.write(&line.text()));
        }
        let suppressed = self.allowances.lock().unwrap_or_else(PoisonError::into_inner).end();
        suppressed.iter().for_each(|line| self.write(&line.text()));
    }

    /// Writes a line, and before it how many were lost.
    fn write(&mut self, line: &str) {
        let lost = self.lost.count.load(Ordering::Relaxed);
        let written = if lost == 0 {
            self.sink.write(line)
        } else {
            let told = self.sink.write(&line::lost(&timestamp(now(&self.clock)), lost));
            told.and_then(|()| {
                self.lost.count.fetch_sub(lost, Ordering::Relaxed);
                self.sink.write(line)
            })
        };
        if let Err(error) = written {
            self.lost.add(&error);
        }
    }
}

impl Sink {
    fn write(&mut self, line: &str) -> io::Result<()> {
        match self {
            Self::File(file) => file.write(line),
            Self::Log => {
                tracing::info!(target: "audit", "{line}");
                Ok(())
            }
        }
    }
}

impl Lost {
    fn add(&self, error: &io::Error) {
        self.count.fetch_add(1, Ordering::Relaxed);
        counter!("audit_lines_lost_total").increment(1);
        if let Some(times) = self.logged.times() {
            tracing::error!(%error, times, "cannot write the audit log");
        }
    }
}
