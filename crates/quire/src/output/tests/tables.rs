//! Tables on a terminal, and off it.
use insta::assert_snapshot;
use prost_reflect::MessageDescriptor;
use serde_json::{Value, json};

use super::{Format, Terminal, ago, choice, message, printed, refusal, terminal};

fn job(status: &str, operation: &str, target: &str, error: &str) -> Value {
    let operation = json!({"type": operation, "data": "{}"});
    json!({"id": "01976398-ff94-7aa0-a70c-5d18b1eda8ff", "status": format!("JOB_STATUS_{status}"), "operation": operation,
        "target": target, "error": error, "createTime": ago(330), "priority": 5})
}

fn jobs() -> (MessageDescriptor, Vec<Vec<Value>>) {
    let first = vec![
        job("FAILED", "disk-cleanup", "web-17", "no space left on device"),
        job("COMPLETED", "reboot", "web-1", ""),
    ];
    // Wider than the columns, which are those of the first page.
    let second = vec![job("PARTIAL_FAILURE", "certificate-renewal", "web-17.eu-central.example", "")];
    (message("jobs.v1.Job"), vec![first, second])
}

#[test]
fn columns_that_do_not_fit_are_omitted_and_widths_stay() {
    let (row, pages) = jobs();
    let table = |width| printed(&choice(Format::Table, &[]), terminal(width), &row, &pages);
    for width in [1, 20, 40, 80, 120] {
        let widths: Vec<_> = table(width).lines().map(console::measure_text_width).collect();
        let (header, first) = (widths[0], widths[1]);
        assert!(header <= width && first <= width, "{widths:?}");
    }
    assert_snapshot!(table(80), @"
    id                                    status     create_time  operation.type
    01976398-ff94-7aa0-a70c-5d18b1eda8ff  failed     5m ago       disk-cleanup
    01976398-ff94-7aa0-a70c-5d18b1eda8ff  completed  5m ago       reboot
    01976398-ff94-7aa0-a70c-5d18b1eda8ff  partial_…  5m ago       certificate-renew…
    ");
    assert_snapshot!(table(40), @"
    id
    01976398-ff94-7aa0-a70c-5d18b1eda8ff
    01976398-ff94-7aa0-a70c-5d18b1eda8ff
    01976398-ff94-7aa0-a70c-5d18b1eda8ff
    ");
    assert_snapshot!(table(120), @"
    id                                    status     create_time  operation.type  target  error                    priority
    01976398-ff94-7aa0-a70c-5d18b1eda8ff  failed     5m ago       disk-cleanup    web-17  no space left on device         5
    01976398-ff94-7aa0-a70c-5d18b1eda8ff  completed  5m ago       reboot          web-1   -                               5
    01976398-ff94-7aa0-a70c-5d18b1eda8ff  partial_…  5m ago       certificate-r…  web-1…  -                               5
    ");
}

#[test]
fn wide_shows_every_field_whole() {
    let (row, pages) = jobs();
    let table = printed(&choice(Format::Wide, &[]), terminal(40), &row, &pages[1..]);
    let header: Vec<_> = table.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(header.len(), 19, "{header:?}");
    assert!(table.contains("  web-17.eu-central.example  ") && !table.contains("ago"), "{table}");
}

#[test]
fn a_table_off_a_terminal_is_tab_separated_whole_and_on_one_line_each() {
    let (row, _) = jobs();
    let mut job = job("FAILED", "tab\there", "back\\slash", "line\nanother\r\u{1b}[31m\u{9b}");
    job["createTime"] = json!("2026-10-01T12:00:00.123456Z");
    let table = printed(&choice(Format::Table, &[]), None, &row, &[vec![job]]);
    assert_snapshot!(table, @r"
    id	status	create_time	operation.type	target	error	priority	end_time	exit_status	policy_type
    01976398-ff94-7aa0-a70c-5d18b1eda8ff	failed	2026-10-01T12:00:00.123456Z	tab\there	back\\slash	line\nanother\r\u001b[31m\u009b	5
    ");
    assert_eq!(table.lines().map(|line| line.split('\t').count()).collect::<Vec<_>>(), [10, 10]);
}

#[test]
fn a_table_without_rows_has_a_header_off_a_terminal_only() {
    let (row, _) = jobs();
    let columns = choice(Format::Table, &["id", "operation"]);
    assert_eq!(printed(&columns, None, &row, &[]), "id\toperation.type\toperation.data\n");
    assert_eq!(printed(&columns, None, &row, &[vec![], vec![]]), "id\toperation.type\toperation.data\n");
    assert_eq!(printed(&columns, terminal(80), &row, &[vec![]]), "");
}

#[test]
fn values_do_not_control_the_terminal() {
    let (row, _) = jobs();
    let harmful = "a\u{1b}]0;title\u{7}\u{9b}31m\u{202e}\r\n\tb";
    let rows = [vec![job("FAILED", harmful, harmful, harmful)]];
    for format in [Format::Table, Format::Wide, Format::Json, Format::Ndjson, Format::Csv] {
        let text = printed(&choice(format, &["operation.type", "target", "error"]), terminal(200), &row, &rows);
        let harmful: Vec<_> = text.matches(|c: char| c != '\n' && c.is_control() || c == '\u{202e}').collect();
        assert_eq!(harmful, [""; 0], "{format:?}");
    }
    let table = printed(&choice(Format::Table, &["operation.type", "status"]), terminal(80), &row, &rows);
    assert_snapshot!(table, @"
    operation.type        status
    a�]0;title��31m�   b  failed
    ");
}

#[test]
fn wide_characters_are_aligned_and_cut_by_their_width() {
    let (row, _) = jobs();
    let rows = vec![
        job("FAILED", "磁盘清理磁盘清理磁盘清理磁盘清理磁盘清理磁盘清理磁盘清理", "web-17", ""),
        job("FAILED", "e\u{301}te\u{301}", "👩‍💻 écran", ""),
    ];
    let table = printed(&choice(Format::Table, &["operation.type", "target", "status"]), terminal(44), &row, &[rows]);
    assert_snapshot!(table, @"
    operation.type                      target
    磁盘清理磁盘清理磁盘清理磁盘清理…  web-17
    été                                 👩‍💻 écran
    ");
}

#[test]
fn a_long_value_does_not_hide_the_other_columns() {
    let row = message("memory.v1.Memory");
    let memory = json!({"id": "01976398-ff94-7aa0-a70c-5d18b1eda8ff", "scope": "MEMORY_SCOPE_USER", "type": "fact",
        "content": "x".repeat(200_000), "tags": ["a", "b"], "metadata": {"b": "2", "a": "1"}});
    let table = |columns: &[&str], width| {
        printed(&choice(Format::Table, columns), terminal(width), &row, &[vec![memory.clone()]])
    };
    assert_snapshot!(table(&[], 80), @"
    id                                    scope  content                        type
    01976398-ff94-7aa0-a70c-5d18b1eda8ff  user   xxxxxxxxxxxxxxxxxxxxxxxxxxxx…  fact
    ");
    assert_snapshot!(table(&["content", "type", "scope", "tags", "metadata", "confidence"], 80), @"
    content                                  type  scope  tags  metadata  confidence
    xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…  fact  user   a, b  a=1, b=2           -
    ");
}

#[test]
fn numbers_are_never_cut() {
    let row = message("meter.v1.UsageRecord");
    let page = |tokens: u64| vec![json!({"inputTokens": tokens, "model": "large-2"})];
    let pages = [page(1), page(123_456_789_012_345)];
    let table =
        printed(&choice(Format::Table, &["model", "input_tokens", "output_tokens"]), terminal(25), &row, &pages);
    assert_snapshot!(table, @"
    model    input_tokens
    large-2             1
    large-2  123456789012345
    ");
}

#[test]
fn only_styles_of_the_program_reach_a_terminal_that_has_them() {
    let (row, pages) = jobs();
    let styles = terminal(60).map(|terminal| Terminal { has_styles: true, ..terminal });
    let table = printed(&choice(Format::Table, &["status", "target"]), styles, &row, &pages);
    assert_snapshot!(table.replace('\u{1b}', "ESC"), @"
    ESC[1mstatus   ESC[0m  ESC[1mtargetESC[0m
    ESC[31mfailed   ESC[0m  web-17
    ESC[32mcompletedESC[0m  web-1
    ESC[33mpartial_…ESC[0m  web-17.eu-central.example
    ");
}

#[test]
fn unknown_columns_are_refused_with_those_that_exist() {
    let (row, _) = jobs();
    assert_snapshot!(refusal(&row, &["id", "operation.typ"]), @r#"--columns: there is no column "operation.typ"; choose from id, operation.type, operation.data, target, status, priority, policy_type, changed, exit_status, bytes, files, error, retried_from, retried_as, create_time, start_time, end_time, update_time, etag"#);
    refusal(&row, &["operation."]);
    refusal(&row, &["operatio"]);
    refusal(&row, &[""]);
}

#[test]
fn times_are_how_long_ago() {
    let row = message("registry.v1.Agent");
    let agent = |seconds| json!({"heartbeatTime": ago(seconds), "timeToLive": "5400s"});
    let ages = [0, 1, 59, 60, 3_599, 3_600, 86_399, 86_400, 31_535_999, 31_536_000];
    let mut agents: Vec<_> = ages.into_iter().map(agent).collect();
    agents.push(json!({"heartbeatTime": "2026-10-01T12:10:00Z", "timeToLive": "-1.5s"}));
    agents.push(json!({}));
    let columns = choice(Format::Table, &["heartbeat_time", "time_to_live"]);
    assert_snapshot!(printed(&columns, terminal(80), &row, &[agents]), @"
    heartbeat_time  time_to_live
    now             1h 30m
    1s ago          1h 30m
    59s ago         1h 30m
    1m ago          1h 30m
    59m ago         1h 30m
    1h ago          1h 30m
    23h ago         1h 30m
    1d ago          1h 30m
    364d ago        1h 30m
    1y ago          1h 30m
    in 10m          -1.500s
    -               -
    ");
}
