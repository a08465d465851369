use keyset::{Listing, Order, Statement, asc};
use platform::{Error, Resource};
use quire_proto::prompts::v1::Label;
use sqlx::postgres::PgRow;
use time::OffsetDateTime;
use uuid::Uuid;

use super::versions;
use crate::Prompts;

macro_rules! columns {
    () => {
        "prompt_id, label, version, assigned_by, assign_time"
    };
}

/// The time after the last deployment of the prompt, or null.
macro_rules! after_last {
    () => {
        "(select create_time + interval '1 microsecond' from deployments
            where workspace_id = $1 and prompt_id = $2 order by create_time desc, id desc limit 1)"
    };
}

/// The labels of a prompt.
pub static LABELS: Listing = Listing {
    name: "prompts.v1.Labels",
    from: "labels",
    message: "prompts.v1.Label",
    columns: columns!(),
    scope: &["workspace_id", "prompt_id"],
    orders: &[Order { name: "label", keys: &[asc("label")], indexed: &[] }],
    ..Listing::DEFAULT
};

/// The assignment of a label to a version.
#[derive(Debug, Clone)]
pub(crate) struct NewLabel {
    pub(crate) prompt_id: Uuid,
    pub(crate) label: String,
    pub(crate) version: i32,
    pub(crate) assigned_by: String,
    pub(crate) assign_time: OffsetDateTime,
    /// The id of the new deployment.
    pub(crate) deployment_id: Uuid,
}

/// Points the label at a version and records the deployment, both or neither. If the label points at the version
/// already, nothing is written. Returns the stored label, or `None` if the version does not exist.
pub(crate) async fn assign(service: &Prompts, workspace: &str, new: &NewLabel) -> Result<Option<Label>, Error> {
    let sql = concat!(
        "
        with pointed as (
            select version from prompt_versions where workspace_id = $1 and prompt_id = $2 and version = $4 for key share
        ), assigned as (
            insert into labels (workspace_id, prompt_id, label, version, assigned_by, assign_time)
            select $1, $2, $3, version, $5, greatest($6, ",
        after_last!(),
        ") from pointed
            on conflict (workspace_id, prompt_id, label) do update
            set version = excluded.version, previous_version = labels.version,
                assigned_by = excluded.assigned_by,
                assign_time = greatest(excluded.assign_time, labels.assign_time + interval '1 microsecond')
            where labels.version <> excluded.version
            returning prompt_id, label, version, previous_version, assigned_by, assign_time
        ), recorded as (
            insert into deployments (workspace_id, id, prompt_id, label, version, previous_version, actor, create_time)
            select $1, $7, prompt_id, label, version, previous_version, assigned_by, assign_time from assigned
        )
        select ",
        columns!(),
        " from assigned"
    );
    let NewLabel { prompt_id, label, version, assigned_by, assign_time, deployment_id } = new;
    let statement = Statement::new(sql).bind(workspace).bind(prompt_id).bind(label).bind(version);
    let statement = statement.bind(assigned_by).bind(assign_time).bind(deployment_id);
    let assigned = service.labels.first(&in_turn(service, workspace, *prompt_id, statement).await?)?;
    if assigned.is_some() {
        return Ok(assigned);
    }
    let existing = existing(service, workspace, new).await?;
    if existing.is_some() || !versions::exists(service, workspace, *prompt_id, *version).await? {
        return Ok(existing);
    }
    // The label pointed at the version, and was moved or removed since.
    Err(Error::Aborted(resource(*prompt_id, label)))
}

/// The removal of a label.
#[derive(Debug, Clone)]
pub(crate) struct Removal {
    pub(crate) prompt_id: Uuid,
    pub(crate) label: String,
    pub(crate) removed_by: String,
    pub(crate) remove_time: OffsetDateTime,
    /// The id of the new deployment.
    pub(crate) deployment_id: Uuid,
}

/// Removes the label and records the deployment, both or neither.
///
/// # Errors
///
/// [`Error::NotFound`] if the prompt does not have the label.
pub(crate) async fn remove(service: &Prompts, workspace: &str, removal: Removal) -> Result<(), Error> {
    let sql = concat!(
        "
        with removed as (
            delete from labels where workspace_id = $1 and prompt_id = $2 and label = $3
            returning prompt_id, label, version, assign_time
        )
        insert into deployments (workspace_id, id, prompt_id, label, version, previous_version, actor, create_time)
        select $1, $6, prompt_id, label, 0, version, $4,
            greatest($5, assign_time + interval '1 microsecond', ",
        after_last!(),
        ") from removed
        returning id"
    );
    let Removal { prompt_id, label, removed_by, remove_time, deployment_id } = removal;
    let statement = Statement::new(sql).bind(workspace).bind(prompt_id).bind(&label).bind(removed_by);
    let statement = statement.bind(remove_time).bind(deployment_id);
    if in_turn(service, workspace, prompt_id, statement).await?.is_empty() {
        return Err(Error::NotFound(resource(prompt_id, &label)));
    }
    Ok(())
}

/// Runs a statement that moves a label of this prompt, after the moves before it: it sees their deployments, and records
/// a later time, even if the servers' clocks differ.
///
/// The prompt is locked before the version and the label, in the same order as when it is deleted.
async fn in_turn(
    service: &Prompts,
    workspace: &str,
    prompt_id: Uuid,
    statement: Statement,
) -> Result<Vec<PgRow>, Error> {
    let sql = "select id from prompts where workspace_id = $1 and id = $2 for no key update";
    let lock = Statement::new(sql).bind(workspace).bind(prompt_id);
    let moved = service.database.transaction("begin", move |connection| {
        Box::pin(async move {
            lock.fetch_all(connection).await?;
            statement.fetch_all(connection).await
        })
    });
    Ok(moved.await?)
}

fn resource(prompt_id: Uuid, label: &str) -> Resource {
    Resource { kind: LABELS.message, field: "label".to_owned(), name: format!("{prompt_id}/{label}") }
}

/// The label, if it points at this version.
async fn existing(service: &Prompts, workspace: &str, new: &NewLabel) -> Result<Option<Label>, Error> {
    let sql = concat!(
        "select ",
        columns!(),
        " from labels where workspace_id = $1 and prompt_id = $2 and label = $3 and version = $4"
    );
    let statement = Statement::new(sql).bind(workspace).bind(new.prompt_id).bind(&new.label).bind(new.version);
    Ok(service.labels.first(&service.database.read_rows(statement).await?)?)
}
