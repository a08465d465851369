//! The times of a page of jobs with its exact total, of the counts of all jobs, and of a page of jobs with a rare
//! status. Compared calls alternate.

use quire_proto::pagination::v1::TotalCount;

use crate::{
    Result,
    client::PAGE,
    jobs::{Answer, Jobs, RARE, Read, Workspace},
    measure::Bench,
    report::{Report, Target, thousands},
    timing::{Time, median, milliseconds},
};

const UNMEASURED_CALLS: usize = 50;
const CALLS: usize = 1_500;

impl Bench<'_> {
    pub(super) async fn totals(&self, report: &mut Report) -> Result<()> {
        let mut jobs = Jobs::connect(self.server).await?;
        let mut calls = Vec::new();
        for workspace in &self.workspaces {
            let first = Read::page(PAGE.try_into()?, "", TotalCount::Unspecified)?;
            let second = jobs.read(&workspace.name, &first).await?.next;
            for total in [TotalCount::Exact, TotalCount::Unspecified] {
                calls.push((workspace, Read::page(PAGE.try_into()?, &second, total)?));
            }
        }
        let times = medians(&mut jobs, &calls).await?;
        let (with, without): (Vec<Time>, Vec<Time>) = times.chunks_exact(2).filter_map(pair).unzip();
        for (workspace, (with, without)) in self.workspaces.iter().zip(with.iter().zip(without)) {
            let what = format!("time of a page of {} with an exact total / without, p50", kind(workspace));
            compare(report, &what, [*with, without], Target::AtMost(1.5));
        }
        self.by_size(report, "a page with an exact total", &with)
    }

    pub(super) async fn queue_stats(&self, report: &mut Report) -> Result<()> {
        let mut jobs = Jobs::connect(self.server).await?;
        let calls: Vec<_> = self.workspaces.iter().map(|workspace| (workspace, Read::Stats)).collect();
        let times = medians(&mut jobs, &calls).await?;
        self.by_size(report, "GetQueueStats", &times)
    }

    /// Compares each larger workspace with the smallest.
    fn by_size(&self, report: &mut Report, what: &str, times: &[Time]) -> Result<()> {
        let mut sizes = self.workspaces.iter().zip(times.iter().copied());
        let (smallest, least) = sizes.next().ok_or("there are no workspaces")?;
        for (workspace, time) in sizes {
            let what = format!("time of {what} of {} / of {}, p50", kind(workspace), thousands(smallest.jobs));
            compare(report, &what, [time, least], Target::AtMost(1.5));
        }
        Ok(())
    }

    /// Compares a page of the rare status with a page of the same size.
    pub(super) async fn rare_status(&self, report: &mut Report) -> Result<()> {
        let mut jobs = Jobs::connect(self.server).await?;
        for workspace in self.workspaces.iter().filter(|workspace| workspace.jobs >= RARE) {
            let size = (workspace.jobs / RARE).min(PAGE.try_into()?);
            let rare = Read::page_of_rare(size)?;
            if jobs.read(&workspace.name, &rare).await?.rows != size {
                return Err("a page of jobs in the rare status was short".into());
            }
            let any = Read::page(size, "", TotalCount::Unspecified)?;
            let times = medians(&mut jobs, &[(workspace, rare), (workspace, any)]).await?;
            let (rare, any) = pair(&times).ok_or("a time is missing")?;
            let of = kind(workspace);
            let what = format!("time of a page of {of} in a status that 1 in 100,000 has / of any, {size} rows, p50");
            compare(report, &what, [rare, any], Target::AtMost(2.0));
        }
        Ok(())
    }
}

/// The medians of the times of alternating calls, in the same order.
async fn medians(jobs: &mut Jobs, calls: &[(&Workspace, Read)]) -> Result<Vec<Time>> {
    let mut times = vec![Vec::new(); calls.len()];
    for turn in 0..UNMEASURED_CALLS + CALLS {
        for ((workspace, read), times) in calls.iter().zip(&mut times) {
            let Answer { time, total, .. } = jobs.read(&workspace.name, read).await?;
            if total != read.tells_total().then_some(workspace.jobs.try_into()?) {
                return Err("the number of all jobs was wrong".into());
            }
            if turn >= UNMEASURED_CALLS {
                times.push(time);
            }
        }
    }
    times.into_iter().map(median).collect()
}

fn pair(times: &[Time]) -> Option<(Time, Time)> {
    if let [first, second] = times { Some((*first, *second)) } else { None }
}

fn kind(workspace: &Workspace) -> String {
    let events = if workspace.has_events { "" } else { " without events" };
    format!("{} jobs{events}", thousands(workspace.jobs))
}

fn compare(report: &mut Report, what: &str, [first, second]: [Time; 2], target: Target) {
    let from = format!("{} / {}", milliseconds(first), milliseconds(second));
    report.ratio(what, first.as_secs_f64() / second.as_secs_f64(), target, &from);
}
