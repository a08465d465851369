//! Every method of the service keeps what all methods promise.
use crate::support::open;
use platform::testing::contract::Contract;

const CREATE: &str = r#"{"job": {"id": "01934f6e-8a3b-7c21-9d55-0242ac120001",
    "operation": {"type": "patch", "data": "{\"packages\": [\"openssl\"]}"}, "target": "web", "priority": 5,
    "policy_type": "security"}}"#;

const BATCH: &str = r#"{"requests": [
    {"job": {"id": "01934f6e-8a3b-7c21-9d55-0242ac120002", "operation": {"type": "patch", "data": "{\"a\": 1}"},
        "target": "web", "priority": -1, "policy_type": "security"}},
    {"job": {"id": "01934f6e-8a3b-7c21-9d55-0242ac120003", "operation": {"type": "scan", "data": "{\"b\": 2}"},
        "target": "database", "priority": 9, "policy_type": "compliance"}}]}"#;

// The last event has no result, so that it may be of any kind.
const APPEND: &str = r#"{"events": [
    {"id": "1/done", "job_id": "01934f6e-8a3b-7c21-9d55-0242ac120001", "kind": "JOB_EVENT_KIND_COMPLETED", "host": "a",
        "result": {"changed": true, "exit_status": 1, "bytes": "2", "files": "3"}, "occur_time": "2026-01-02T03:04:05Z"},
    {"id": "2/done", "job_id": "01934f6e-8a3b-7c21-9d55-0242ac120002", "kind": "JOB_EVENT_KIND_COMPLETED", "host": "a"},
    {"id": "1/failed", "job_id": "01934f6e-8a3b-7c21-9d55-0242ac120001", "kind": "JOB_EVENT_KIND_FAILED", "host": "b",
        "message": "too late", "error": "no route", "occur_time": "2026-01-02T03:04:06.123456Z"}]}"#;

const APPEND_AGAIN: &str = r#"{"events": [
    {"id": "2/failed", "job_id": "01934f6e-8a3b-7c21-9d55-0242ac120002", "kind": "JOB_EVENT_KIND_FAILED", "host": "b"}]}"#;

const LIST: &str = r#"{"statuses": ["JOB_STATUS_PARTIAL_FAILURE"], "operation_type": "patch", "target": "web",
    "policy_type": "security", "create_time_from": "2020-01-01T00:00:00Z", "create_time_before": "2999-01-01T00:00:00Z",
    "end_time_from": "2020-01-01T00:00:00Z", "end_time_before": "2999-01-01T00:00:00Z"}"#;

#[tokio::test]
async fn every_method_keeps_its_promises() {
    const ID: &str = r#"{"id": "01934f6e-8a3b-7c21-9d55-0242ac120001"}"#;
    const MOST: f64 = 1e15;
    let any = f64::from(i32::MIN)..=f64::from(i32::MAX);
    let mut contract = Contract::of("jobs.v1.JobService")
        .example("CreateJob", CREATE)
        .example("BatchCreateJobs", BATCH)
        .example("AppendJobEvents", APPEND)
        .example("AppendJobEvents", APPEND_AGAIN)
        .example("GetJob", ID)
        .example("ListJobs", LIST)
        .example("ListJobEvents", r#"{"job_id": "01934f6e-8a3b-7c21-9d55-0242ac120001"}"#)
        .example("GetQueueStats", "{}")
        .example("RetryJob", ID)
        .example("DeleteJob", ID)
        .unique("Job.id")
        .unique("JobEvent.id")
        .required("JobEvent.kind")
        // Compared only where it is given.
        .volatile("JobEvent.occur_time")
        .text("JobOperation.type", 1..=128)
        .text("Job.target", 0..=256)
        .text("Job.policy_type", 0..=64)
        .text("JobEvent.id", 1..=128)
        .text("JobEvent.host", 0..=256)
        .text("JobEvent.message", 0..=16 << 10)
        .text("JobEvent.error", 0..=16 << 10)
        .number("Job.priority", any.clone())
        .number("JobResult.exit_status", any)
        .number("JobResult.bytes", 0.0..=MOST)
        .number("JobResult.files", 0.0..=MOST)
        .except("AppendJobEvents: in an empty workspace", "its jobs do not exist")
        .except("AppendJobEvents events[2].result: the example does not give it", "see events.rs");
    for path in ["CreateJob job", "BatchCreateJobs requests[1].job"] {
        let problem = format!("{path}.operation.data: its range is not given");
        contract = contract.except(&problem, "it is JSON: see create.rs");
    }
    contract.check(open).await;
}
