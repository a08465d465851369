use keyset::{Listing, Order, Statement, asc};
use platform::{Error, Resource};
use quire_proto::prompts::v1::Label;
use time::OffsetDateTime;
use uuid::Uuid;

use super::versions;
use crate::Prompts;

macro_rules! columns {
    () => {
        "prompt_id, label, version, assigned_by, assign_time"
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
///
/// The version is locked before the label, in the same order as when a prompt is deleted. The time of an assignment is
/// always later than that of the previous one, even if the servers' clocks differ.
pub(crate) async fn assign(service: &Prompts, workspace: &str, new: &NewLabel) -> Result<Option<Label>, Error> {
    let sql = concat!(
        "
        with pointed as (
            select version from prompt_versions where workspace_id = $1 and prompt_id = $2 and version = $4 for key share
        ), assigned as (
            insert into labels (workspace_id, prompt_id, label, version, assigned_by, assign_time)
            select $1, $2, $3, version, $5, $6 from pointed
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
    let assigned = service.labels.first(&service.database.write_rows(statement).await?)?;
    if assigned.is_some() {
        return Ok(assigned);
    }
    let existing = existing(service, workspace, new).await?;
    if existing.is_some() || !versions::exists(service, workspace, *prompt_id, *version).await? {
        return Ok(existing);
    }
    // The label pointed at the version, and was moved since.
    Err(Error::Aborted(Resource {
        kind: LABELS.message,
        field: "label".to_owned(),
        name: format!("{prompt_id}/{label}"),
    }))
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
