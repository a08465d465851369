//! `quire keys`.

use std::collections::BTreeSet;

use ::database::DatabaseClock;
use access::is_workspace;
use identity::Identity;
use pagination::{PageTokens, TokenKeys};
use platform::{Caller, Clock, Platform, Scope};
use quire_proto::identity::v1::{
    ApiKey, CreateApiKeyRequest, CreateApiKeyResponse, identity_service_client::IdentityServiceClient,
    identity_service_server::IdentityService,
};
use sqlx::postgres::PgConnectOptions;
use tonic::Request;

use crate::{
    arguments::{Bootstrap, CreateKey, Keys},
    database::{self, Reached},
    error::Error,
    output,
    services::methods,
};

/// Runs one of the commands. A key's secret is written only to standard output, on a line of its own.
pub(crate) async fn run(keys: Keys) -> Result<(), Error> {
    match keys {
        Keys::Bootstrap(arguments) => bootstrap(arguments).await,
        Keys::Create(arguments) => create(arguments).await,
    }
}

/// Creates a key with all scopes. The only permission that this needs is access to the database.
async fn bootstrap(Bootstrap { database, workspace, name, subject }: Bootstrap) -> Result<(), Error> {
    if !is_workspace(&workspace) {
        return Err(Error::Workspace);
    }
    let (options, reached) = database::reach(&database).await?;
    let created = bootstrap_on(options, workspace, ApiKey { name, subject, ..Default::default() }).await;
    // Show the secret before anything else can fail.
    let shown = created.and_then(show_new);
    match reached {
        Reached::Started(server) => tokio::task::spawn_blocking(move || server.stop()).await??,
        Reached::ByUrl => {}
        Reached::Running(way) => drop(way),
    }
    shown
}

async fn bootstrap_on(
    options: PgConnectOptions,
    workspace: String,
    key: ApiKey,
) -> Result<CreateApiKeyResponse, Error> {
    ::database::migrate(&options).await?;
    // This command seals no page tokens, so any key will do.
    let tokens = TokenKeys::generate().map_err(|error| Error::Random(error.to_string()))?;
    let database = ::database::connect(options, ::database::Limits::default());
    let clock = DatabaseClock::of(&database).await.map_err(Error::Clock)?;
    let clock = Clock::new(move || clock.now());
    let platform = Platform::new(database, PageTokens::new(tokens.parse()?), clock, None);
    let scopes = methods()?.scopes().clone();
    let key = ApiKey { scopes: texts(&scopes), ..key };
    let mut request = Request::new(CreateApiKeyRequest { api_key: Some(key), ..Default::default() });
    request.extensions_mut().insert(Caller { workspace, subject: String::new(), scopes, session: None });
    let identity = Identity::open(&platform).await?;
    Ok(identity.create_api_key(request).await.map_err(|status| Error::of_call(&status))?.into_inner())
}

async fn create(CreateKey { connect, name, subject, scopes, expire_in }: CreateKey) -> Result<(), Error> {
    let time_to_live = expire_in.map(prost_types::Duration::try_from).transpose();
    let time_to_live = time_to_live.map_err(|_: prost_types::DurationError| Error::ExpireIn)?;
    let api_key = Some(ApiKey { name, subject, scopes, ..Default::default() });
    let request = CreateApiKeyRequest { api_key, time_to_live };
    let create = async |client| {
        let created = IdentityServiceClient::new(client).create_api_key(request).await;
        show_new(created.map_err(|status| Error::of_call(&status))?.into_inner())
    };
    connect.run(create).await
}

fn show_new(CreateApiKeyResponse { api_key, secret }: CreateApiKeyResponse) -> Result<(), Error> {
    let ApiKey { id, scopes, .. } = api_key.unwrap_or_default();
    tracing::info!(id, scopes = scopes.join(","), "created an API key; its secret is shown only once");
    print(&secret)
}

/// Prints a line to standard output.
fn print(line: &str) -> Result<(), Error> {
    output::print(format!("{line}\n").as_bytes())
}

fn texts(scopes: &BTreeSet<Scope>) -> Vec<String> {
    scopes.iter().map(|scope| scope.0.clone()).collect()
}
