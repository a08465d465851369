//! JSON, NDJSON and CSV, and single records.
use insta::assert_snapshot;
use serde_json::{Value, json};

use super::{Format, ago, choice, from_json, kinds, message, printed, terminal};

/// A message with a value in every field.
fn full() -> Value {
    json!({
        "bool": true, "int32": -5, "int64": "9223372036854775807", "uint32": 5, "uint64": "18446744073709551615",
        "float": 0.1, "double": 1e300, "string": "a \"b\",\n\tc", "bytes": "AAH/", "color": "PAINT_COLOR_DARK_RED",
        "time": "2026-10-01T12:00:00.5Z", "duration": "90.5s", "inner": {"text": "t", "color": "OTHER"}, "optional": 0,
        "texts": ["a", "b,c"], "colors": ["PAINT_COLOR_RED", 77], "map": {"b": "2", "d": "4", "a": "1", "e": "5", "c": "3"},
        "inners": {"7": {"text": "seven"}}, "times": ["2026-10-01T12:00:00Z"], "struct": {"x": [1, null]},
        "nested": {"color": "PAINT_COLOR_RED"}, "list": [{"text": "l"}],
    })
}

#[test]
fn json_has_every_kind_of_value() {
    let rows = [vec![full()], vec![], vec![json!({}), json!({"double": "NaN", "float": "-Infinity", "color": 99})]];
    let text = printed(&choice(Format::Json, &[]), None, &kinds(), &rows);
    assert_snapshot!(text, @r#"
    {
      "rows": [
        {"bool":true,"int32":-5,"int64":9223372036854775807,"uint32":5,"uint64":18446744073709551615,"float":0.1,"double":1e+300,"string":"a \"b\",\n\tc","bytes":"AAH/","color":"dark_red","time":"2026-10-01T12:00:00.500Z","duration":"90.500s","inner":{"text":"t","color":"other"},"optional":0,"texts":["a","b,c"],"colors":["red",77],"map":{"a":"1","b":"2","c":"3","d":"4","e":"5"},"inners":{"7":{"text":"seven","color":"unspecified"}},"times":["2026-10-01T12:00:00Z"],"struct":{"x":[1.0,null]},"nested":{"color":"PAINT_COLOR_RED"},"list":[{"text":"l","color":"unspecified"}]},
        {"bool":false,"int32":0,"int64":0,"uint32":0,"uint64":0,"float":0.0,"double":0.0,"string":"","bytes":"","color":"unspecified","texts":[],"colors":[],"map":{},"inners":{},"times":[],"list":[]},
        {"bool":false,"int32":0,"int64":0,"uint32":0,"uint64":0,"float":"-Infinity","double":"NaN","string":"","bytes":"","color":99,"texts":[],"colors":[],"map":{},"inners":{},"times":[],"list":[]}
      ],
      "page": {}
    }
    "#);
    let document: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(document["rows"].as_array().unwrap().len(), 3);
}

#[test]
fn json_without_rows_is_a_document() {
    let text = printed(&choice(Format::Json, &[]), None, &kinds(), &[]);
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), json!({"rows": [], "page": {}}));
    assert_eq!(printed(&choice(Format::Ndjson, &[]), None, &kinds(), &[vec![]]), "");
}

