use keyset::{Filter, Listing, Order, desc};
use platform::timestamp;
use quire_proto::prompts::v1::Deployment;
use sqlx::FromRow;
use time::OffsetDateTime;
use uuid::Uuid;

/// The deployments of a workspace.
pub static DEPLOYMENTS: Listing = Listing {
    name: "prompts.v1.Deployments",
    from: "deployments",
    columns: "id, prompt_id, label, version, previous_version, actor, create_time",
    scope: &["workspace_id"],
    filters: &[Filter::equal("prompt_id", "prompt_id"), Filter::equal("label", "label")],
    orders: &[Order { name: "create_time desc", keys: &[desc("create_time"), desc("id")], indexed: &[&["prompt_id"]] }],
    ..Listing::DEFAULT
};

/// A row of `deployments`. Those who move a label write it: see [`LabelRow::assign`](super::LabelRow::assign).
#[derive(Debug, Clone, FromRow)]
pub(crate) struct DeploymentRow {
    id: Uuid,
    prompt_id: Uuid,
    label: String,
    version: i32,
    previous_version: i32,
    actor: String,
    create_time: OffsetDateTime,
}

impl From<DeploymentRow> for Deployment {
    fn from(row: DeploymentRow) -> Self {
        Self {
            id: row.id.to_string(),
            prompt_id: row.prompt_id.to_string(),
            label: row.label,
            version: row.version,
            previous_version: row.previous_version,
            actor: row.actor,
            create_time: Some(timestamp(row.create_time)),
        }
    }
}
