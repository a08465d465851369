//! Reads the output of EXPLAIN for the work that a statement does.

use serde_json::Value;

/// A node of a plan.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Node<'a> {
    json: &'a Value,
    /// Whether a Sort above reads all rows of this node.
    pub(crate) is_sorted_whole: bool,
    /// Whether it is a part of a CTE.
    pub(crate) is_in_cte: bool,
}

impl<'a> Node<'a> {
    /// The text under a name; empty if the name does not exist.
    pub(crate) fn text(&self, name: &str) -> &'a str {
        self.json.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    /// The number under a name; 0 if the name does not exist.
    #[cfg(feature = "conformance")]
    pub(crate) fn number(&self, name: &str) -> f64 {
        self.json.get(name).and_then(Value::as_f64).unwrap_or_default()
    }

    /// The first expression that the node outputs.
    pub(crate) fn first_output(&self) -> &'a str {
        self.json.pointer("/Output/0").and_then(Value::as_str).unwrap_or_default()
    }

    /// Whether the node reads a table.
    pub(crate) fn is_scan(&self) -> bool {
        self.json.get("Relation Name").is_some()
    }
}

/// All nodes of the output of `EXPLAIN (FORMAT JSON)`.
pub(crate) fn nodes(explained: &Value) -> Vec<Node<'_>> {
    let mut nodes = Vec::new();
    if let Some(json) = explained.pointer("/0/Plan") {
        gather(Node { json, is_sorted_whole: false, is_in_cte: false }, &mut nodes);
    }
    nodes
}

fn gather<'a>(node: Node<'a>, nodes: &mut Vec<Node<'a>>) {
    nodes.push(node);
    let is_sorted_whole = match node.text("Node Type") {
        "Sort" | "Incremental Sort" => true,
        "Limit" => false,
        _ => node.is_sorted_whole,
    };
    let children = node.json.get("Plans").and_then(Value::as_array);
    for json in children.into_iter().flatten() {
        let is_cte =
            json.get("Subplan Name").and_then(Value::as_str).is_some_and(|name| name.starts_with("CTE keyset_found"));
        let is_in_cte = node.is_in_cte || is_cte;
        gather(Node { json, is_sorted_whole: is_sorted_whole && !is_cte, is_in_cte }, nodes);
    }
}
