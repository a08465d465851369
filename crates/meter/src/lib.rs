//! MeterService: usage records, and their exact sums.

mod input;
mod lists;

use database::Database;
use keyset::{CatalogueError, List, Query};
pub use lists::{SUMMARIES, USAGE, usage_fields};
use platform::{Caller, Existing, Import, MAX_REQUEST_BYTES, Opened, Platform, Service, TimeRange, create};
use quire_proto::{
    meter::v1::{
        ListUsageRequest, RecordUsageRequest, RecordUsageResponse, SummarizeUsageRequest,
        meter_service_server::{MeterService, MeterServiceServer, SERVICE_NAME},
    },
    pagination::v1::EncodedPage,
};
use tonic::{Request, Response, Status};

/// The registration of the service.
pub static SERVICE: Service = Service {
    name: "meter",
    grpc_name: SERVICE_NAME,
    open: |platform| Box::pin(async { Ok(Opened::new(Meter::open(platform).await?.server())) }),
    imports: &[Import {
        noun: "usage",
        records: "usage records",
        batch_method: "RecordUsage",
        list_method: "ListUsage",
        order: "request_id",
        samples: include_str!("../samples/usage.ndjson"),
    }],
};

/// The service.
#[derive(Debug, Clone)]
pub struct Meter {
    platform: Platform,
    database: Database,
    usage: List,
    summaries: List,
}

impl Meter {
    /// Opens the service on a migrated database.
    ///
    /// # Errors
    ///
    /// [`CatalogueError`] when the tables do not fit the service's lists.
    pub async fn open(platform: &Platform) -> Result<Self, CatalogueError> {
        Ok(Self {
            platform: platform.clone(),
            database: platform.database.clone(),
            usage: platform.paging.open(&USAGE).await?,
            summaries: platform.paging.open(&SUMMARIES).await?,
        })
    }

    /// The service as a tonic server.
    pub fn server(self) -> MeterServiceServer<Self> {
        MeterServiceServer::new(self).max_decoding_message_size(MAX_REQUEST_BYTES)
    }
}

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl MeterService for Meter {
    async fn record_usage(&self, request: Request<RecordUsageRequest>) -> Answer<RecordUsageResponse> {
        let caller = Caller::of(&request)?;
        let records = request.into_inner().records;
        let new = input::new_usage(records, &self.platform)?;
        let existing = create(self, &caller.workspace, &new, Existing::PassedOver).await?;
        let skipped = existing.iter().flatten().count();
        // The length of a batch fits in an i32.
        let [recorded_count, passed_over_count] = [new.len() - skipped, skipped].map(|count| count as i32);
        Ok(Response::new(RecordUsageResponse { recorded_count, passed_over_count }))
    }

    async fn list_usage(&self, request: Request<ListUsageRequest>) -> Answer<EncodedPage> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        let range = input::range(&request)?;
        Ok(Response::new(query(&self.usage, &caller, request, range).fetch().await?))
    }

    async fn summarize_usage(&self, request: Request<SummarizeUsageRequest>) -> Answer<EncodedPage> {
        let caller = Caller::of(&request)?;
        let (dimensions, range, request) = input::summary(request.into_inner())?;
        let query = dimensions.of(query(&self.summaries, &caller, request, range));
        Ok(Response::new(query.fetch().await?))
    }
}

/// Queries a page of one of the lists. Both lists have the same filters.
fn query<'a>(list: &'a List, caller: &Caller, request: ListUsageRequest, range: TimeRange) -> Query<'a> {
    list.page(request.page, &request.order_by)
        .scope(&caller.workspace)
        .filter("agent_id", request.agent_id)
        .filter("team_id", request.team_id)
        .filter("model", request.model)
        .filter("event_type", request.event_type)
        .filter("provider", request.provider)
        .filter("start_time", range.start)
        .filter("end_time", range.end)
}
