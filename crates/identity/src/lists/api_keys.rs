use keyset::{Listing, Order, Statement, desc};
use platform::Error;
use quire_proto::identity::v1::ApiKey;
use sqlx::FromRow;
use time::OffsetDateTime;
use uuid::Uuid;

use super::sessions::{self, Owner};
use crate::Identity;

/// The prefix is the same as that of [`key_prefix`](crate::secrets::key_prefix).
macro_rules! columns {
    () => {
        "id, name, subject, 'quire-key_' || workspace_id || '_' || replace(id::text, '-', '') as prefix, scopes, \
        create_time, expire_time, last_use_time, revoke_time"
    };
}

/// The API keys of a workspace.
pub static API_KEYS: Listing = Listing {
    name: "identity.v1.ApiKeys",
    from: "api_keys",
    message: "identity.v1.ApiKey",
    columns: columns!(),
    scope: &["workspace_id"],
    orders: &[Order { name: "create_time desc", keys: &[desc("create_time"), desc("id")], indexed: &[] }],
    ..Listing::DEFAULT
};

/// A key that a session can be created with.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct UsableKey {
    pub(crate) workspace_id: String,
    pub(crate) id: Uuid,
    pub(crate) scopes: Vec<String>,
    pub(crate) expire_time: Option<OffsetDateTime>,
}

/// The key with this secret, if it is neither revoked nor expired.
pub(crate) async fn find_usable(
    service: &Identity,
    workspace: &str,
    id: Uuid,
    secret_hash: &[u8],
    now: OffsetDateTime,
) -> Result<Option<UsableKey>, Error> {
    let sql = "
        select workspace_id, id, scopes, expire_time from api_keys
        where workspace_id = $1 and id = $2 and secret_hash = $3 and revoke_time is null
            and (expire_time is null or expire_time > $4)";
    let statement = Statement::new(sql).bind(workspace).bind(id).bind(secret_hash).bind(now);
    Ok(service.database.read(statement).await?.pop())
}

/// Revokes a key, and then its sessions. A session that is created concurrently either waits for the lock on the key's
/// row, or is revoked with the others. Returns `None` if the key does not exist.
pub(crate) async fn revoke(
    service: &Identity,
    workspace: &str,
    id: Uuid,
    now: OffsetDateTime,
) -> Result<Option<ApiKey>, Error> {
    let sql = concat!(
        "update api_keys set revoke_time = coalesce(revoke_time, $3) where workspace_id = $1 and id = $2
        returning ",
        columns!()
    );
    let revoked = service.database.write_rows(Statement::new(sql).bind(workspace).bind(id).bind(now)).await?;
    sessions::revoke_all(service, workspace, Owner::ApiKey(id), now).await?;
    Ok(service.api_keys.first(&revoked)?)
}

/// An API key to insert.
#[derive(Debug)]
pub(crate) struct NewApiKey {
    pub(crate) id: Uuid,
    pub(crate) name: String,
    pub(crate) subject: String,
    pub(crate) scopes: Vec<String>,
    pub(crate) create_time: OffsetDateTime,
    pub(crate) expire_time: Option<OffsetDateTime>,
    pub(crate) secret_hash: Vec<u8>,
}

/// Creates the key. It expires no later than the key of the caller's session. Returns `None` if that session or its key
/// was revoked or has expired: its access token is still valid for a while, but must not create another key.
pub(crate) async fn insert(
    service: &Identity,
    workspace: &str,
    new: &NewApiKey,
    session: Option<Uuid>,
) -> Result<Option<ApiKey>, Error> {
    let sql = concat!(
        "
        with maker as (
            select key.expire_time
            from sessions as session
            join api_keys as key on key.workspace_id = session.workspace_id and key.id = session.api_key_id
            where session.workspace_id = $1 and session.id = $9 and session.revoke_time is null
                and session.expire_time > $7 and key.revoke_time is null
            for share
        )
        insert into api_keys (workspace_id, id, name, subject, scopes, secret_hash, create_time, expire_time)
        select $1, $2, $3, $4, $5, $6, $7, least($8, (select expire_time from maker))
        where $9::uuid is null or exists (select from maker)
        returning ",
        columns!()
    );
    let NewApiKey { id, name, subject, scopes, create_time, expire_time, secret_hash } = new;
    let statement = Statement::new(sql).bind(workspace).bind(id).bind(name).bind(subject).bind(scopes);
    let statement = statement.bind(secret_hash).bind(create_time).bind(expire_time).bind(session);
    Ok(service.api_keys.first(&service.database.write_rows(statement).await?)?)
}
