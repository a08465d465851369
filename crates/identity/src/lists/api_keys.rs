use keyset::{Filter, Listing, Order, Statement, desc};
use platform::{Audit, Caller, Error};
use quire_proto::identity::v1::{ApiKey, RevokeApiKeyResponse};
use sqlx::FromRow;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    PIECE, in_pieces, note_ended,
    sessions::{self, Owner},
};
use crate::Identity;

/// The prefix is the same as that of [`key_prefix`](crate::secrets::key_prefix).
macro_rules! columns {
    () => {
        "id, name, subject, 'quire-key_' || workspace_id || '_' || replace(id::text, '-', '') as prefix, scopes, \
        create_time, expire_time, last_use_time, revoke_time, creator_api_key_id, creator_subject"
    };
}

/// The API keys of a workspace.
pub static API_KEYS: Listing = Listing {
    name: "identity.v1.ApiKeys",
    from: "api_keys",
    message: "identity.v1.ApiKey",
    columns: columns!(),
    scope: &["workspace_id"],
    filters: &[Filter::search("ancestor_id", "ancestor_ids @> array[{ancestor_id}::uuid]")],
    orders: &[Order { name: "create_time desc", keys: &[desc("create_time"), desc("id")], indexed: &[] }],
    ..Listing::DEFAULT
};

/// A key that a session can be created with.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct UsableKey {
    pub(crate) workspace_id: String,
    pub(crate) id: Uuid,
    pub(crate) subject: String,
    pub(crate) scopes: Vec<String>,
}

/// The key with this secret, if it is neither revoked nor expired.
pub(crate) async fn find_usable(
    service: &Identity,
    workspace: &str,
    id: Uuid,
    secret_hash: &[u8],
) -> Result<Option<UsableKey>, Error> {
    let sql = "
        select workspace_id, id, subject, scopes from api_keys
        where workspace_id = $1 and id = $2 and secret_hash = $3 and revoke_time is null
            and (expire_time is null or expire_time > now())";
    let statement = Statement::new(sql).bind(workspace).bind(id).bind(secret_hash);
    Ok(service.database.read(statement).await?.pop())
}

/// Revokes a key, the keys that were made with it unless they are kept, and the sessions of all of these. Returns `None` if
/// the key does not exist.
///
/// A session or a key that is created with one of the keys at the same time either waits for the lock on that key's row,
/// and is refused, or is revoked with the others.
pub(crate) async fn revoke(
    service: &Identity,
    caller: &Caller,
    audit: &Audit,
    id: Uuid,
    keep_descendants: bool,
) -> Result<Option<RevokeApiKeyResponse>, Error> {
    let workspace = caller.workspace.as_str();
    let Some(key) = get(service, workspace, id).await? else { return Ok(None) };
    caller.check_all(&key.scopes)?;
    let one = "
        with revoked as (
            update api_keys set revoke_time = now() where workspace_id = $1 and id = $2 and revoke_time is null
            returning id
        )
        select count(*) from revoked";
    let descendants = "
        with piece as (
            select id from api_keys where workspace_id = $1 and ancestor_ids @> array[$2] and revoke_time is null
            limit $3 for no key update
        ), revoked as (
            update api_keys set revoke_time = now() where workspace_id = $1 and id = any(array(select id from piece))
            returning id
        )
        select count(*) from revoked";
    let one = Statement::new(one).bind(workspace).bind(id);
    let revoked: Option<(i64,)> = service.database.write(one).await?.pop();
    let mut revoked_key_count = revoked.map_or(0, |(count,)| count);
    note_ended(audit, revoked_key_count);
    if !keep_descendants {
        let statement = Statement::new(descendants).bind(workspace).bind(id).bind(PIECE);
        revoked_key_count += in_pieces(service, audit, statement).await?;
    }
    let owner = if keep_descendants { Owner::ApiKey(id) } else { Owner::Tree(id) };
    let revoked_session_count = sessions::revoke_all(service, caller, audit, owner).await?;
    let api_key = get(service, workspace, id).await?;
    Ok(Some(RevokeApiKeyResponse { api_key, revoked_key_count, revoked_session_count }))
}

async fn get(service: &Identity, workspace: &str, id: Uuid) -> Result<Option<ApiKey>, Error> {
    let sql = concat!("select ", columns!(), " from api_keys where workspace_id = $1 and id = $2");
    let rows = service.database.read_rows(Statement::new(sql).bind(workspace).bind(id)).await?;
    Ok(service.api_keys.first(&rows)?)
}

/// An API key to insert.
#[derive(Debug)]
pub(crate) struct NewApiKey {
    pub(crate) id: Uuid,
    pub(crate) name: String,
    pub(crate) subject: String,
    pub(crate) scopes: Vec<String>,
    pub(crate) expire_time: Option<OffsetDateTime>,
    pub(crate) secret_hash: Vec<u8>,
}

/// How many keys can be above a key, each made with the one before.
const MAX_ANCESTORS: i32 = 16;

/// The key of the caller's session, locked so that it is not revoked meanwhile.
macro_rules! maker {
    () => {
        "
        maker as (
            select key.id, key.expire_time, key.ancestor_ids
            from sessions as session
            join api_keys as key on key.workspace_id = session.workspace_id and key.id = session.api_key_id
            where session.workspace_id = $1 and session.id = $2 and session.revoke_time is null
                and session.expire_time > now() and key.revoke_time is null
            for share
        )"
    };
}

/// Creates the key. It expires no later than the key of the caller's session.
///
/// # Errors
///
/// [`Error::Unauthenticated`] if that session or its key was revoked or has expired: its access token is still valid for
/// a while, but must not create another key. [`Error::FailedPrecondition`] if too many keys are above it.
pub(crate) async fn insert(service: &Identity, caller: &Caller, new: &NewApiKey) -> Result<ApiKey, Error> {
    let sql = concat!(
        "with ",
        maker!(),
        "
        insert into api_keys (workspace_id, id, name, subject, scopes, secret_hash, create_time, expire_time,
            creator_api_key_id, creator_subject, ancestor_ids)
        select $1, $3, $4, $5, $6, $7, now(), least($8, maker.expire_time),
            maker.id, $9, case when maker.id is null then '{}' else maker.ancestor_ids || maker.id end
        from (values (true)) as new left join maker on true
        where $2::uuid is null or cardinality(maker.ancestor_ids) < $10
        returning ",
        columns!()
    );
    let NewApiKey { id, name, subject, scopes, expire_time, secret_hash } = new;
    let statement = Statement::new(sql).bind(&caller.workspace).bind(caller.session).bind(id).bind(name).bind(subject);
    let statement = statement.bind(scopes).bind(secret_hash).bind(expire_time).bind(&caller.subject);
    let inserted = service.database.write_rows(statement.bind(MAX_ANCESTORS)).await?;
    match service.api_keys.first(&inserted)? {
        Some(api_key) => Ok(api_key),
        None => Err(not_inserted(service, caller).await?),
    }
}

/// Why a key was not inserted.
async fn not_inserted(service: &Identity, caller: &Caller) -> Result<Error, Error> {
    let sql = concat!("with ", maker!(), " select id from maker");
    let statement = Statement::new(sql).bind(&caller.workspace).bind(caller.session);
    Ok(if service.database.write_rows(statement).await?.is_empty() {
        Error::Unauthenticated
    } else {
        Error::FailedPrecondition("too many keys are above this one, each made with the one before; use one of those")
    })
}
