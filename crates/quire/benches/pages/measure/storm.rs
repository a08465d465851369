//! The time of a tenant's pages while other callers cancel their calls or set short deadlines.

use std::{io::Write, path::Path};

use platform::testing;
use tempfile::NamedTempFile;

use crate::{
    Result,
    jobs::Workspace,
    measure::Bench,
    processes::settle,
    report::{Report, Target},
    server::{Server, THIS_BUILD},
    storm::{Storm, Tenant},
    timing::{Time, median, milliseconds},
};

/// How long the tenant pages alone, and during the storm.
const ALONE: Time = Time::from_secs(5);
const MEANWHILE: Time = Time::from_secs(10);

/// The results of one build.
struct Outcome {
    /// The time of a page during the storm / alone; infinite if no page was answered.
    ratio: f64,
    refused: f64,
    /// The number of connections that Postgres accepted during the storm.
    connections: f64,
    from: String,
}

impl Bench<'_> {
    /// Each build has its own server, with signing keys, because sessions require them. The earlier build runs last, so
    /// that its effects on Postgres disturb no other measurement.
    pub(super) async fn storm(&self, report: &mut Report) -> Result<()> {
        let smallest = self.workspaces.first().ok_or("there are no workspaces")?;
        let mut outcomes = vec![("server", self.storm_on(Path::new(THIS_BUILD), smallest).await?)];
        if let Some(build) = &self.before {
            outcomes.push(("before", self.storm_on(build, smallest).await?));
        }
        let from: Vec<_> = outcomes.iter().map(|(name, outcome)| format!("{name}: {}", outcome.from)).collect();
        let mut compare = |what: &str, value: fn(&Outcome) -> f64, target, from: &str| {
            let values: Vec<_> = outcomes.iter().map(|(name, outcome)| (*name, value(outcome))).collect();
            report.compared(what, &values, target, from)
        };
        compare(
            "time of a tenant's page while others cancel calls and set short deadlines / alone, p50",
            |outcome| outcome.ratio,
            Target::AtMost(5.0),
            &from.join("; "),
        )?;
        compare("such pages refused", |outcome| outcome.refused, Target::AtMost(0.0), "")?;
        compare("connections that Postgres accepted meanwhile", |outcome| outcome.connections, Target::Shown, "")
    }

    async fn storm_on(&self, build: &Path, workspace: &Workspace) -> Result<Outcome> {
        let mut signing_keys = NamedTempFile::new()?;
        signing_keys.write_all(testing::new_signing_key().as_bytes())?;
        let signing_keys = signing_keys.path().to_str().ok_or("the temporary directory is not UTF-8")?;
        let url = self.database.url();
        let server = Server::of_build(build, &url, &["--signing-keys", signing_keys, "--log", "off"]).await?;
        let tenant = Tenant::begin(build, &url, &server, &workspace.name).await?;
        let storming = Tenant::begin(build, &url, &server, "default").await?;

        let alone = median(tenant.page(&server, ALONE).await?.times)?;
        let before = self.database.connections_made()?;
        let storm = Storm::begin(&server, &storming).await?;
        let meanwhile = tenant.page(&server, MEANWHILE).await?;
        let connections = self.database.connections_made()? - before;
        let (answered, called) = storm.answered();
        drop((storm, server));
        settle(self.database.process_id()).await?;

        let pages = meanwhile.times.len();
        let time = median(meanwhile.times).ok();
        let shown = time.map_or_else(|| "never".to_owned(), milliseconds);
        Ok(Outcome {
            ratio: time.map_or(f64::INFINITY, |time| time.as_secs_f64() / alone.as_secs_f64()),
            refused: meanwhile.refused as f64,
            connections: connections as f64,
            from: format!("{shown} of {pages} / {}, {answered} of {called} answered in 10 ms", milliseconds(alone)),
        })
    }
}
