//! The number of statements for a page of jobs, as Postgres counts them.

use quire_proto::pagination::v1::TotalCount;
use sqlx::Connection;

use crate::{
    Result,
    jobs::{Jobs, Read, Workspace},
    measure::Bench,
    report::{Report, Target},
    server::Server,
};

const SIZES: [u64; 3] = [1, 50, 200];
/// The number of pages of a walk through each workspace.
const PAGES: u32 = 40;

impl Bench<'_> {
    /// Uses a server that serves only jobs, so that all counted statements belong to jobs.
    pub(super) async fn statements(&self, report: &mut Report) -> Result<()> {
        let server = Server::start(&self.database.url_for_counting(), &["--services", "jobs"]).await?;
        let mut connection = self.database.connect().await?;
        sqlx::raw_sql("create extension if not exists pg_stat_statements").execute(&mut connection).await?;
        let mut jobs = Jobs::connect(&server).await?;
        for (total, name, most) in
            [(TotalCount::Unspecified, "", 1.0), (TotalCount::Exact, " with an exact total", 2.0)]
        {
            let mut counts = Vec::new();
            for size in SIZES {
                // Opens the connections and prepares the statement.
                walk(&mut jobs, &self.workspaces, size, total).await?;
                sqlx::raw_sql("select pg_stat_statements_reset()").execute(&mut connection).await?;
                let pages = walk(&mut jobs, &self.workspaces, size, total).await?;
                let sql = "select coalesce(sum(calls), 0)::float8 from pg_stat_statements";
                let calls: f64 = sqlx::query_scalar(sql).fetch_one(&mut connection).await?;
                counts.push(calls / f64::from(pages));
            }
            let from: Vec<String> =
                counts.iter().zip(SIZES).map(|(count, size)| format!("{count} of {size}")).collect();
            report.value(
                &format!("statements that Postgres runs for a page of ListJobs{name}, of any size"),
                (counts.into_iter().fold(0.0, f64::max), ""),
                Target::AtMost(most),
                &from.join(", "),
            );
        }
        connection.close().await?;
        server.stop().await
    }
}

/// Returns the number of pages.
async fn walk(jobs: &mut Jobs, workspaces: &[Workspace], size: u64, total: TotalCount) -> Result<u32> {
    let mut pages = 0;
    for workspace in workspaces {
        let mut token = String::new();
        for _ in 0..PAGES {
            let page = jobs.read(&workspace.name, &Read::page(size, &token, total)?).await?;
            if page.rows != size {
                return Err("a page of jobs was short".into());
            }
            token = page.next;
            pages += 1;
        }
    }
    Ok(pages)
}
