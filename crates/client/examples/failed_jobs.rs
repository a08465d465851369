//! Lists the jobs that have failed: `cargo run -p client --example failed_jobs -- http://127.0.0.1:50051`.
//! `QUIRE_API_KEY` has the secret of an API key, if the server has authentication.

#![allow(clippy::print_stdout, reason = "its output")]

use std::{env, error::Error};

use client::Client;
use futures_util::TryStreamExt;
use pagination::WalkExt;
use quire_proto::jobs::v1::{JobStatus, ListJobsRequest, job_service_client::JobServiceClient};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let server = env::args().nth(1).unwrap_or_else(|| "http://127.0.0.1:50051".to_owned());
    let mut builder = Client::builder(server);
    if let Ok(secret) = env::var("QUIRE_API_KEY") {
        builder = builder.api_key(secret);
    }
    let jobs = JobServiceClient::new(builder.connect().await?);

    let statuses = vec![JobStatus::Failed.into(), JobStatus::PartialFailure.into()];
    let mut failed = jobs.walk(ListJobsRequest { statuses, ..Default::default() });
    while let Some(job) = failed.try_next().await? {
        let operation = job.operation.unwrap_or_default();
        println!("{}\t{}\t{}", job.id, operation.r#type, job.error);
    }
    Ok(())
}
