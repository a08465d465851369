//! A client of Quire's services.
//!
//! A [`Client`] is a connection to a server with the caller's credential. It is what the generated clients call, so
//! each call has the credential, a deadline and the user agent in place. Every list is a stream of rows:
//!
//! ```no_run
//! use client::Client;
//! use futures_util::TryStreamExt;
//! use pagination::WalkExt;
//! use quire_proto::jobs::v1::{JobStatus, ListJobsRequest, job_service_client::JobServiceClient};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::builder("https://quire.example:50051").api_key("the secret of an API key").connect().await?;
//! let jobs = JobServiceClient::new(client);
//! let mut failed = jobs.walk(ListJobsRequest { statuses: vec![JobStatus::Failed.into()], ..Default::default() });
//! while let Some(job) = failed.try_next().await? {
//!     println!("{} {}", job.id, job.error);
//! }
//! # Ok(()) }
//! ```
//!
//! The connection is made again when it breaks. A walk tries again by itself; other calls return UNAVAILABLE.

mod builder;
mod connection;
mod error;
pub mod lists;
mod service;
mod session;
mod timeout;

pub use self::{
    builder::{Builder, DEFAULT_DEADLINE},
    connection::{Address, Cause},
    error::Error,
    service::Client,
    timeout::grpc_timeout,
};
