//! Pages a second, as eight clients get them that ask without a pause.

use std::sync::Arc;

use tokio::task::JoinSet;

use crate::{
    Result,
    client::Client,
    measure::{Bench, Subject},
    report::{Report, Target, thousands},
    timing::{Stopwatch, Time, median},
};

const CONNECTIONS: usize = 8;
const ROUNDS: usize = 9;
const SECONDS: u64 = 2;
/// From one page of a client to its next, in tokens: far enough that no two pages in a row are near each other, and a prime,
/// so that it is long before one comes again.
const STRIDE: usize = 7_919;

/// What clients do with the rows of a page. What they do takes time on the processors that the server has as well.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rows {
    /// They make messages of them, as a program would.
    Decoded,
    /// Nothing, as pgbench does nothing with the rows of a statement.
    Unread,
}

impl Bench<'_> {
    pub(super) async fn rate(&self, report: &mut Report) -> Result<()> {
        let kinds = [(Rows::Decoded, "decoded", 0.33), (Rows::Unread, "left as bytes", 0.4)];
        let mut rates: Vec<(Rows, Subject<'_>, Vec<f64>)> = Vec::new();
        for subject in self.subjects() {
            // Has the server open its connections to Postgres, and each of them prepare the statement.
            round(subject, 1, Rows::Decoded).await?;
            rates.extend(kinds.map(|(rows, ..)| (rows, subject, Vec::new())));
        }
        let mut by_pgbench = Vec::new();
        for _ in 0..ROUNDS {
            for (rows, subject, rates) in &mut rates {
                rates.push(round(*subject, SECONDS, *rows).await?);
            }
            by_pgbench.push(self.pgbench.for_seconds(CONNECTIONS, SECONDS).await?.rate);
        }
        let by_pgbench = median(by_pgbench)?;
        for (rows, name, target) in kinds {
            let (mut ratios, mut from) = (Vec::new(), Vec::new());
            for (_, subject, rates) in rates.iter().filter(|(of, ..)| *of == rows) {
                let rate = median(rates.clone())?;
                ratios.push((subject.name, rate / by_pgbench));
                from.push(format!("{} {}", subject.name, thousands(rate as u64)));
            }
            report.compared(
                &format!("pages a second with 8 connections, rows {name} / of their statement by pgbench, p50"),
                &ratios,
                Target::AtLeast(target),
                &format!("{} / pgbench {}", from.join(", "), thousands(by_pgbench as u64)),
            )?;
        }
        Ok(())
    }
}

/// Pages a second with one call in flight on each connection, all over the list.
async fn round(subject: Subject<'_>, seconds: u64, rows: Rows) -> Result<f64> {
    let tokens: Arc<[String]> = subject.walk.tokens.clone().into();
    let mut clients = JoinSet::new();
    for number in 0..CONNECTIONS {
        let (mut client, tokens) = (Client::connect(subject.server).await?, tokens.clone());
        clients.spawn(async move {
            let stopwatch = Stopwatch::start();
            let mut place = number * tokens.len() / CONNECTIONS;
            let mut pages = 0_u32;
            while stopwatch.elapsed() < Time::from_secs(seconds) {
                let token = tokens.get(place).ok_or("there are no tokens")?;
                match rows {
                    Rows::Decoded => drop(client.full_page(token).await?),
                    Rows::Unread => client.unread_page(token).await?,
                }
                place = (place + STRIDE) % tokens.len();
                pages += 1;
            }
            Result::Ok(f64::from(pages) / stopwatch.elapsed().as_secs_f64())
        });
    }
    let mut rate = 0.0;
    while let Some(client) = clients.join_next().await {
        rate += client??;
    }
    Ok(rate)
}
