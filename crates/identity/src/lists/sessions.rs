use keyset::{Filter, Listing, Order, Statement, desc};
use platform::{Audit, Caller, Error, Scope};
use quire_proto::identity::v1::{RevokeSessionsResponse, Session};
use sqlx::{Row, postgres::PgRow};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{PIECE, in_pieces, note_ended};
use crate::{
    Identity,
    secrets::{RefreshToken, hash},
};

macro_rules! columns {
    () => {
        "id, api_key_id, subject, scopes, ip as \"device.ip\", user_agent as \"device.user_agent\", create_time, \
        expire_time, refresh_time, revoke_time"
    };
}

/// The sessions of a workspace.
pub static SESSIONS: Listing = Listing {
    name: "identity.v1.Sessions",
    from: "sessions",
    message: "identity.v1.Session",
    columns: columns!(),
    scope: &["workspace_id"],
    filters: &[
        Filter::equal("subject", "subject"),
        Filter::condition("active", "(revoke_time is null and expire_time > now()) = {active}"),
    ],
    orders: &[Order { name: "create_time desc", keys: &[desc("create_time"), desc("id")], indexed: &[&["subject"]] }],
    ..Listing::DEFAULT
};

/// A session that was created or refreshed, with the values that its access token needs.
#[derive(Debug)]
pub(crate) struct Refreshed {
    pub(crate) id: Uuid,
    pub(crate) api_key_id: Uuid,
    /// The time of the database.
    pub(crate) time: OffsetDateTime,
    pub(crate) expire_time: OffsetDateTime,
    pub(crate) session: Session,
}

impl Refreshed {
    fn of(service: &Identity, row: &PgRow) -> Result<Self, Error> {
        Ok(Self {
            id: row.try_get("id")?,
            api_key_id: row.try_get("api_key_id")?,
            time: row.try_get("time")?,
            expire_time: row.try_get("expire_time")?,
            session: service.sessions.message(row)?,
        })
    }
}

pub(crate) async fn get(service: &Identity, workspace: &str, id: Uuid) -> Result<Option<Session>, Error> {
    let sql = concat!("select ", columns!(), " from sessions where workspace_id = $1 and id = $2");
    let rows = service.database.read_rows(Statement::new(sql).bind(workspace).bind(id)).await?;
    Ok(service.sessions.first(&rows)?)
}

/// The API key of a session, unless the session or the key has ended.
pub(crate) async fn usable_api_key(service: &Identity, workspace: &str, id: Uuid) -> Result<Option<Uuid>, Error> {
    let sql = "
        select key.id from sessions as session
        join api_keys as key on key.workspace_id = session.workspace_id and key.id = session.api_key_id
        where session.workspace_id = $1 and session.id = $2 and session.revoke_time is null
            and session.expire_time > now() and key.revoke_time is null";
    let found: Option<(Uuid,)> = service.database.read(Statement::new(sql).bind(workspace).bind(id)).await?.pop();
    Ok(found.map(|(id,)| id))
}

/// Revokes a session, if it is the caller's own or the caller has all of its scopes. Returns `None` if the session does not
/// exist.
pub(crate) async fn revoke(
    service: &Identity,
    caller: &Caller,
    audit: &Audit,
    id: Uuid,
) -> Result<Option<Session>, Error> {
    let workspace = caller.workspace.as_str();
    if caller.session != Some(id) {
        caller.check(&Scope("identity:write".to_owned()))?;
        service.check_session(caller, audit).await?;
        let Some(session) = get(service, workspace, id).await? else { return Ok(None) };
        caller.check_all(&session.scopes)?;
    }
    let sql = concat!(
        "update sessions set revoke_time = now() where workspace_id = $1 and id = $2 and revoke_time is null
        returning ",
        columns!()
    );
    let revoked = service.database.write_rows(Statement::new(sql).bind(workspace).bind(id)).await?;
    let revoked = service.sessions.first(&revoked)?;
    note_ended(audit, i64::from(revoked.is_some()));
    match revoked {
        Some(session) => Ok(Some(session)),
        None => get(service, workspace, id).await,
    }
}

