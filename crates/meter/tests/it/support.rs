//! The service behind a real socket, on a database of the test's own, and short ways to say what it is asked.
use meter::Meter;
pub use platform::testing::{from, page, there_and_back, told};
use platform::{Platform, testing};
use prost_types::Timestamp;
use quire_proto::{
    meter::v1::{
        ListUsageRequest, RecordUsageRequest, SummarizeUsageRequest, UsageDimension, UsageRecord, UsageSummary,
        meter_service_client::MeterServiceClient,
    },
    pagination::v1::PageResponse,
};
use tonic::{Status, transport::Channel};

pub type Client = MeterServiceClient<Channel>;

/// The orders of ListUsage, the default first.
pub const ORDERS: [&str; 2] = ["occur_time desc", "occur_time"];

/// The service on a new database.
pub async fn start() -> (Platform, Client) {
    let platform = testing::platform().await;
    let client = start_on(&platform).await;
    (platform, client)
}

/// The service on a platform that a test made.
pub async fn start_on(platform: &Platform) -> Client {
    let meter = Meter::open(platform).await.unwrap();
    MeterServiceClient::new(testing::serve(meter.server()).await)
}

/// A use of which nothing is given but what it must have.
pub fn named(request_id: impl Into<String>) -> UsageRecord {
    UsageRecord { request_id: request_id.into(), ..Default::default() }
}

/// A use that cost this.
pub fn costing(request_id: impl Into<String>, cost_usd: &str) -> UsageRecord {
    UsageRecord { cost_usd: cost_usd.to_owned(), ..named(request_id) }
}

/// A time: so many seconds since the beginning of 2026.
pub fn at(seconds: i64) -> Option<Timestamp> {
    Some(Timestamp { seconds: 1_767_225_600 + seconds, nanos: 0 })
}

/// Records uses, as a caller of this workspace: how many were recorded, and how many passed over.
pub async fn record_in(client: &Client, workspace: &str, records: &[UsageRecord]) -> Result<(i32, i32), Status> {
    let request = RecordUsageRequest { records: records.to_vec() };
    let response = client.clone().record_usage(from(workspace, request)).await?.into_inner();
    Ok((response.recorded_count, response.passed_over_count))
}

/// Records uses, as a caller of the workspace `default`.
pub async fn record(client: &Client, records: &[UsageRecord]) -> Result<(i32, i32), Status> {
    record_in(client, "default", records).await
}

/// A page of uses and where it stands, as a caller of this workspace.
pub async fn list_in(
    client: &Client,
    workspace: &str,
    request: &ListUsageRequest,
) -> Result<(Vec<UsageRecord>, PageResponse), Status> {
    let response = client.clone().list_usage(from(workspace, request.clone())).await?.into_inner();
    Ok((response.records, response.page.unwrap()))
}

/// All uses that a request lists, as a caller of this workspace.
pub async fn walk_in(client: &Client, workspace: &str, request: &ListUsageRequest, page_size: i32) -> Vec<UsageRecord> {
    let fetch = async |page| {
        list_in(client, workspace, &ListUsageRequest { page: Some(page), ..request.clone() }).await.unwrap()
    };
    there_and_back(page_size, fetch).await.concat()
}

/// All uses that a request lists, as a caller of the workspace `default`.
pub async fn walk(client: &Client, request: &ListUsageRequest) -> Vec<UsageRecord> {
    walk_in(client, "default", request, 200).await
}

/// Asks for uses in an order.
pub fn by(order_by: &str) -> ListUsageRequest {
    ListUsageRequest { order_by: order_by.to_owned(), ..Default::default() }
}

/// Asks for the sums of all usage by these groups.
pub fn grouped(group_by: &[UsageDimension]) -> SummarizeUsageRequest {
    SummarizeUsageRequest {
        group_by: group_by.iter().map(|&dimension| dimension.into()).collect(),
        start_time: Some(Timestamp { seconds: -62_135_596_800, nanos: 0 }),
        end_time: Some(Timestamp { seconds: 253_402_300_799, nanos: 0 }),
        ..Default::default()
    }
}

/// A page of sums and where it stands, as a caller of this workspace.
pub async fn summarize_in(
    client: &Client,
    workspace: &str,
    request: &SummarizeUsageRequest,
) -> Result<(Vec<UsageSummary>, PageResponse), Status> {
    let response = client.clone().summarize_usage(from(workspace, request.clone())).await?.into_inner();
    Ok((response.summaries, response.page.unwrap()))
}

/// All sums that a request asks for, as a caller of this workspace.
pub async fn sums_in(
    client: &Client,
    workspace: &str,
    request: &SummarizeUsageRequest,
    page_size: i32,
) -> Vec<UsageSummary> {
    let fetch = async |page| {
        summarize_in(client, workspace, &SummarizeUsageRequest { page: Some(page), ..request.clone() }).await.unwrap()
    };
    there_and_back(page_size, fetch).await.concat()
}

/// All sums that a request asks for, as a caller of the workspace `default`.
pub async fn sums(client: &Client, request: &SummarizeUsageRequest) -> Vec<UsageSummary> {
    sums_in(client, "default", request, 200).await
}
