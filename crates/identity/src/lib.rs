//! IdentityService: API keys, and the sessions and access tokens that are created with them.

mod input;
mod lists;
mod secrets;
mod sign_ins;
mod sweep;

use std::sync::Arc;

use access::{SigningKey, SigningKeys};
use database::Database;
pub use input::api_key_fields;
use keyset::{CatalogueError, List};
pub use lists::{API_KEYS, SESSIONS};
use platform::{Audit, Caller, Error, Opened, Platform, Resource, Retention, Scope, Service, now, parse_id, timestamp};
use quire_proto::{
    identity::v1::{
        CreateApiKeyRequest, CreateApiKeyResponse, CreateSessionRequest, CreateSessionResponse, Credentials,
        GetSessionRequest, GetSessionResponse, ListApiKeysRequest, ListSessionsRequest, RefreshSessionRequest,
        RefreshSessionResponse, RevokeApiKeyRequest, RevokeApiKeyResponse, RevokeSessionRequest, RevokeSessionResponse,
        RevokeSessionsRequest, RevokeSessionsResponse,
        identity_service_server::{IdentityService, IdentityServiceServer, SERVICE_NAME},
    },
    pagination::v1::EncodedPage,
};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::{
    lists::{
        api_keys, sessions,
        sessions::{Refreshed, Used},
    },
    secrets::{KeySecret, RefreshToken, hash},
    sign_ins::SignInLimits,
    sweep::Ended,
};

/// The registration of the service.
pub static SERVICE: Service = Service {
    name: "identity",
    grpc_name: SERVICE_NAME,
    open: |platform| {
        Box::pin(async {
            let opened = Opened::new(Identity::open(platform).await?.server());
            let Retention { sessions, api_keys, .. } = platform.retention;
            Ok(opened.with_sweep(Ended::sessions(sessions)).with_sweep(Ended::api_keys(api_keys)))
        })
    },
    // No samples: a published secret would be no secret.
    imports: &[],
};

/// The service.
#[derive(Debug, Clone)]
pub struct Identity {
    platform: Platform,
    database: Database,
    api_keys: List,
    sessions: List,
    sign_ins: Arc<SignInLimits>,
}

impl Identity {
    /// Opens the service on a migrated database.
    ///
    /// # Errors
    ///
    /// [`CatalogueError`] when the tables do not fit the service's lists.
    pub async fn open(platform: &Platform) -> Result<Self, CatalogueError> {
        Ok(Self {
            platform: platform.clone(),
            database: platform.database.clone(),
            api_keys: platform.paging.open(&API_KEYS).await?,
            sessions: platform.paging.open(&SESSIONS).await?,
            sign_ins: Arc::new(SignInLimits::new(platform.sign_ins)),
        })
    }

    /// The service as a tonic server.
    pub fn server(self) -> IdentityServiceServer<Self> {
        IdentityServiceServer::new(self)
    }

    /// Checks that the caller's session has not ended, and notes its API key. The access token says neither, and somebody
    /// whose stolen key was revoked must not end the keys and sessions of others with it.
    ///
    /// # Errors
    ///
    /// [`Error::Unauthenticated`] if the session or its key was revoked or has expired.
    async fn check_session(&self, caller: &Caller, audit: &Audit) -> Result<(), Error> {
        let Some(id) = caller.session else { return Ok(()) };
        let api_key_id = sessions::usable_api_key(self, &caller.workspace, id).await?;
        audit.note(|notes| {
            notes.who.api_key_id = api_key_id;
            notes.reason = api_key_id.is_none().then_some("SESSION_ENDED");
        });
        api_key_id.map(|_| ()).ok_or(Error::Unauthenticated)
    }

