//! The time until `quire jobs list` shows its first row on a terminal, beside a program that connects and asks for a page.

use quire_proto::jobs::v1::{ListJobsRequest, job_service_client::JobServiceClient};

use crate::{
    Result,
    client::in_workspace,
    commands::{quire_client, reader, time_until_shown},
    measure::Bench,
    reader::Reader,
    report::{Report, Target, thousands},
    timing::{median, milliseconds},
};

const ROUNDS: usize = 31;

impl Bench<'_> {
    pub(super) async fn first_row(&self, report: &mut Report) -> Result<()> {
        let workspace = self.workspaces.last().ok_or("there are no workspaces")?;
        let request = in_workspace(&workspace.name, ListJobsRequest::default())?;
        let mut client = JobServiceClient::new(self.server.connect().await?);
        let jobs = client.list_jobs(request).await?.into_inner().jobs;
        let first = jobs.into_iter().next().ok_or("there are no jobs")?.id;
        let (mut by_quire, mut by_page) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let list = quire_client(self.server, &workspace.name, &["jobs", "list", "--columns", "id"]);
            by_quire.push(time_until_shown(first.clone(), list).await?);
            let page = reader(self.server, &workspace.name, Reader::Page)?;
            by_page.push(time_until_shown(first.clone(), page).await?);
        }
        let (by_quire, by_page) = (median(by_quire)?, median(by_page)?);
        let what = format!(
            "time to the first row of `quire jobs list` of {} jobs / of a program that connects and asks for a page, p50",
            thousands(workspace.jobs)
        );
        let from = format!("{} / {}", milliseconds(by_quire), milliseconds(by_page));
        report.ratio(&what, by_quire.as_secs_f64() / by_page.as_secs_f64(), Target::AtMost(1.2), &from);
        Ok(())
    }
}
