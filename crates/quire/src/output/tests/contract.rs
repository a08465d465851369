//! The columns of the contract's lists.
use std::collections::BTreeSet;

use insta::assert_snapshot;
use prost_reflect::MessageDescriptor;
use serde_json::{Value, json};

use super::{Format, ago, choice, contract, printed, terminal};
use crate::output::fields::{choose, column_names, columns, fields};

/// The rows of every method that returns pages.
fn rows() -> Vec<MessageDescriptor> {
    let services: Vec<_> = contract().services().collect();
    let methods = services.iter().flat_map(|service| service.methods().collect::<Vec<_>>());
    let mut names = BTreeSet::new();
    let mut rows = Vec::new();
    for response in methods.map(|method| method.output()) {
        let is_page = response.fields().any(|field| {
            field.kind().as_message().is_some_and(|message| message.full_name() == "pagination.v1.PageResponse")
        });
        let lists = response.fields().filter(|field| field.is_list());
        for row in lists.filter_map(|field| field.kind().as_message().cloned()).filter(|_| is_page) {
            if names.insert(row.full_name().to_owned()) {
                rows.push(row);
            }
        }
    }
    rows
}

#[test]
fn the_columns_in_the_options_exist_and_every_list_has_some() {
    for message in contract().all_messages() {
        let names = column_names(&message);
        let all = columns(&fields(&message));
        let chosen = choose(&all, &names).unwrap_or_else(|name| panic!("{} has no {name}", message.full_name()));
        assert_eq!(chosen.len(), names.len(), "{}: each is a field and no message", message.full_name());
        let different: BTreeSet<_> = names.iter().collect();
        assert_eq!(different.len(), names.len(), "{}: each is there once", message.full_name());
    }
    let without: Vec<_> = rows().into_iter().filter(|row| column_names(row).is_empty()).collect();
    let without: Vec<_> = without.iter().map(|row| row.full_name()).collect();
    // All its fields are shown.
    assert_eq!(without, ["jobs.v1.OperationTypeCount"]);
}

/// A row as it often is.
fn example(row: &MessageDescriptor) -> Value {
    const ID: &str = "01976398-ff94-7aa0-a70c-5d18b1eda8ff";
    match row.name() {
        "Prompt" => json!({"id": ID, "name": "incident/summary", "surface": "chat", "tags": ["incident", "sre"],
            "latestVersion": 12, "createTime": ago(7_000_000), "updateTime": ago(330)}),
        "PromptVersion" => json!({"promptId": ID, "version": 12, "author": "maria", "model": "large-2",
            "content": "You summarise incidents.\n\nWrite three sentences for {{reader}}.", "createTime": ago(330)}),
        "Label" => {
            json!({"promptId": ID, "label": "production", "version": 11, "assignedBy": "maria", "assignTime": ago(330)})
        }
        "Deployment" => json!({"id": ID, "promptId": ID, "label": "production", "version": 11, "previousVersion": 10,
            "actor": "maria", "createTime": ago(330)}),
        "Memory" => json!({"id": ID, "scope": "MEMORY_SCOPE_ORGANIZATION", "type": "preference", "confidence": 0.9,
            "content": "Deployments are frozen from December 20 to January 3.", "updateTime": ago(200_000)}),
        "RecalledMemory" => json!({"rank": 0.6079271, "memory": {"id": ID, "scope": "MEMORY_SCOPE_USER",
            "content": "Deployments are frozen from December 20 to January 3."}}),
        "Agent" => json!({"id": ID, "name": "report-writer-7", "surface": "batch", "status": "AGENT_STATUS_ACTIVE",
            "endpoint": "https://agents.example/7", "load": 3, "capacity": 8, "heartbeatTime": ago(20)}),
        "UsageRecord" => {
            json!({"id": ID, "requestId": "req-8841", "agentId": "report-writer-7", "model": "large-2-mini",
            "inputTokens": 18422, "outputTokens": 911, "costUsd": "0.0125", "occurTime": ago(330)})
        }
        "UsageSummary" => {
            json!({"day": "2026-10-01", "teamId": "platform", "recordCount": 88123, "costUsd": "1204.25"})
        }
        "Session" => json!({"id": ID, "subject": "ci", "device": {"ip": "10.0.0.7", "userAgent": "quire/0.1"},
            "createTime": ago(330), "expireTime": ago(0), "revokeTime": ago(120)}),
        "ApiKey" => {
            json!({"id": ID, "name": "nightly import", "subject": "ci", "scopes": ["prompts:read", "prompts:write"],
            "createTime": ago(330)})
        }
        "Job" => json!({"id": ID, "status": "JOB_STATUS_FAILED", "operation": {"type": "disk-cleanup", "data": "{}"},
            "target": "web-17", "error": "no space left on device", "createTime": ago(4_000)}),
        "JobEvent" => json!({"id": "web-17/8841/3", "kind": "JOB_EVENT_KIND_ACKNOWLEDGED", "host": "web-17.example",
            "message": "accepted", "occurTime": ago(330)}),
        "OperationTypeCount" => json!({"operationType": "disk-cleanup", "jobCount": 18422}),
        name => panic!("no example of {name}"),
    }
}

#[test]
fn tables_are_useful_on_80_columns() {
    let tables = rows().into_iter().map(|row| {
        let table = printed(&choice(Format::Table, &[]), terminal(80), &row, &[vec![example(&row)]]);
        format!("{}\n{table}", row.full_name())
    });
    assert_snapshot!(tables.collect::<Vec<_>>().join("\n"));
}
