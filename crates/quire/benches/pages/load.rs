//! Loads the rows.

mod jobs;

use indicatif::{ProgressBar, ProgressStyle};
use sqlx::{Connection, PgConnection};

use crate::{
    Result,
    arguments::Arguments,
    database::Database,
    jobs::{ended, workspaces},
};

const CHUNK: u64 = 20_000;

/// Inserts the rows with the numbers $1 to $2, as the service would create them: with an id by time (UUIDv7), and with
/// the same time in four rows, as in a batch. The number determines all columns, so each run has the same rows.
const INSERT: &str = "
    insert into prompts (workspace_id, id, name, surface, tags, metadata, latest_version, etag, create_time, update_time)
    select 'default',
        (lpad(to_hex(1700000000000 + n / 4 * 100), 12, '0') || '7' || substr(hash, 1, 3) || '8' || substr(hash, 4, 15))::uuid,
        (array['incident', 'release', 'review', 'support'])[n % 4 + 1] || '/prompt-' || n,
        (array['chat', 'cli', 'mail', 'search', 'voice'])[n % 5 + 1],
        array['team-' || n % 50, 'language-' || n % 7],
        jsonb_build_object('owner', 'owner-' || n % 1000, 'ticket', substr(hash, 1, 12)),
        1,
        hash::uuid,
        to_timestamp(1700000000 + n / 4 * 0.1),
        to_timestamp(1700000000 + n / 4 * 0.1)
    from (select n, md5(n::text) as hash from generate_series($1::int8, $2::int8) as n) as numbered";

const VACUUM: &str = "vacuum analyze prompts, jobs, job_events, job_status_counts, job_operation_type_counts";

/// Loads the rows, or the missing rows if an earlier run was interrupted, and vacuums, so that Postgres has no
/// background work.
pub(crate) async fn load(database: &Database, arguments: &Arguments) -> Result<()> {
    let rows = arguments.rows;
    let mut connection = database.connect().await?;
    let loaded: i64 = sqlx::query_scalar("select count(*) from prompts").fetch_one(&mut connection).await?;
    let loaded = u64::try_from(loaded)?;
    if loaded > rows {
        return Err(format!("the data directory has {loaded} rows: name another, or say --rows {loaded}").into());
    }
    if loaded < rows {
        insert(&mut connection, loaded, rows).await?;
    }
    jobs::load(&mut connection, &workspaces(arguments)).await?;
    jobs::load(&mut connection, &[ended()]).await?;
    for statement in [VACUUM, "checkpoint"] {
        sqlx::raw_sql(statement).execute(&mut connection).await?;
    }
    Ok(connection.close().await?)
}

async fn insert(connection: &mut PgConnection, loaded: u64, rows: u64) -> Result<()> {
    let bar = progress_bar("loading", rows)?;
    bar.set_position(loaded);
    let mut last = loaded;
    while last < rows {
        let first = last + 1;
        last = (last + CHUNK).min(rows);
        sqlx::query(INSERT).bind(i64::try_from(first)?).bind(i64::try_from(last)?).execute(&mut *connection).await?;
        bar.set_position(last);
    }
    bar.finish_and_clear();
    Ok(())
}

/// A progress bar, which is shown only on a terminal.
pub(crate) fn progress_bar(what: &'static str, length: u64) -> Result<ProgressBar> {
    let style = ProgressStyle::with_template("{msg} {wide_bar} {human_pos} of {human_len} rows, {eta} to go")?;
    Ok(ProgressBar::new(length).with_style(style).with_message(what))
}
