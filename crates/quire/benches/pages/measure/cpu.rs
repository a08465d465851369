//! The CPU time of a page: what the server and Postgres use for it, and what pgbench and Postgres use for the statement
//! alone. What the client of the server uses is not counted; pgbench is the client of Postgres, as the server is.

use std::time::Duration;

use crate::{
    Result,
    client::Client,
    measure::Bench,
    processes::{cpu_time, cpu_time_with_children, settle},
    report::{Report, Target},
    timing::median,
    walk::middle,
};

/// Rounds of the two kinds, in turn. The medians of many short ones are told, since whatever else runs on the machine makes
/// some of them dearer, by the caches that it empties.
const ROUNDS: usize = 15;
/// A round takes about a second. The kernel tells the time in ticks of 10 ms, which is 4 us a page here and 1 us there.
const PAGES_BY_SERVER: usize = 2_500;
const PAGES_BY_PGBENCH: usize = 10_000;

/// The CPU time of a page in microseconds, in each round.
#[derive(Debug, Default)]
struct Cpu {
    /// Of the server, or of pgbench.
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

impl Bench<'_> {
    pub(super) async fn cpu(&self, report: &mut Report) -> Result<()> {
        let mut client = Client::connect(self.server).await?;
        let token = self.walk.token(middle(self.rows))?;
        let (mut by_server, mut by_pgbench) = (Cpu::default(), Cpu::default());
        for _ in 0..ROUNDS {
            self.round_of_server(&mut client, token, &mut by_server).await?;
            self.round_of_pgbench(&mut by_pgbench).await?;
        }
        let (server, postgres) = by_server.medians()?;
        let (pgbench, statement) = by_pgbench.medians()?;
        report.ratio(
            "CPU time of a page / of its statement by pgbench, p50",
            (server + postgres) / (pgbench + statement),
            Target::AtMost(2.5),
            &format!("{server:.0} us server + {postgres:.0} Postgres / {pgbench:.0} pgbench + {statement:.0} Postgres"),
        );
        Ok(())
    }

    async fn round_of_server(&self, client: &mut Client, token: &str, cpu: &mut Cpu) -> Result<()> {
        let (server, postmaster) = (self.server.process_id(), self.database.process_id());
        settle(postmaster).await?;
        let (server_before, postgres_before) = (cpu_time(server)?, cpu_time_with_children(postmaster)?);
        for _ in 0..PAGES_BY_SERVER {
            client.full_page(token).await?;
        }
        let by_server = cpu_time(server)?.saturating_sub(server_before);
        let by_postgres = cpu_time_with_children(postmaster)?.saturating_sub(postgres_before);
        cpu.add_round(PAGES_BY_SERVER, by_server, by_postgres);
        Ok(())
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
