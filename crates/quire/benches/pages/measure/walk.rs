//! A client that writes all rows to a file, by a walk and by a loop of its own.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::Path,
};

use tempfile::TempDir;

use crate::{
    Result,
    commands::{reader, write_to},
    measure::Bench,
    reader::Reader,
    report::{Report, Target, thousands},
    timing::median,
};

const ROUNDS: usize = 3;

impl Bench<'_> {
    pub(super) async fn walk(&self, report: &mut Report) -> Result<()> {
        let directory = TempDir::with_prefix("pages-")?;
        let file = directory.path().join("rows");
        let mut rates = [Vec::new(), Vec::new()];
        let mut memory = [Vec::new(), Vec::new()];
        for _ in 0..ROUNDS {
            for (place, kind) in [Reader::Walk, Reader::Loop].into_iter().enumerate() {
                let run = write_to(&file, reader(self.server, "default", kind)?).await?;
                self.check_rows(&file)?;
                rates.get_mut(place).ok_or("there are two")?.push(self.rows as f64 / run.time.as_secs_f64());
                memory.get_mut(place).ok_or("there are two")?.push(run.memory as f64 / 1024.0);
            }
        }
        let ([walk, by_hand], [walk_memory, loop_memory]) = (rates.map(median), memory.map(median));
        let (walk, by_hand, walk_memory, loop_memory) = (walk?, by_hand?, walk_memory?, loop_memory?);
        report.ratio(
            "rows a second of a walk with prefetch / of a loop by hand, written as JSON, p50",
            walk / by_hand,
            Target::AtLeast(1.2),
            &format!("{} / {}", thousands(walk as u64), thousands(by_hand as u64)),
        );
        report.value(
            "memory of the walk - of the loop, p50",
            (walk_memory - loop_memory, "MiB"),
            Target::Below(16.0),
            &format!("{walk_memory:.1} MiB - {loop_memory:.1} MiB"),
        );
        Ok(())
    }

    /// Fails unless the file has a line for each row.
    pub(super) fn check_rows(&self, file: &Path) -> Result<()> {
        let lines =
            BufReader::new(File::open(file)?).split(b'\n').try_fold(0, |lines, line| line.map(|_| lines + 1))?;
        if lines == self.rows { Ok(()) } else { Err(format!("{lines} of {} rows were written", self.rows).into()) }
    }
}
