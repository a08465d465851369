//! Every method of the service keeps what all methods promise.
use jobs::SERVICE;
use platform::testing::contract::Contract;

const CREATE: &str = r#"{"job": {"id": "01934f6e-8a3b-7c21-9d55-0242ac120001",
    "operation": {"type": "backup.create", "data": "{\"keep_days\": 35}"}, "target": "group/databases", "priority": 20,
    "policy_type": "backup"}}"#;

const BATCH: &str = r#"{"requests": [
    {"job": {"id": "01934f6e-8a3b-7c21-9d55-0242ac120002",
        "operation": {"type": "backup.create", "data": "{\"keep_days\": 14}"}, "target": "group/databases",
        "priority": 10, "policy_type": "backup"}},
    {"job": {"id": "01934f6e-8a3b-7c21-9d55-0242ac120003",
        "operation": {"type": "service.deploy", "data": "{\"version\": 7}"}, "target": "service/search",
        "priority": -10, "policy_type": "patch"}}]}"#;

const APPEND: &str = r#"{"events": [
    {"id": "e1", "job_id": "01934f6e-8a3b-7c21-9d55-0242ac120001", "kind": "JOB_EVENT_KIND_FAILED", "host": "db-1",
        "message": "begun", "error": "full", "result": {"changed": true, "exit_status": 2, "bytes": 10, "files": 3},
        "occur_time": "2026-11-01T12:00:00.123456Z"},
    {"id": "e2", "job_id": "01934f6e-8a3b-7c21-9d55-0242ac120001", "kind": "JOB_EVENT_KIND_FAILED", "host": "db-2",
        "message": "begun", "error": "full", "result": {"changed": true, "exit_status": 3, "bytes": 20, "files": 4},
        "occur_time": "2026-11-01T12:00:01Z"}]}"#;

const APPEND_OTHER: &str = r#"{"events": [{"id": "e3", "job_id": "01934f6e-8a3b-7c21-9d55-0242ac120002",
    "kind": "JOB_EVENT_KIND_FAILED", "host": "db-1", "occur_time": "2026-11-01T12:00:00Z"}]}"#;

#[tokio::test(flavor = "multi_thread")]
async fn every_method_keeps_its_promises() {
    const ID: &str = r#"{"id": "01934f6e-8a3b-7c21-9d55-0242ac120001"}"#;
    const LIST: &str = r#"{"statuses": ["JOB_STATUS_FAILED"], "operation_type": "backup.create",
        "target": "group/databases", "policy_type": "backup", "create_time_from": "2025-01-01T00:00:00Z",
        "create_time_before": "2030-01-01T00:00:00Z", "end_time_from": "2025-01-01T00:00:00Z",
        "end_time_before": "2030-01-01T00:00:00Z"}"#;
    let priority = f64::from(i32::MIN)..=f64::from(i32::MAX);
    Contract::of(&SERVICE)
        .example("CreateJob", CREATE)
        .example("BatchCreateJobs", BATCH)
        .example("AppendJobEvents", APPEND)
        .example("AppendJobEvents", APPEND_OTHER)
        .example("GetJob", ID)
        .example("ListJobs", LIST)
        .example("ListJobEvents", r#"{"job_id": "01934f6e-8a3b-7c21-9d55-0242ac120001"}"#)
        .example("GetQueueStats", "{}")
        .example("RetryJob", ID)
        .example("DeleteJob", ID)
        .unique("Job.id")
        .unique("JobEvent.id")
        .required("JobEvent.kind")
        .volatile("JobEvent.occur_time")
        .text("JobOperation.type", 1..=128)
        .form("JobOperation.data", "must", &["{}", "{\"a\": [1, null]}"], &["x", "[]", "{", "\0", "1"])
        .text("Job.target", 0..=256)
        .text("Job.policy_type", 0..=64)
        .text("JobEvent.id", 1..=128)
        .text("JobEvent.host", 0..=256)
        .text("JobEvent.message", 0..=16 << 10)
        .text("JobEvent.error", 0..=16 << 10)
        .number("Job.priority", priority)
        .number("JobResult.exit_status", f64::from(i32::MIN)..=f64::from(i32::MAX))
        .number("JobResult.bytes", 0.0..=1e15)
        .number("JobResult.files", 0.0..=1e15)
        .except("AppendJobEvents events[1].kind", "an event that does not end has no result")
        .except("AppendJobEvents: all of", "a result needs a kind that is right")
        .except("RetryJob: id is kept", "the answer is another job")
        .check()
        .await;
}
