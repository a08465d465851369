use keyset::{Database, Listing, Order, desc};
use platform::{Error, timestamp};
use quire_proto::identity::v1::ApiKey;
use sqlx::FromRow;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::secrets::key_prefix;

/// The API keys of a workspace.
pub static API_KEYS: Listing = Listing {
    name: "identity.v1.ApiKeys",
    from: "api_keys",
    columns: "workspace_id, id, name, subject, scopes, create_time, expire_time, last_use_time, revoke_time",
    scope: &["workspace_id"],
    orders: &[Order { name: "create_time desc", keys: &[desc("create_time"), desc("id")], indexed: &[] }],
    ..Listing::DEFAULT
};

/// A row of `api_keys`, without what is kept of its secret.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct ApiKeyRow {
    pub(crate) workspace_id: String,
    pub(crate) id: Uuid,
    pub(crate) name: String,
    pub(crate) subject: String,
    pub(crate) scopes: Vec<String>,
    pub(crate) create_time: OffsetDateTime,
    pub(crate) expire_time: Option<OffsetDateTime>,
    pub(crate) last_use_time: Option<OffsetDateTime>,
    pub(crate) revoke_time: Option<OffsetDateTime>,
}

impl ApiKeyRow {
    /// The key that has this secret and can be used at this time.
    pub(crate) async fn find(
        database: &Database,
        workspace: &str,
        id: Uuid,
        secret_hash: &[u8],
        now: OffsetDateTime,
    ) -> Result<Option<Self>, Error> {
        let sql = "
            select workspace_id, id, name, subject, scopes, create_time, expire_time, last_use_time, revoke_time
            from api_keys
            where workspace_id = $1 and id = $2 and secret_hash = $3 and revoke_time is null
                and (expire_time is null or expire_time > $4)";
        let query = || sqlx::query(sql).bind(workspace).bind(id).bind(secret_hash).bind(now);
        Ok(database.read(query).await?.pop())
    }

    /// Revokes a key, and then the sessions that were begun with it: those that begin meanwhile wait for the key's row, or
    /// are revoked with the others. Nothing when there is no such key.
    pub(crate) async fn revoke(
        database: &Database,
        workspace: &str,
        id: Uuid,
        now: OffsetDateTime,
    ) -> Result<Option<Self>, Error> {
        let sql = "
            update api_keys set revoke_time = coalesce(revoke_time, $3) where workspace_id = $1 and id = $2
            returning workspace_id, id, name, subject, scopes, create_time, expire_time, last_use_time, revoke_time";
        let revoked = database.write(sqlx::query(sql).bind(workspace).bind(id).bind(now)).await?.pop();
        let sql = "
            update sessions set revoke_time = $3
            where workspace_id = $1 and api_key_id = $2 and revoke_time is null";
        database.write::<()>(sqlx::query(sql).bind(workspace).bind(id).bind(now)).await?;
        Ok(revoked)
    }
}

impl From<ApiKeyRow> for ApiKey {
    fn from(row: ApiKeyRow) -> Self {
        Self {
            id: row.id.to_string(),
            name: row.name,
            subject: row.subject,
            prefix: key_prefix(&row.workspace_id, row.id),
            scopes: row.scopes,
            create_time: Some(timestamp(row.create_time)),
            expire_time: row.expire_time.map(timestamp),
            last_use_time: row.last_use_time.map(timestamp),
            revoke_time: row.revoke_time.map(timestamp),
        }
    }
}

/// An API key to be made.
#[derive(Debug)]
pub(crate) struct NewApiKey {
    pub(crate) api_key: ApiKeyRow,
    pub(crate) secret_hash: Vec<u8>,
}

impl NewApiKey {
    /// Makes the key, which ends no later than that of its maker's session. Nothing when that session, or its key, has ended:
    /// what is revoked makes no successor with the access token that it still has.
    pub(crate) async fn insert(
        &self,
        database: &Database,
        workspace: &str,
        session: Option<Uuid>,
    ) -> Result<Option<ApiKeyRow>, Error> {
        let sql = "
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
            returning workspace_id, id, name, subject, scopes, create_time, expire_time, last_use_time, revoke_time";
        let Self { api_key, secret_hash } = self;
        let query = sqlx::query(sql).bind(workspace).bind(api_key.id).bind(&api_key.name).bind(&api_key.subject);
        let query = query.bind(&api_key.scopes).bind(secret_hash).bind(api_key.create_time).bind(api_key.expire_time);
        Ok(database.write(query.bind(session)).await?.pop())
    }
}
