//! The memory of the server while many clients walk the list.

use tokio::task::JoinSet;

use crate::{
    Result,
    client::{Ask, Client},
    measure::Bench,
    processes::memory,
    report::{Report, Target},
    timing::{Stopwatch, Time, median},
    walk::STEP,
};

const CLIENTS: usize = 32;
const TIME: Time = Time::from_secs(10);

impl Bench<'_> {
    pub(super) async fn memory(&self, report: &mut Report) -> Result<()> {
        let mut walks = JoinSet::new();
        for _ in 0..CLIENTS {
            walks.spawn(walk(Client::connect(self.server).await?));
        }
        let mut samples = Vec::new();
        let stopwatch = Stopwatch::start();
        while stopwatch.elapsed() < TIME {
            tokio::time::sleep(Time::from_millis(100)).await;
            samples.push(memory(self.server.process_id(), "VmRSS")?);
        }
        while let Some(walk) = walks.join_next().await {
            walk??;
        }
        // The kernel's high-water mark includes every peak, and also everything that the server did before.
        let most = memory(self.server.process_id(), "VmHWM")?;
        let mebibytes = |kibibytes: u64| kibibytes as f64 / 1024.0;
        report.value(
            "memory of the server, with 32 clients walking by 200 rows",
            (mebibytes(most), "MiB"),
            Target::Below(64.0),
            &format!("resident: {:.1} MiB at most, {:.1} p50", mebibytes(most), mebibytes(median(samples)?)),
        );
        Ok(())
    }
}

/// Walks the list until the time is up, and starts again at the end.
async fn walk(mut client: Client) -> Result<()> {
    let stopwatch = Stopwatch::start();
    let mut token = String::new();
    while stopwatch.elapsed() < TIME {
        token = client.page(Ask { size: STEP.try_into()?, token, tag: None }).await?.next;
    }
    Ok(())
}
