use keyset::{Filter, Listing, Order, Statement, desc};
use platform::Error;
use quire_proto::identity::v1::Session;
use sqlx::{Row, postgres::PgRow};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::Identity;

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
    pub(crate) refresh_time: OffsetDateTime,
    pub(crate) expire_time: OffsetDateTime,
    pub(crate) session: Session,
}

impl Refreshed {
    fn first(service: &Identity, rows: &[PgRow]) -> Result<Option<Self>, Error> {
        let Some(row) = rows.first() else { return Ok(None) };
        Ok(Some(Self {
            id: row.try_get("id")?,
            refresh_time: row.try_get("refresh_time")?,
            expire_time: row.try_get("expire_time")?,
            session: service.sessions.message(row)?,
        }))
    }
}

pub(crate) async fn get(service: &Identity, workspace: &str, id: Uuid) -> Result<Option<Session>, Error> {
    let sql = concat!("select ", columns!(), " from sessions where workspace_id = $1 and id = $2");
    let rows = service.database.read_rows(Statement::new(sql).bind(workspace).bind(id)).await?;
    Ok(service.sessions.first(&rows)?)
}

/// Revokes a session. Returns `None` if the session does not exist.
pub(crate) async fn revoke(
    service: &Identity,
    workspace: &str,
    id: Uuid,
    now: OffsetDateTime,
) -> Result<Option<Session>, Error> {
    let sql = concat!(
        "update sessions set revoke_time = coalesce(revoke_time, $3) where workspace_id = $1 and id = $2
        returning ",
        columns!()
    );
    let rows = service.database.write_rows(Statement::new(sql).bind(workspace).bind(id).bind(now)).await?;
    Ok(service.sessions.first(&rows)?)
}

/// Whose sessions to revoke.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Owner<'a> {
    Subject(&'a str),
    ApiKey(Uuid),
}

/// How many sessions a statement revokes at most.
const PIECE: i64 = 20_000;

/// Revokes all sessions of an owner. Returns the number of revoked sessions.
///
/// They are revoked in pieces, so that no statement reaches its timeout, however many sessions there are.
pub(crate) async fn revoke_all(
    service: &Identity,
    workspace: &str,
    owner: Owner<'_>,
    now: OffsetDateTime,
) -> Result<i64, Error> {
    macro_rules! sql {
        ($column:literal, $order:literal) => {
            concat!(
                "
                with piece as (
                    select id from sessions where workspace_id = $1 and ", $column, " = $2 and revoke_time is null
                    order by workspace_id, ", $column, ", ", $order, " limit $4 for no key update
                ), revoked as (
                    update sessions set revoke_time = $3 where workspace_id = $1 and id = any(array(select id from piece))
                    returning id
                )
                select count(*) from revoked"
            )
        };
    }
    let statement = match owner {
        Owner::Subject(subject) => Statement::new(sql!("subject", "create_time, id")).bind(workspace).bind(subject),
        Owner::ApiKey(id) => Statement::new(sql!("api_key_id", "id")).bind(workspace).bind(id),
    };
    let statement = statement.bind(now).bind(PIECE);
    let mut sum = 0;
    loop {
        let revoked: Option<(i64,)> = service.database.write(statement.clone()).await?.pop();
        let count = revoked.map_or(0, |(count,)| count);
        sum += count;
        if count < PIECE {
            return Ok(sum);
        }
    }
}

/// A session to create with an API key.
#[derive(Debug)]
pub(crate) struct NewSession {
    pub(crate) id: Uuid,
    pub(crate) api_key_id: Uuid,
    pub(crate) scopes: Vec<String>,
    pub(crate) ip: String,
    pub(crate) user_agent: String,
    pub(crate) create_time: OffsetDateTime,
    pub(crate) expire_time: OffsetDateTime,
    pub(crate) family_hash: Vec<u8>,
    pub(crate) refresh_hash: Vec<u8>,
}

/// Creates the session. Returns `None` if its API key was revoked or has expired.
pub(crate) async fn insert(service: &Identity, workspace: &str, new: &NewSession) -> Result<Option<Refreshed>, Error> {
    let sql = concat!(
        "
        with used as (
            update api_keys set last_use_time = greatest($8, last_use_time)
            where workspace_id = $1 and id = $3 and revoke_time is null and (expire_time is null or expire_time > $8)
            returning subject
        )
        insert into sessions (workspace_id, id, api_key_id, subject, scopes, ip, user_agent, family_hash, refresh_hash,
            create_time, expire_time, refresh_time)
        select $1, $2, $3, subject, $4, $5, $6, $7, $10, $8, $9, $8 from used
        returning ",
        columns!()
    );
    let statement = Statement::new(sql).bind(workspace).bind(new.id).bind(new.api_key_id).bind(&new.scopes);
    let statement = statement.bind(&new.ip).bind(&new.user_agent).bind(&new.family_hash).bind(new.create_time);
    let statement = statement.bind(new.expire_time).bind(&new.refresh_hash);
    Refreshed::first(service, &service.database.write_rows(statement).await?)
}

/// The use of a refresh token: the hashes of the token and of its replacement.
#[derive(Debug)]
pub(crate) struct Refresh {
    pub(crate) session_id: Uuid,
    pub(crate) family_hash: Vec<u8>,
    pub(crate) refresh_hash: Vec<u8>,
    pub(crate) next_hash: Vec<u8>,
    pub(crate) now: OffsetDateTime,
}

/// Replaces the refresh token. If the token is of the session's family but not its latest, it was used before, and the
/// session is revoked instead. Returns `None` if the token is unknown, if the session was revoked or has expired, or if
/// the API key was revoked. A session never expires later than its API key.
pub(crate) async fn refresh(service: &Identity, workspace: &str, used: &Refresh) -> Result<Option<Refreshed>, Error> {
    let sql = concat!(
        "
        update sessions set
            revoke_time = case when refresh_hash = $4 then null else $6 end,
            refresh_hash = case when refresh_hash = $4 then $5 else refresh_hash end,
            refresh_time = case when refresh_hash = $4 then greatest($6, refresh_time + interval '1 microsecond')
                else refresh_time end
        where workspace_id = $1 and id = $2 and family_hash = $3 and revoke_time is null
            and (refresh_hash <> $4 or expire_time > $6 and exists (
                select from api_keys as key
                where key.workspace_id = $1 and key.id = sessions.api_key_id and key.revoke_time is null))
        returning ",
        columns!()
    );
    let statement = Statement::new(sql).bind(workspace).bind(used.session_id).bind(&used.family_hash);
    let statement = statement.bind(&used.refresh_hash).bind(&used.next_hash).bind(used.now);
    Refreshed::first(service, &service.database.write_rows(statement).await?)
}
