//! Usage records, written by RecordUsage and by COPY.

use std::fmt::Write;

use prost_types::Timestamp;
use quire_proto::{
    meter::v1::{ListUsageRequest, RecordUsageRequest, UsageRecord, meter_service_client::MeterServiceClient},
    pagination::v1::PageRequest,
};
use sqlx::PgConnection;
use tonic::transport::Channel;

use crate::{
    Result,
    client::{PAGE, in_workspace},
    server::Server,
    timing::{Stopwatch, Time},
};

/// The records of a call.
pub(crate) const BATCH: u64 = 1_000;

/// When the first record occurred.
const BEGIN: i64 = 1_750_000_000;

/// The record with this number, which determines all fields.
fn record(number: u64) -> UsageRecord {
    UsageRecord {
        request_id: format!("request-{number:012}"),
        team_id: format!("team-{}", number % 20),
        agent_id: format!("agent-{}", number % 500),
        surface: "chat".to_owned(),
        event_type: "completion".to_owned(),
        model: format!("model-{}", number % 7),
        provider: format!("provider-{}", number % 3),
        input_tokens: (number % 5_000) as i64,
        output_tokens: (number % 900) as i64,
        cost_usd: format!("0.{:06}", number % 999_999 + 1),
        metadata: [("ticket".to_owned(), format!("{number:x}"))].into(),
        occur_time: Some(Timestamp { seconds: BEGIN + (number / 10) as i64, nanos: 0 }),
        ..Default::default()
    }
}

/// A caller of the meter in one workspace, with one call in flight at a time.
#[derive(Clone)]
pub(crate) struct Meter {
    stub: MeterServiceClient<Channel>,
    workspace: &'static str,
}

impl Meter {
    pub(crate) async fn connect(server: &Server, workspace: &'static str) -> Result<Self> {
        Ok(Self { stub: MeterServiceClient::new(server.connect().await?), workspace })
    }

    /// Records one batch that starts with this number. Returns the time of the call, without the time to build the
    /// records.
    pub(crate) async fn record(&mut self, first: u64) -> Result<Time> {
        let records = (first..first + BATCH).map(record).collect();
        let request = in_workspace(self.workspace, RecordUsageRequest { records })?;
        let stopwatch = Stopwatch::start();
        let recorded = self.stub.record_usage(request).await?.into_inner().recorded_count;
        let time = stopwatch.elapsed();
        if recorded == BATCH as i32 { Ok(time) } else { Err(format!("recorded {recorded} of {BATCH}").into()) }
    }

    /// Fetches the page at this token. Returns its time and the token of the next page.
    pub(crate) async fn page(&mut self, page_token: String) -> Result<(Time, String)> {
        let page = PageRequest { page_size: PAGE as i32, page_token, ..Default::default() };
        let request = in_workspace(self.workspace, ListUsageRequest { page: Some(page), ..Default::default() })?;
        let stopwatch = Stopwatch::start();
        let response = self.stub.list_usage(request).await?.into_inner();
        let time = stopwatch.elapsed();
        if response.records.len() == PAGE {
            Ok((time, response.page.unwrap_or_default().next_page_token))
        } else {
            Err("a page of usage was short".into())
        }
    }
}

/// Writes one batch of records by COPY into the same table, in its own workspace. Returns the time, without the time to
/// build the text.
pub(crate) async fn copy(connection: &mut PgConnection, first: u64) -> Result<Time> {
    let mut text = String::new();
    for number in first..first + BATCH {
        let record = record(number);
        let seconds = record.occur_time.unwrap_or_default().seconds;
        let ticket = record.metadata.values().next().map(String::as_str).unwrap_or_default();
        writeln!(
            text,
            "copied\t{:032x}\t{}\t{}\t{}\tchat\tcompletion\t{}\t{}\t{}\t{}\t0\t0\t{}\t{{\"ticket\": \"{ticket}\"}}\t{}\t{}",
            // Ordered by time, like the ids of the service.
            u128::from(number) << 80 | 0x7000_8000_0000_0000_0000,
            record.request_id,
            record.team_id,
            record.agent_id,
            record.model,
            record.provider,
            record.input_tokens,
            record.output_tokens,
            record.cost_usd,
            timestamp(seconds),
            timestamp(seconds),
        )?;
    }
    let stopwatch = Stopwatch::start();
    let sql =
        "copy usage_records (workspace_id, id, request_id, team_id, agent_id, surface, event_type, model, provider,
        input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, cost_usd, metadata, occur_time, create_time)
        from stdin";
    let mut copy = connection.copy_in_raw(sql).await?;
    copy.send(text.as_bytes()).await?;
    let copied = copy.finish().await?;
    let time = stopwatch.elapsed();
    if copied == BATCH { Ok(time) } else { Err(format!("copied {copied} of {BATCH}").into()) }
}

fn timestamp(seconds: i64) -> String {
    Timestamp { seconds, nanos: 0 }.to_string()
}