    /// The key that signs access tokens.
    fn signing_key(&self) -> Result<SigningKey, Error> {
        let key = self.platform.signing_keys.as_ref().and_then(SigningKeys::private);
        key.ok_or(Error::FailedPrecondition("this server has no keys to sign access tokens with"))
    }
}

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl IdentityService for Identity {
    async fn create_session(&self, request: Request<CreateSessionRequest>) -> Answer<CreateSessionResponse> {
        let key = self.signing_key()?;
        let audit = Audit::of(&request);
        let (device, peer, now) = (input::device(&request), request.remote_addr(), now(&self.platform.clock));
        let failed = |id| self.sign_ins.failed(peer, id, now);
        let CreateSessionRequest { secret, scopes } = request.into_inner();
        let KeySecret { workspace, id, bytes } = KeySecret::read(&secret).ok_or_else(|| failed(None))?;
        audit.note(|notes| (notes.who.workspace, notes.who.api_key_id) = (Some(workspace.clone()), Some(id)));
        let api_key = api_keys::find_usable(self, &workspace, id, &hash(&bytes)).await?;
        let api_key = api_key.ok_or_else(|| failed(Some(id)))?;
        audit.note(|notes| notes.who.subject = Some(api_key.subject.clone()));
        self.sign_ins.succeeded(id, now)?;
        let (new, refresh) = input::new_session(api_key, scopes, device, &self.platform)?;
        audit.note(|notes| (notes.target.session_id, notes.target.scopes) = (Some(new.id), new.scopes.clone()));
        let begun = sessions::insert(self, &workspace, &new).await?.ok_or(Error::Unauthenticated)?;
        let credentials = Some(credentials(&key, &begun, &refresh)?);
        Ok(Response::new(CreateSessionResponse { session: Some(begun.session), credentials }))
    }

    async fn refresh_session(&self, request: Request<RefreshSessionRequest>) -> Answer<RefreshSessionResponse> {
        let key = self.signing_key()?;
        let audit = Audit::of(&request);
        let (peer, now) = (request.remote_addr(), now(&self.platform.clock));
        let failed = |id| self.sign_ins.failed(peer, id, now);
        let used = RefreshToken::read(&request.into_inner().refresh_token).ok_or_else(|| failed(None))?;
        let id = used.session_id;
        audit.note(|notes| (notes.who.workspace, notes.target.session_id) = (Some(used.workspace.clone()), Some(id)));
        // Before the token is used, because a used token is worth nothing.
        self.sign_ins.check(id, now)?;
        let (refreshed, next) = match sessions::refresh(self, &used, used.next()?).await? {
            Used::Refreshed(refreshed, next) => (refreshed, next),
            Used::Revoked(subject) => {
                audit.note(|notes| {
                    notes.who.subject = Some(subject);
                    (notes.reason, notes.target.ended_count) = (Some("REFRESH_TOKEN_REUSED"), Some(1));
                });
                return Err(Error::Unauthenticated.into());
            }
            Used::Unknown => return Err(failed(Some(id)).into()),
        };
        audit.note(|notes| {
            notes.who.subject = Some(refreshed.session.subject.clone());
            notes.who.api_key_id = refreshed.session.api_key_id.parse().ok();
        });
        // Concurrent refreshes may exceed the limit, but a token that was used must not be lost.
        let _: Result<(), Error> = self.sign_ins.succeeded(id, now);
        let credentials = Some(credentials(&key, &refreshed, &next)?);
        Ok(Response::new(RefreshSessionResponse { session: Some(refreshed.session), credentials }))
    }

    async fn get_session(&self, request: Request<GetSessionRequest>) -> Answer<GetSessionResponse> {
        let caller = Caller::of(&request)?;
        let id = parse_id("id", &request.into_inner().id)?;
        let session = sessions::get(self, &caller.workspace, id).await?;
        let session = session.ok_or_else(|| no_session("id", id))?;
        Ok(Response::new(GetSessionResponse { session: Some(session) }))
    }

    async fn list_sessions(&self, request: Request<ListSessionsRequest>) -> Answer<EncodedPage> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        let page = self
            .sessions
            .page(request.page, &request.order_by)
            .scope(caller.workspace)
            .filter("subject", request.subject)
            .filter("active", request.active)
            .fetch()
            .await?;
        Ok(Response::new(page))
    }

    async fn revoke_session(&self, request: Request<RevokeSessionRequest>) -> Answer<RevokeSessionResponse> {
        let (caller, audit) = (Caller::of(&request)?, Audit::of(&request));
        let id = parse_id("id", &request.into_inner().id)?;
        audit.note(|notes| notes.target.session_id = Some(id));
        let session = sessions::revoke(self, &caller, &audit, id).await?;
        let session = session.ok_or_else(|| no_session("id", id))?;
        audit.note(|notes| notes.target.subject = Some(session.subject.clone()));
        Ok(Response::new(RevokeSessionResponse { session: Some(session) }))
    }

    async fn revoke_sessions(&self, request: Request<RevokeSessionsRequest>) -> Answer<RevokeSessionsResponse> {
        let (caller, audit) = (Caller::of(&request)?, Audit::of(&request));
        let subject = input::subject(request.into_inner())?;
        audit.note(|notes| notes.target.subject = Some(subject.clone()));
        self.check_session(&caller, &audit).await?;
        Ok(Response::new(sessions::revoke_of_subject(self, &caller, &audit, &subject).await?))
    }

    async fn create_api_key(&self, request: Request<CreateApiKeyRequest>) -> Answer<CreateApiKeyResponse> {
        let (caller, audit) = (Caller::of(&request)?, Audit::of(&request));
        let (new, secret) = input::new_api_key(request.into_inner(), &caller, &self.platform)?;
        audit.note(|notes| {
            notes.target.api_key_id = Some(new.id);
            (notes.target.subject, notes.target.scopes) = (Some(new.subject.clone()), new.scopes.clone());
        });
        self.check_session(&caller, &audit).await?;
        let api_key = api_keys::insert(self, &caller, &new).await?;
        Ok(Response::new(CreateApiKeyResponse { api_key: Some(api_key), secret: secret.text() }))
    }

    async fn list_api_keys(&self, request: Request<ListApiKeysRequest>) -> Answer<EncodedPage> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        let ancestor_id = input::ancestor_id(request.ancestor_id.as_deref())?;
        let page = self.api_keys.page(request.page, &request.order_by).scope(caller.workspace);
        Ok(Response::new(page.filter("ancestor_id", ancestor_id).fetch().await?))
    }

    async fn revoke_api_key(&self, request: Request<RevokeApiKeyRequest>) -> Answer<RevokeApiKeyResponse> {
        let (caller, audit) = (Caller::of(&request)?, Audit::of(&request));
        let RevokeApiKeyRequest { id, keep_descendants } = request.into_inner();
        let id = parse_id("id", &id)?;
        audit.note(|notes| notes.target.api_key_id = Some(id));
        self.check_session(&caller, &audit).await?;
        let revoked = api_keys::revoke(self, &caller, &audit, id, keep_descendants).await?;
        let revoked = revoked.ok_or_else(|| no_api_key("id", id))?;
        audit.note(|notes| notes.target.subject = revoked.api_key.as_ref().map(|api_key| api_key.subject.clone()));
        Ok(Response::new(revoked))
    }
}

/// The credentials of a session: an access token and a refresh token.
fn credentials(key: &SigningKey, begun: &Refreshed, refresh: &RefreshToken) -> Result<Credentials, Error> {
    let caller = Caller {
        workspace: refresh.workspace.clone(),
        subject: begun.session.subject.clone(),
        scopes: Arc::new(begun.session.scopes.iter().cloned().map(Scope).collect()),
        session: Some(begun.id),
    };
    let access = key.sign(&caller, begun.time, begun.expire_time)?;
    Ok(Credentials {
        access_token: access.token,
        access_token_expire_time: Some(timestamp(access.expire_time)),
        refresh_token: refresh.text(),
    })
}

fn no_session(field: &str, id: Uuid) -> Error {
    Error::NotFound(Resource { kind: SESSIONS.message, field: field.to_owned(), name: id.to_string() })
}

fn no_api_key(field: &str, id: Uuid) -> Error {
    Error::NotFound(Resource { kind: API_KEYS.message, field: field.to_owned(), name: id.to_string() })
}
