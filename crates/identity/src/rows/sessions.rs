use keyset::{Database, Filter, Listing, Order, desc};
use platform::{Error, timestamp};
use quire_proto::identity::v1::{Device, Session};
use sqlx::FromRow;
use time::OffsetDateTime;
use uuid::Uuid;

/// The sessions of a workspace.
pub static SESSIONS: Listing = Listing {
    name: "identity.v1.Sessions",
    from: "sessions",
    columns: "id, api_key_id, subject, scopes, ip, user_agent, create_time, expire_time, refresh_time, revoke_time",
    scope: &["workspace_id"],
    filters: &[
        Filter::equal("subject", "subject"),
        Filter::condition("active", "(revoke_time is null and expire_time > now()) = {active}"),
    ],
    orders: &[Order { name: "create_time desc", keys: &[desc("create_time"), desc("id")], indexed: &[&["subject"]] }],
    ..Listing::DEFAULT
};

/// A row of `sessions`, without what is kept of its refresh token.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct SessionRow {
    pub(crate) id: Uuid,
    pub(crate) api_key_id: Uuid,
    pub(crate) subject: String,
    pub(crate) scopes: Vec<String>,
    pub(crate) ip: String,
    pub(crate) user_agent: String,
    pub(crate) create_time: OffsetDateTime,
    pub(crate) expire_time: OffsetDateTime,
    pub(crate) refresh_time: OffsetDateTime,
    pub(crate) revoke_time: Option<OffsetDateTime>,
}

impl SessionRow {
    pub(crate) async fn get(database: &Database, workspace: &str, id: Uuid) -> Result<Option<Self>, Error> {
        let sql = "
            select id, api_key_id, subject, scopes, ip, user_agent, create_time, expire_time, refresh_time, revoke_time
            from sessions where workspace_id = $1 and id = $2";
        Ok(database.read(|| sqlx::query(sql).bind(workspace).bind(id)).await?.pop())
    }

    /// Revokes a session. Nothing when there is none.
    pub(crate) async fn revoke(
        database: &Database,
        workspace: &str,
        id: Uuid,
        now: OffsetDateTime,
    ) -> Result<Option<Self>, Error> {
        let sql = "
            update sessions set revoke_time = coalesce(revoke_time, $3) where workspace_id = $1 and id = $2
            returning id, api_key_id, subject, scopes, ip, user_agent, create_time, expire_time, refresh_time, revoke_time";
        Ok(database.write(sqlx::query(sql).bind(workspace).bind(id).bind(now)).await?.pop())
    }

    /// Revokes all sessions of a subject. How many were.
    pub(crate) async fn revoke_all(
        database: &Database,
        workspace: &str,
        subject: &str,
        now: OffsetDateTime,
    ) -> Result<i64, Error> {
        let sql = "
            with revoked as (
                update sessions set revoke_time = $3
                where workspace_id = $1 and subject = $2 and revoke_time is null
                returning id
            )
            select count(*) from revoked";
        let revoked: Option<(i64,)> =
            database.write(sqlx::query(sql).bind(workspace).bind(subject).bind(now)).await?.pop();
        Ok(revoked.map_or(0, |(count,)| count))
    }
}

impl From<SessionRow> for Session {
    fn from(row: SessionRow) -> Self {
        Self {
            id: row.id.to_string(),
            subject: row.subject,
            scopes: row.scopes,
            device: Some(Device { ip: row.ip, user_agent: row.user_agent }),
            create_time: Some(timestamp(row.create_time)),
            expire_time: Some(timestamp(row.expire_time)),
            refresh_time: Some(timestamp(row.refresh_time)),
            revoke_time: row.revoke_time.map(timestamp),
            api_key_id: row.api_key_id.to_string(),
        }
    }
}

/// A session to be begun with an API key.
#[derive(Debug)]
pub(crate) struct NewSession {
    pub(crate) session: SessionRow,
    pub(crate) family_hash: Vec<u8>,
    pub(crate) refresh_hash: Vec<u8>,
}

impl NewSession {
    /// Begins the session. Nothing when its API key can no longer be used.
    pub(crate) async fn insert(&self, database: &Database, workspace: &str) -> Result<Option<SessionRow>, Error> {
        let sql = "
            with used as (
                update api_keys set last_use_time = greatest($8, last_use_time)
                where workspace_id = $1 and id = $3 and revoke_time is null and (expire_time is null or expire_time > $8)
                returning subject
            )
            insert into sessions (workspace_id, id, api_key_id, subject, scopes, ip, user_agent, family_hash, refresh_hash,
                create_time, expire_time, refresh_time)
            select $1, $2, $3, subject, $4, $5, $6, $7, $10, $8, $9, $8 from used
            returning id, api_key_id, subject, scopes, ip, user_agent, create_time, expire_time, refresh_time, revoke_time";
        let Self { session, family_hash, refresh_hash } = self;
        let query = sqlx::query(sql).bind(workspace).bind(session.id).bind(session.api_key_id).bind(&session.scopes);
        let query = query.bind(&session.ip).bind(&session.user_agent).bind(family_hash).bind(session.create_time);
        Ok(database.write(query.bind(session.expire_time).bind(refresh_hash)).await?.pop())
    }
}

/// A refresh token that is used, as what is kept of it, and the one that takes its place.
#[derive(Debug)]
pub(crate) struct Refresh {
    pub(crate) session_id: Uuid,
    pub(crate) family_hash: Vec<u8>,
    pub(crate) refresh_hash: Vec<u8>,
    pub(crate) next_hash: Vec<u8>,
    pub(crate) now: OffsetDateTime,
}

impl Refresh {
    /// Uses the token; one that is of the session's family and not its latest was used before, and revokes the session instead.
    /// Nothing when it is no token, or when the session, which ends no later than its API key, has ended, or the key is revoked.
    pub(crate) async fn run(&self, database: &Database, workspace: &str) -> Result<Option<SessionRow>, Error> {
        let sql = "
            update sessions set
                revoke_time = case when refresh_hash = $4 then null else $6 end,
                refresh_hash = case when refresh_hash = $4 then $5 else refresh_hash end,
                refresh_time = case when refresh_hash = $4 then greatest($6, refresh_time + interval '1 microsecond')
                    else refresh_time end
            where workspace_id = $1 and id = $2 and family_hash = $3 and revoke_time is null
                and (refresh_hash <> $4 or expire_time > $6 and exists (
                    select from api_keys as key
                    where key.workspace_id = $1 and key.id = sessions.api_key_id and key.revoke_time is null))
            returning id, api_key_id, subject, scopes, ip, user_agent, create_time, expire_time, refresh_time, revoke_time";
        let query = sqlx::query(sql).bind(workspace).bind(self.session_id).bind(&self.family_hash);
        let query = query.bind(&self.refresh_hash).bind(&self.next_hash).bind(self.now);
        Ok(database.write(query).await?.pop())
    }
}
