//! The rate of RecordUsage compared with COPY of the same rows, and the time of ListUsage during writes.

use sqlx::Connection;
use tokio::task::JoinSet;

use crate::{
    Result,
    measure::Bench,
    report::{Report, Target, thousands},
    timing::{Time, median, milliseconds},
    usage::{BATCH, Meter, copy},
};

/// The number of calls, each compared with a COPY.
const BATCHES: u64 = 100;
const WRITERS: u64 = 2;
const PAGES: usize = 2_000;

impl Bench<'_> {
    /// The calls and COPYs alternate, so that other load on the machine affects both alike.
    pub(super) async fn record(&self, report: &mut Report) -> Result<()> {
        let mut meter = Meter::connect(self.server, "recorded").await?;
        let mut connection = self.database.connect().await?;
        for workspace in ["recorded", "copied", "written"] {
            let sql = "delete from usage_records where workspace_id = $1";
            sqlx::query(sql).bind(workspace).execute(&mut connection).await?;
        }
        let (mut recorded, mut copied) = (Vec::new(), Vec::new());
        for batch in 0..BATCHES {
            recorded.push(meter.record(batch * BATCH).await?);
            copied.push(copy(&mut connection, batch * BATCH).await?);
        }
        connection.close().await?;
        let rate = |times: Vec<Time>| median(times).map(|time| BATCH as f64 / time.as_secs_f64());
        let (recorded, copied) = (rate(recorded)?, rate(copied)?);
        report.ratio(
            "rows a second by RecordUsage, 1,000 a call / by COPY of the same rows, p50",
            recorded / copied,
            Target::Shown,
            &format!("{} / {}", thousands(recorded as u64), thousands(copied as u64)),
        );
        Ok(())
    }

    /// Measures pages across the list, without and with concurrent writers.
    pub(super) async fn list_while_recorded(&self, report: &mut Report) -> Result<()> {
        let mut reader = Meter::connect(self.server, "written").await?;
        let mut writers = Vec::new();
        for number in 0..WRITERS {
            let mut writer = Meter::connect(self.server, "written").await?;
            // The writers' numbers interleave, so that all write at the beginning of the list.
            for batch in 0..BATCHES / 2 {
                writer.record((batch * WRITERS + number) * BATCH).await?;
            }
            writers.push(writer);
        }
        let alone = pages(&mut reader).await?;
        let mut writing = JoinSet::new();
        for (number, writer) in (0..).zip(writers) {
            writing.spawn(record_on(writer, number));
        }
        let meanwhile = pages(&mut reader).await?;
        if let Some(ended) = writing.try_join_next() {
            ended??;
        }
        writing.shutdown().await;
        report.ratio(
            "time of a page of ListUsage while 2 record without a pause / with nobody else there, p50",
            meanwhile.as_secs_f64() / alone.as_secs_f64(),
            Target::Shown,
            &format!("{} / {}", milliseconds(meanwhile), milliseconds(alone)),
        );
        Ok(())
    }
}

/// Records usage in a loop, until it is stopped.
async fn record_on(mut writer: Meter, number: u64) -> Result<()> {
    for batch in BATCHES / 2.. {
        writer.record((batch * WRITERS + number) * BATCH).await?;
    }
    Ok(())
}

/// The typical time of a page on a walk.
async fn pages(reader: &mut Meter) -> Result<Time> {
    let (mut times, mut token) = (Vec::new(), String::new());
    while times.len() < PAGES {
        let (time, next) = reader.page(token).await?;
        times.push(time);
        token = next;
    }
    median(times)
}
