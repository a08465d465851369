//! The rate of events from many concurrent writers, with and without the counters.

use std::sync::Arc;

use quire_proto::jobs::v1::{JobEvent, JobEventKind, JobResult};
use sqlx::{Connection, PgConnection};
use tokio::task::JoinSet;

use crate::{
    Result,
    jobs::{COUNTED, Jobs, UNCOUNTED},
    measure::Bench,
    report::{Report, Target, thousands},
    timing::{Stopwatch, median},
};

const WRITERS: usize = 16;
/// The number of rounds of each kind. The kinds alternate.
const ROUNDS: usize = 9;
/// The number of sets of jobs per writer and round. Each set goes through three states, with one call for each state
/// and one event for each job in a call.
const SETS: usize = 20;
const STATES: [JobEventKind; 3] = [JobEventKind::Submitted, JobEventKind::Started, JobEventKind::Completed];
/// The jobs of a set: those of one writer only, and those that all writers share, each writer with its own host.
const OWN: usize = 8;
const SHARED: usize = 2;

/// Disables the counting of jobs by status in one workspace. Calls still compute the changes of the counters, but for
/// each of the one or two rows Postgres calls this function instead of writing the row.
///
/// So the work that could make writers wait for each other is omitted: the counters' rows, their locks, and their new
/// versions in the table and in the WAL. A build without counters would also save the computation, which is only a sum
/// over the call's jobs.
const TAKE_OUT: &str = "
    create function pages_uncounted() returns trigger language plpgsql as 'begin return null; end';
    create trigger pages_uncounted before insert on job_status_counts for each row
        when (new.workspace_id = 'jobs-uncounted') execute function pages_uncounted()";
const PUT_BACK: &str = "drop function if exists pages_uncounted() cascade";

/// Whether the counters are correct in one workspace, and empty in the other.
const IS_AS_MEANT: &str = "
    select not exists (select from job_status_counts where workspace_id = $2) and not exists (
        select status, count(*) from jobs where workspace_id = $1 group by status
        except
        select status, sum(row_count) from job_status_counts where workspace_id = $1 group by status
    )";

impl Bench<'_> {
    pub(super) async fn append(&self, report: &mut Report) -> Result<()> {
        let mut connection = self.database.connect().await?;
        // An earlier run may have been interrupted.
        for sql in [PUT_BACK, TAKE_OUT] {
            sqlx::raw_sql(sql).execute(&mut connection).await?;
        }
        // Makes the server open its connections to Postgres and prepare the statements on each.
        self.round_of_events(COUNTED, 0).await?;
        let (mut counted, mut uncounted) = (Vec::new(), Vec::new());
        for round in 1..=ROUNDS {
            counted.push(self.round_of_events(COUNTED, round).await?);
            uncounted.push(self.round_of_events(UNCOUNTED, round).await?);
        }
        check(&mut connection).await?;
        sqlx::raw_sql(PUT_BACK).execute(&mut connection).await?;
        connection.close().await?;
        let (counted, uncounted) = (median(counted)?, median(uncounted)?);
        report.ratio(
            "events a second by AppendJobEvents with 16 writers, 10 a call, with counters / without, p50",
            counted / uncounted,
            Target::AtLeast(0.8),
            &format!("{} / {}", thousands(counted as u64), thousands(uncounted as u64)),
        );
        Ok(())
    }

    /// Returns events per second. The jobs are created before the measurement.
    async fn round_of_events(&self, workspace: &'static str, round: usize) -> Result<f64> {
        let mut maker = Jobs::connect(self.server).await?;
        let shared: Arc<[String]> = maker.create(workspace, SETS * SHARED).await?.into();
        let mut writers = Vec::new();
        for number in 0..WRITERS {
            let own = maker.create(workspace, SETS * OWN).await?;
            let jobs = Jobs::connect(self.server).await?;
            writers.push(Writer {
                jobs,
                workspace,
                name: format!("{round}-{number}"),
                number,
                own,
                shared: shared.clone(),
            });
        }
        let stopwatch = Stopwatch::start();
        let mut writing: JoinSet<_> = writers.into_iter().map(Writer::write).collect();
        while let Some(written) = writing.join_next().await {
            written??;
        }
        let events = WRITERS * SETS * STATES.len() * (OWN + SHARED);
        Ok(events as f64 / stopwatch.elapsed().as_secs_f64())
    }
}

struct Writer {
    jobs: Jobs,
    workspace: &'static str,
    /// Unique among all writers of all rounds.
    name: String,
    number: usize,
    own: Vec<String>,
    shared: Arc<[String]>,
}

impl Writer {
    async fn write(mut self) -> Result<()> {
        for set in 0..SETS {
            // Each writer starts at a different job, so that two writers rarely write to the same job at the same time.
            let shared = self.shared.iter().cycle().skip((set + self.number) * SHARED).take(SHARED);
            let ids: Vec<String> = self.own.iter().skip(set * OWN).take(OWN).chain(shared).cloned().collect();
            for kind in STATES {
                let events = ids.iter().map(|id| self.event(id, kind)).collect();
                self.jobs.append(self.workspace, events).await?;
            }
        }
        Ok(())
    }

    fn event(&self, job_id: &str, kind: JobEventKind) -> JobEvent {
        let result = JobResult { changed: true, exit_status: Some(0), bytes: 4_096, files: 3 };
        JobEvent {
            id: format!("{job_id}-{}-{}", self.name, kind as i32),
            job_id: job_id.to_owned(),
            kind: kind.into(),
            host: format!("host-{}", self.number),
            result: (kind == JobEventKind::Completed).then_some(result),
            ..Default::default()
        }
    }
}

async fn check(connection: &mut PgConnection) -> Result<()> {
    let is_as_meant: bool = sqlx::query_scalar(IS_AS_MEANT).bind(COUNTED).bind(UNCOUNTED).fetch_one(connection).await?;
    if is_as_meant { Ok(()) } else { Err("the counters are wrong".into()) }
}