#[test]
fn csv_has_nested_fields_as_columns() {
    let text = printed(&choice(Format::Csv, &[]), None, &kinds(), &[vec![full()], vec![json!({})]]);
    assert_snapshot!(text, @r#"
    bool,int32,int64,uint32,uint64,float,double,string,bytes,color,time,duration,inner.text,inner.color,optional,texts,colors,map,inners,times,struct,nested,list
    true,-5,9223372036854775807,5,18446744073709551615,0.1,1e+300,"a ""b"",
    	c",AAH/,dark_red,2026-10-01T12:00:00.500Z,90.500s,t,other,0,"[""a"",""b,c""]","[""red"",77]","{""a"":""1"",""b"":""2"",""c"":""3"",""d"":""4"",""e"":""5""}","{""7"":{""text"":""seven"",""color"":""unspecified""}}","[""2026-10-01T12:00:00Z""]","{""x"":[1.0,null]}","{""color"":""PAINT_COLOR_RED""}","[{""text"":""l"",""color"":""unspecified""}]"
    false,0,0,0,0,0.0,0.0,,,unspecified,,,,,,[],[],{},{},[],,,[]
    "#);
    assert_eq!(printed(&choice(Format::Csv, &["optional"]), None, &kinds(), &[]), "optional\n");
    // An empty line would be no row.
    assert_eq!(printed(&choice(Format::Csv, &["optional"]), None, &kinds(), &[vec![json!({})]]), "optional\n\"\"\n");
}

#[test]
fn columns_choose_the_fields_of_every_format_and_their_order() {
    let columns = ["string", "inner.color", "bool", "inner.text"];
    let text = |format| printed(&choice(format, &columns), None, &kinds(), &[vec![full()]]);
    assert_eq!(
        text(Format::Ndjson),
        "{\"string\":\"a \\\"b\\\",\\n\\tc\",\"inner\":{\"color\":\"other\",\"text\":\"t\"},\"bool\":true}\n"
    );
    assert_eq!(text(Format::Csv).lines().next(), Some("string,inner.color,bool,inner.text"));
    assert_eq!(text(Format::Table), "string\tinner.color\tbool\tinner.text\na \"b\",\\n\\tc\tother\ttrue\tt\n");
}

fn record(format: Format, is_terminal: bool, row: &prost_reflect::MessageDescriptor, json: &Value) -> String {
    let terminal = if is_terminal { terminal(80) } else { None };
    String::from_utf8(choice(format, &[]).one(&from_json(row, json), terminal).unwrap()).unwrap()
}

#[test]
fn a_record_is_a_field_on_each_line() {
    let version = json!({"promptId": "01976398-ff94-7aa0-a70c-5d18b1eda8ff", "version": 3, "author": "maria\u{1b}[31m",
        "content": "You summarise incidents.\n\nWrite three sentences.\u{9b}\n", "variables": ["reader"], "createTime": ago(330)});
    let row = message("prompts.v1.PromptVersion");
    let text = record(Format::Table, true, &row, &version);
    assert_snapshot!(text, @r#"
    prompt_id: 01976398-ff94-7aa0-a70c-5d18b1eda8ff
    version: 3
    content:
    You summarise incidents.

    Write three sentences.�
    model:
    author: maria�[31m
    variables: ["reader"]
    content_hash:
    create_time: 2026-10-01T11:54:30Z (5m ago)
    "#);
    assert!(record(Format::Table, false, &row, &version).contains("Write three sentences.\u{9b}\n"));
    assert_snapshot!(record(Format::Json, true, &message("prompts.v1.Label"), &json!({"label": "production", "version": 3})), @r#"
    {
      "prompt_id": "",
      "label": "production",
      "version": 3,
      "assigned_by": ""
    }
    "#);
    assert_eq!(
        record(Format::Csv, false, &message("prompts.v1.Label"), &json!({"label": "x"})),
        "prompt_id,label,version,assigned_by,assign_time\n,x,0,,\n"
    );
}

#[test]
fn a_list_in_a_record_is_a_table() {
    let response = json!({"job": {"id": "01976398", "status": "JOB_STATUS_FAILED", "operation": {"type": "reboot"}}, "hosts": [
        {"host": "web-1", "state": "JOB_EVENT_KIND_COMPLETED"}, {"host": "web-17", "state": "JOB_EVENT_KIND_FAILED", "error": "timeout"}]});
    assert_snapshot!(record(Format::Table, true, &message("jobs.v1.GetJobResponse"), &response), @"
    job.id: 01976398
    job.operation.type: reboot
    job.operation.data:
    job.target:
    job.status: failed
    job.priority: 0
    job.policy_type:
    job.changed: false
    job.bytes: 0
    job.files: 0
    job.error:
    job.retried_from:
    job.retried_as:
    job.etag:
    hosts:
    host    state      end_time  error    start_time
    web-1   completed  -         -        -
    web-17  failed     -         timeout  -
    ");
}
