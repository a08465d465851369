use keyset::{Database, Listing, Order, asc};
use platform::{Error, Resource, timestamp};
use quire_proto::prompts::v1::Label;
use sqlx::FromRow;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{LABEL, VersionRow};

/// The labels of a prompt.
pub static LABELS: Listing = Listing {
    name: "prompts.v1.Labels",
    from: "labels",
    columns: "prompt_id, label, version, assigned_by, assign_time",
    scope: &["workspace_id", "prompt_id"],
    orders: &[Order { name: "label", keys: &[asc("label")], indexed: &[] }],
    ..Listing::DEFAULT
};

/// A row of `labels`.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct LabelRow {
    pub(crate) prompt_id: Uuid,
    pub(crate) label: String,
    pub(crate) version: i32,
    pub(crate) assigned_by: String,
    pub(crate) assign_time: OffsetDateTime,
}

impl LabelRow {
    /// Points the label at its version and records the deployment under this id: both or neither, and neither where it
    /// points there already. The label as it is kept; nothing when there is no such version.
    ///
    /// The version is locked before the label, as when a prompt is deleted. A label is moved later than the time before also
    /// where the clocks of those who move it say otherwise.
    pub(crate) async fn assign(
        self,
        database: &Database,
        workspace: &str,
        deployment: Uuid,
    ) -> Result<Option<Self>, Error> {
        let sql = "
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
            select prompt_id, label, version, assigned_by, assign_time from assigned";
        let query = sqlx::query(sql).bind(workspace).bind(self.prompt_id).bind(&self.label).bind(self.version);
        let query = query.bind(&self.assigned_by).bind(self.assign_time).bind(deployment);
        let assigned = database.write(query).await?.pop();
        if assigned.is_some() {
            return Ok(assigned);
        }
        let kept = self.kept(database, workspace).await?;
        if kept.is_some() || !VersionRow::exists(database, workspace, self.prompt_id, self.version).await? {
            return Ok(kept);
        }
        // It pointed there, and was moved since.
        let name = format!("{}/{}", self.prompt_id, self.label);
        Err(Error::Aborted(Resource { kind: LABEL, field: "label".to_owned(), name }))
    }

    /// The label where it points at its version already.
    async fn kept(&self, database: &Database, workspace: &str) -> Result<Option<Self>, Error> {
        let sql = "
            select prompt_id, label, version, assigned_by, assign_time from labels
            where workspace_id = $1 and prompt_id = $2 and label = $3 and version = $4";
        let query = || sqlx::query(sql).bind(workspace).bind(self.prompt_id).bind(&self.label).bind(self.version);
        Ok(database.read(query).await?.pop())
    }
}

impl From<LabelRow> for Label {
    fn from(row: LabelRow) -> Self {
        Self {
            prompt_id: row.prompt_id.to_string(),
            label: row.label,
            version: row.version,
            assigned_by: row.assigned_by,
            assign_time: Some(timestamp(row.assign_time)),
        }
    }
}
