//! The service behind a real socket, on its own database, and helpers for requests.
use meter::SERVICE;
use platform::{
    Platform,
    testing::{self, there_and_back},
};
use prost_types::Timestamp;
use quire_proto::{
    meter::v1::{
        ListUsageRequest, RecordUsageRequest, SummarizeUsageRequest, UsageDimension, UsageRecord, UsageSummary,
        meter_service_client::MeterServiceClient,
    },
    pagination::v1::{PageRequest, PageResponse},
};
use tonic::{Status, transport::Channel};

pub type Client = MeterServiceClient<Channel>;

/// The service on a new database.
pub async fn start() -> (Platform, Client) {
    let platform = testing::platform().await;
    let client = start_on(&platform).await;
    (platform, client)
}

/// The service on this platform.
pub async fn start_on(platform: &Platform) -> Client {
    MeterServiceClient::new(testing::serve_on(platform, &SERVICE).await)
}

/// A record with only the required fields.
pub fn named(request_id: impl Into<String>) -> UsageRecord {
    UsageRecord { request_id: request_id.into(), ..Default::default() }
}

/// A record with this cost.
pub fn costing(request_id: impl Into<String>, cost_usd: &str) -> UsageRecord {
    UsageRecord { cost_usd: cost_usd.to_owned(), ..named(request_id) }
}

/// A time, in seconds since the beginning of 2026.
pub fn at(seconds: i64) -> Option<Timestamp> {
    Some(Timestamp { seconds: 1_767_225_600 + seconds, nanos: 0 })
}

/// Records usage. Returns how many records were inserted, and how many were skipped.
pub async fn record(client: &Client, records: &[UsageRecord]) -> Result<(i32, i32), Status> {
    let request = RecordUsageRequest { records: records.to_vec() };
    let response = client.clone().record_usage(request).await?.into_inner();
    Ok((response.recorded_count, response.passed_over_count))
}

/// Lists the first 200 records, earliest first.
pub async fn list(client: &Client, request: ListUsageRequest) -> Vec<UsageRecord> {
    let page = Some(PageRequest { page_size: 200, ..Default::default() });
    let request = ListUsageRequest { page, order_by: "occur_time".to_owned(), ..request };
    client.clone().list_usage(request).await.unwrap().into_inner().records
}

/// A request for the sums of all usage, grouped by these dimensions.
pub fn grouped(group_by: &[UsageDimension]) -> SummarizeUsageRequest {
    SummarizeUsageRequest {
        group_by: group_by.iter().map(|&dimension| dimension.into()).collect(),
        start_time: Some(Timestamp { seconds: -62_135_596_800, nanos: 0 }),
        end_time: Some(Timestamp { seconds: 253_402_300_799, nanos: 0 }),
        ..Default::default()
    }
}

/// A page of sums, and its `PageResponse`.
pub async fn summarize(
    client: &Client,
    request: SummarizeUsageRequest,
) -> Result<(Vec<UsageSummary>, PageResponse), Status> {
    let response = client.clone().summarize_usage(request).await?.into_inner();
    Ok((response.summaries, response.page.unwrap()))
}

/// All sums of a request.
pub async fn sums(client: &Client, request: &SummarizeUsageRequest, page_size: i32) -> Vec<UsageSummary> {
    let fetch =
        async |page| summarize(client, SummarizeUsageRequest { page: Some(page), ..request.clone() }).await.unwrap();
    there_and_back(page_size, fetch).await.concat()
}
