use database::Database;
use keyset::{Listing, Order, Statement, asc};
use platform::Error;
use quire_proto::jobs::v1::{JobStatus, JobStatusCount, QueueStats};
use sqlx::FromRow;

use super::STATUSES;

/// The operation types of a workspace's jobs, with their counts. A page sums only the counter slots of its own types.
pub static OPERATION_TYPES: Listing = Listing {
    name: "jobs.v1.OperationTypes",
    from: "(
        select operation_type, sum(row_count)::int8 as job_count from job_operation_type_counts where {where}
        group by operation_type having sum(row_count) <> 0
    ) as operation_types",
    message: "jobs.v1.OperationTypeCount",
    columns: "operation_type, job_count",
    scope: &["workspace_id"],
    orders: &[Order { name: "operation_type", keys: &[asc("operation_type")], indexed: &[] }],
    ..Listing::DEFAULT
};

/// The number of jobs with a status.
#[derive(Debug, FromRow)]
struct StatusRow {
    status: String,
    job_count: i64,
    unretried_count: i64,
}

/// The numbers of a workspace's jobs, read from the counters.
pub(crate) async fn stats(database: &Database, workspace: &str) -> Result<QueueStats, Error> {
    let sql = "
        select status, sum(row_count)::int8 as job_count,
            coalesce(sum(row_count) filter (where not retried), 0)::int8 as unretried_count
        from job_status_counts where workspace_id = $1 group by status";
    let rows: Vec<StatusRow> = database.read(Statement::new(sql).bind(workspace)).await?;
    let of = |name: &str, count: fn(&StatusRow) -> i64| rows.iter().find(|row| row.status == name).map_or(0, count);
    let statuses = STATUSES
        .in_service
        .iter()
        .map(|&(status, name)| JobStatusCount { status: status.into(), job_count: of(name, |row| row.job_count) });
    let dead = [JobStatus::Failed, JobStatus::PartialFailure];
    let dead = STATUSES.in_service.iter().filter(|(status, _)| dead.contains(status));
    Ok(QueueStats {
        job_count: rows.iter().map(|row| row.job_count).sum(),
        statuses: statuses.collect(),
        dead_letter_count: dead.map(|(_, name)| of(name, |row| row.unretried_count)).sum(),
    })
}