/// Whose sessions to revoke.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Owner<'a> {
    Subject(&'a str),
    ApiKey(Uuid),
    /// An API key, and all keys that were made with it.
    Tree(Uuid),
}

/// Revokes the sessions of an owner that have no scope which the caller does not have. Returns how many were revoked.
pub(crate) async fn revoke_all(
    service: &Identity,
    caller: &Caller,
    audit: &Audit,
    owner: Owner<'_>,
) -> Result<i64, Error> {
    macro_rules! sql {
        ($condition:literal) => {
            concat!(
                "
                with piece as (
                    select id from sessions
                    where workspace_id = $1 and ",
                $condition,
                " and revoke_time is null and scopes <@ $3
                    limit $4 for no key update
                ), revoked as (
                    update sessions set revoke_time = now()
                    where workspace_id = $1 and id = any(array(select id from piece))
                    returning id
                )
                select count(*) from revoked"
            )
        };
    }
    let workspace = caller.workspace.as_str();
    let statement = match owner {
        Owner::Subject(subject) => Statement::new(sql!("subject = $2")).bind(workspace).bind(subject),
        Owner::ApiKey(id) => Statement::new(sql!("api_key_id = $2")).bind(workspace).bind(id),
        Owner::Tree(id) => Statement::new(sql!(
            "api_key_id in (
                select id from api_keys where workspace_id = $1 and ancestor_ids @> array[$2] union all select $2
            )"
        ))
        .bind(workspace)
        .bind(id),
    };
    in_pieces(service, audit, statement.bind(scopes(caller)).bind(PIECE)).await
}

/// Revokes the sessions of a subject, except those with a scope that the caller does not have.
pub(crate) async fn revoke_of_subject(
    service: &Identity,
    caller: &Caller,
    audit: &Audit,
    subject: &str,
) -> Result<RevokeSessionsResponse, Error> {
    let revoked_count = revoke_all(service, caller, audit, Owner::Subject(subject)).await?;
    let sql = "
        select count(*) from sessions
        where workspace_id = $1 and subject = $2 and revoke_time is null and expire_time > now() and not scopes <@ $3";
    let statement = Statement::new(sql).bind(&caller.workspace).bind(subject).bind(scopes(caller));
    let kept: Option<(i64,)> = service.database.read(statement).await?.pop();
    Ok(RevokeSessionsResponse { revoked_count, kept_count: kept.map_or(0, |(count,)| count) })
}

fn scopes(caller: &Caller) -> Vec<String> {
    caller.scopes.iter().map(|scope| scope.0.clone()).collect()
}

/// A session to create with an API key.
#[derive(Debug)]
pub(crate) struct NewSession {
    pub(crate) id: Uuid,
    pub(crate) api_key_id: Uuid,
    pub(crate) scopes: Vec<String>,
    pub(crate) ip: String,
    pub(crate) user_agent: String,
    pub(crate) family_hash: Vec<u8>,
    pub(crate) refresh_hash: Vec<u8>,
}

/// Creates the session, which expires after 30 days, or with its API key. Returns `None` if the key was revoked or has
/// expired.
pub(crate) async fn insert(service: &Identity, workspace: &str, new: &NewSession) -> Result<Option<Refreshed>, Error> {
    let sql = concat!(
        "
        with used as (
            update api_keys set last_use_time = now()
            where workspace_id = $1 and id = $3 and revoke_time is null and (expire_time is null or expire_time > now())
            returning subject, expire_time
        )
        insert into sessions (workspace_id, id, api_key_id, subject, scopes, ip, user_agent, family_hash, refresh_hash,
            create_time, expire_time, refresh_time)
        select $1, $2, $3, subject, $4, $5, $6, $7, $8, now(), least(now() + interval '720 hours', expire_time), now()
        from used
        returning ",
        columns!(),
        ", now() as time"
    );
    let statement = Statement::new(sql).bind(workspace).bind(new.id).bind(new.api_key_id).bind(&new.scopes);
    let statement = statement.bind(&new.ip).bind(&new.user_agent).bind(&new.family_hash).bind(&new.refresh_hash);
    service.database.write_rows(statement).await?.first().map(|row| Refreshed::of(service, row)).transpose()
}

