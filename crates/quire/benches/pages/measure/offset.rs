//! A page by OFFSET and by token, each as its client sees it: the one over a plain connection to Postgres, the other over
//! gRPC.

use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::{
    Result,
    client::{Ask, Client, PAGE},
    measure::Bench,
    report::{Report, Target, thousands},
    timing::{Stopwatch, Time, median, milliseconds},
    walk::deepest,
};

/// The time of a page at one depth.
pub(crate) struct Depth {
    pub(crate) rows: u64,
    pub(crate) by_offset: Time,
    pub(crate) by_token: Time,
}

/// Pages by token for each by OFFSET, which leaves the caches full of what it passed over: enough for the first not to matter.
const PAGES_BY_TOKEN: usize = 50;
/// Both are measured in turn as often as goes into this time, within limits.
const TIME: Time = Time::from_secs(5);
const LEAST_TURNS: usize = 11;
const MOST_TURNS: usize = 101;

impl Bench<'_> {
    pub(super) async fn offset(&self, report: &mut Report) -> Result<Vec<Depth>> {
        let mut connection = self.database.connect().await?;
        let mut client = Client::connect(self.server).await?;
        let mut depths = Vec::new();
        for rows in depths_of(self.rows) {
            let depth = self.at_depth(&mut connection, &mut client, rows).await?;
            report.ratio(
                &format!("time of a page at depth {} by OFFSET / by token, p50", thousands(rows)),
                depth.by_offset.as_secs_f64() / depth.by_token.as_secs_f64(),
                Target::Shown,
                &format!("{} / {}", milliseconds(depth.by_offset), milliseconds(depth.by_token)),
            );
            depths.push(depth);
        }
        connection.close().await?;
        Ok(depths)
    }

    async fn at_depth(&self, connection: &mut PgConnection, client: &mut Client, rows: u64) -> Result<Depth> {
        let ask = Ask::page(self.walk.token(rows)?);
        let (mut by_offset, mut by_token) = (Vec::new(), Vec::new());
        let stopwatch = Stopwatch::start();
        while by_offset.len() < LEAST_TURNS || (stopwatch.elapsed() < TIME && by_offset.len() < MOST_TURNS) {
            by_offset.push(time_by_offset(connection, rows).await?);
            for _ in 0..PAGES_BY_TOKEN {
                by_token.push(client.time(&ask).await?);
            }
        }
        Ok(Depth { rows, by_offset: median(by_offset)?, by_token: median(by_token)? })
    }
}

fn depths_of(rows: u64) -> Vec<u64> {
    let deepest = deepest(rows);
    let depths = [0, 1_000, 10_000, 100_000, 500_000, 900_000].into_iter().filter(|depth| *depth < deepest);
    depths.chain([deepest]).collect()
}

async fn time_by_offset(connection: &mut PgConnection, depth: u64) -> Result<Time> {
    // The numbers are part of the text, so that Postgres makes the plan that is best for this depth.
    let sql = format!(
        "select id, name, surface, tags, metadata, latest_version, etag, create_time, update_time from prompts \
         where workspace_id = 'default' order by create_time desc, id desc limit {PAGE} offset {depth}"
    );
    let stopwatch = Stopwatch::start();
    let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(connection).await?;
    let time = stopwatch.elapsed();
    if rows.len() == PAGE { Ok(time) } else { Err("a page by OFFSET was short".into()) }
}
