//! The CPU time of a page: what a server and Postgres use for it, and what pgbench and Postgres use for the statement
//! alone. What the client of a server uses is not counted; pgbench is the client of Postgres, as the server is.

use std::time::Duration;

use crate::{
    Result,
    client::Client,
    measure::{Bench, Subject},
    processes::{cpu_time, cpu_time_with_children, settle},
    report::{Report, Target},
    timing::{Stopwatch, median},
    walk::middle,
};

/// Rounds of each kind, in turn. The medians of many short ones are told, since whatever else runs on the machine makes
/// some of them dearer, by the caches that it empties.
const ROUNDS: usize = 15;
/// A round takes about a second. The kernel tells the time in ticks of 10 ms, which is 4 us a page here and 1 us there.
const PAGES_BY_SERVER: usize = 2_500;
/// A round of a server whose pages take longer ends after this time.
const MOST_TIME: Duration = Duration::from_secs(3);
const PAGES_BY_PGBENCH: usize = 10_000;

/// The CPU time of a page in microseconds, in each round.
#[derive(Debug, Default)]
struct Cpu {
    /// Of a server, or of pgbench.
    client: Vec<f64>,
    postgres: Vec<f64>,
}

impl Cpu {
    fn add_round(&mut self, pages: usize, client: Duration, postgres: Duration) {
        let of_a_page = |time: Duration| time.as_secs_f64() * 1e6 / pages as f64;
        self.client.push(of_a_page(client));
        self.postgres.push(of_a_page(postgres));
    }

    fn medians(self) -> Result<(f64, f64)> {
        Ok((median(self.client)?, median(self.postgres)?))
    }
}

/// A program that serves the list, and the CPU time of its pages.
struct Served<'a> {
    subject: Subject<'a>,
    client: Client,
    token: &'a str,
    cpu: Cpu,
}

impl<'a> Served<'a> {
    async fn new(subject: Subject<'a>, depth: u64) -> Result<Self> {
        let (client, token) = (Client::connect(subject.server).await?, subject.walk.token(depth)?);
        Ok(Self { subject, client, token, cpu: Cpu::default() })
    }

    async fn round(&mut self, postmaster: u32) -> Result<()> {
        let server = self.subject.server.process_id();
        settle(postmaster).await?;
        let (server_before, postgres_before) = (cpu_time(server)?, cpu_time_with_children(postmaster)?);
        let (mut pages, stopwatch) = (0, Stopwatch::start());
        while pages < PAGES_BY_SERVER && stopwatch.elapsed() < MOST_TIME {
            self.client.full_page(self.token).await?;
            pages += 1;
        }
        let by_server = cpu_time(server)?.saturating_sub(server_before);
        let by_postgres = cpu_time_with_children(postmaster)?.saturating_sub(postgres_before);
        self.cpu.add_round(pages, by_server, by_postgres);
        Ok(())
    }
}

impl Bench<'_> {
    pub(super) async fn cpu(&self, report: &mut Report) -> Result<()> {
        let mut served = Vec::new();
        for subject in self.subjects() {
            served.push(Served::new(subject, middle(self.rows)).await?);
        }
        let mut by_pgbench = Cpu::default();
        for _ in 0..ROUNDS {
            for served in &mut served {
                served.round(self.database.process_id()).await?;
            }
            self.round_of_pgbench(&mut by_pgbench).await?;
        }
        let (pgbench, statement) = by_pgbench.medians()?;
        let (mut ratios, mut from) = (Vec::new(), Vec::new());
        for Served { subject, cpu, .. } in served {
            let (server, postgres) = cpu.medians()?;
            ratios.push((subject.name, (server + postgres) / (pgbench + statement)));
            from.push(format!("{} {server:.0} us + {postgres:.0} Postgres", subject.name));
        }
        report.compared(
            "CPU time of a page / of its statement by pgbench, p50",
            &ratios,
            Target::AtMost(1.9),
            &format!("{} / pgbench {pgbench:.0} + {statement:.0}", from.join(", ")),
        )
    }

    async fn round_of_pgbench(&self, cpu: &mut Cpu) -> Result<()> {
        let postmaster = self.database.process_id();
        settle(postmaster).await?;
        let before = cpu_time_with_children(postmaster)?;
        let by_pgbench = self.pgbench.pages(PAGES_BY_PGBENCH).await?.cpu;
        // Its connection ends a little later than pgbench.
        settle(postmaster).await?;
        let by_postgres = cpu_time_with_children(postmaster)?.saturating_sub(before);
        cpu.add_round(PAGES_BY_PGBENCH, by_pgbench, by_postgres);
        Ok(())
    }
}