/// What the use of a refresh token did.
pub(crate) enum Used {
    /// The session was refreshed, and has this refresh token.
    Refreshed(Box<(Refreshed, RefreshToken)>),
    /// The token had been used before, and the session of this subject was revoked.
    Revoked(String),
    /// The token is unknown, or its session or API key has ended.
    Unknown,
}

/// Uses a refresh token. `next` replaces it, if it was not used before.
///
/// Each statement sees what the one before has waited for: if two calls use a token at the same moment, the second waits
/// for the first one's lock, and then finds its use.
pub(crate) async fn refresh(service: &Identity, used: &RefreshToken, next: RefreshToken) -> Result<Used, Error> {
    if let Some(refreshed) = replace(service, used, &next).await? {
        return Ok(Used::Refreshed(Box::new((refreshed, next))));
    }
    if let Some(repeated) = repeat(service, used).await? {
        return Ok(Used::Refreshed(Box::new(repeated)));
    }
    let sql = "
        update sessions set revoke_time = now()
        where workspace_id = $1 and id = $2 and family_hash = $3 and refresh_hash <> $4 and revoke_time is null
        returning subject";
    let revoked: Option<(String,)> = service.database.write(with(sql, used)).await?.pop();
    Ok(revoked.map_or(Used::Unknown, |(subject,)| Used::Revoked(subject)))
}

/// Replaces the latest refresh token of a session, and records the use.
async fn replace(service: &Identity, used: &RefreshToken, next: &RefreshToken) -> Result<Option<Refreshed>, Error> {
    let sql = concat!(
        "
        with refreshed as (
            update sessions set refresh_hash = $5, refresh_time = now()
            where workspace_id = $1 and id = $2 and family_hash = $3 and refresh_hash = $4 and revoke_time is null
                and expire_time > now() and exists (
                    select from api_keys as key
                    where key.workspace_id = $1 and key.id = sessions.api_key_id and key.revoke_time is null)
            returning *
        ), forgotten as (
            delete from refresh_uses where workspace_id = $1 and session_id in (select id from refreshed)
                and use_time < (now() - interval '10 seconds')
        ), recorded as (
            insert into refresh_uses (workspace_id, session_id, token_hash, next_token, use_time)
            select $1, id, $4, $6, now() from refreshed
        )
        select ",
        columns!(),
        ", now() as time from refreshed"
    );
    let statement = with(sql, used).bind(hash(&next.bytes)).bind(used.seal(next)?);
    service.database.write_rows(statement).await?.first().map(|row| Refreshed::of(service, row)).transpose()
}

/// The refresh token that replaced this one, if that was at most ten seconds ago.
async fn repeat(service: &Identity, used: &RefreshToken) -> Result<Option<(Refreshed, RefreshToken)>, Error> {
    let sql = concat!(
        "
        select ",
        columns!(),
        ", next_token, now() as time
        from sessions join refresh_uses as use on use.workspace_id = sessions.workspace_id and use.session_id = sessions.id
        where sessions.workspace_id = $1 and id = $2 and family_hash = $3 and token_hash = $4 and revoke_time is null
            and use_time >= (now() - interval '10 seconds') and expire_time > now() and exists (
                select from api_keys as key
                where key.workspace_id = $1 and key.id = sessions.api_key_id and key.revoke_time is null)"
    );
    let rows = service.database.read_rows(with(sql, used)).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let next = used.open(row.try_get("next_token")?);
    next.map(|next| Ok((Refreshed::of(service, row)?, next))).transpose()
}

/// A statement whose first parameters are those of a used refresh token.
fn with(sql: &'static str, used: &RefreshToken) -> Statement {
    let statement = Statement::new(sql).bind(&used.workspace).bind(used.session_id);
    statement.bind(hash(&used.family)).bind(hash(&used.bytes))
}
