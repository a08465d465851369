use keyset::{Filter, Listing, Order, desc};

/// The deployments of a workspace. AssignLabel and RemoveLabel write them.
pub static DEPLOYMENTS: Listing = Listing {
    name: "prompts.v1.Deployments",
    from: "deployments",
    message: "prompts.v1.Deployment",
    columns: "id, prompt_id, label, version, previous_version, actor, create_time",
    scope: &["workspace_id"],
    filters: &[Filter::equal("prompt_id", "prompt_id"), Filter::equal("label", "label")],
    orders: &[Order { name: "create_time desc", keys: &[desc("create_time"), desc("id")], indexed: &[&["prompt_id"]] }],
    ..Listing::DEFAULT
};
