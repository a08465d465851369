//! All rows of the list as JSON in a file: `quire prompts list` beside psql.

use tempfile::TempDir;

use crate::{
    Result,
    commands::{quire_client, write_to},
    measure::Bench,
    report::{Report, Target, thousands},
    timing::median,
};

const ROUNDS: usize = 3;

/// The same rows, in whatever order is fastest.
const COPY: &str = "\\copy (select row_to_json(prompt) from (select id, name, surface, tags, metadata, latest_version, etag, \
                    create_time, update_time from prompts where workspace_id = 'default') as prompt) to stdout";

impl Bench<'_> {
    pub(super) async fn list(&self, report: &mut Report) -> Result<()> {
        let directory = TempDir::with_prefix("pages-")?;
        let file = directory.path().join("rows");
        let (mut by_quire, mut by_psql, mut memory) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let run =
                write_to(&file, quire_client(self.server, "default", &["prompts", "list", "--all", "-o", "ndjson"]))
                    .await?;
            self.check_rows(&file)?;
            by_quire.push(run.time);
            memory.push(run.memory as f64 / 1024.0);
            by_psql.push(write_to(&file, self.database.psql(COPY)?).await?.time);
            self.check_rows(&file)?;
        }
        let (by_quire, by_psql) = (median(by_quire)?.as_secs_f64(), median(by_psql)?.as_secs_f64());
        let rate = |seconds: f64| thousands((self.rows as f64 / seconds) as u64);
        report.ratio(
            "rows a second of `quire prompts list --all -o ndjson` / of psql's \\copy as JSON, whole processes, p50",
            by_psql / by_quire,
            Target::AtLeast(0.25),
            &format!("{} / {}", rate(by_quire), rate(by_psql)),
        );
        report.value("memory of `quire prompts list --all`", (median(memory)?, "MiB"), Target::Shown, "");
        Ok(())
    }
}
