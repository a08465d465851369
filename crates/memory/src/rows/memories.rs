use std::collections::{BTreeMap, HashMap};

use keyset::{Database, Filter, Listing, Order, asc, desc};
use platform::{Error, NewRow, Resource, timestamp};
use quire_proto::memory::v1::Memory;
use sqlx::{FromRow, types::Json};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{MEMORY, SCOPES};

/// The memories of a workspace.
pub static MEMORIES: Listing = Listing {
    name: "memory.v1.Memories",
    from: "memories",
    columns: "id, scope, content, type, source, confidence, pinned, policy, user_id, team_id, project_id, repository, agent, \
        tags, metadata, etag, create_time, update_time",
    scope: &["workspace_id"],
    filters: FILTERS,
    orders: &[
        Order { name: "create_time desc", keys: &[desc("create_time"), desc("id")], indexed: INDEXED },
        Order { name: "create_time", keys: &[asc("create_time"), asc("id")], indexed: INDEXED },
        Order { name: "update_time desc", keys: &[desc("update_time"), desc("id")], indexed: &[] },
    ],
    weight: Some(WEIGHT),
    ..Listing::DEFAULT
};

/// What memories are filtered by, listed or recalled.
pub(super) const FILTERS: &[Filter] = &[
    Filter::equal("agent", "agent"),
    Filter::equal("user_id", "user_id"),
    Filter::equal("project_id", "project_id"),
    Filter::equal("scope", "scope"),
    Filter::equal("repository", "repository"),
    Filter::equal("type", "type"),
    Filter::condition("tag", "tags @> array[{tag}]"),
    Filter::equal("pinned", "pinned"),
    Filter::equal("policy", "policy"),
];

const INDEXED: &[&[&str]] = &[&["agent"], &["user_id"], &["project_id"]];

/// The content, and 12 KiB, which is as much as all the other fields can have together.
pub(super) const WEIGHT: &str = "octet_length(content) + 12288";

/// A row of `memories`.
#[derive(Debug, Clone, PartialEq, FromRow)]
pub(crate) struct MemoryRow {
    pub(crate) id: Uuid,
    pub(crate) scope: String,
    pub(crate) content: String,
    pub(crate) r#type: String,
    pub(crate) source: String,
    pub(crate) confidence: f64,
    pub(crate) pinned: bool,
    pub(crate) policy: bool,
    pub(crate) user_id: String,
    pub(crate) team_id: String,
    pub(crate) project_id: String,
    pub(crate) repository: String,
    pub(crate) agent: String,
    pub(crate) tags: Vec<String>,
    pub(crate) metadata: Json<BTreeMap<String, String>>,
    pub(crate) etag: Uuid,
    pub(crate) create_time: OffsetDateTime,
    pub(crate) update_time: OffsetDateTime,
}

/// What an update changes of a memory: the fields that are given.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) scope: Option<&'static str>,
    pub(crate) content: Option<String>,
    pub(crate) r#type: Option<String>,
    pub(crate) source: Option<String>,
    pub(crate) confidence: Option<f64>,
    pub(crate) pinned: Option<bool>,
    pub(crate) policy: Option<bool>,
    pub(crate) user_id: Option<String>,
    pub(crate) team_id: Option<String>,
    pub(crate) project_id: Option<String>,
    pub(crate) repository: Option<String>,
    pub(crate) agent: Option<String>,
    pub(crate) tags: Option<Vec<String>>,
    pub(crate) metadata: Option<BTreeMap<String, String>>,
    /// The etag that the memory must have, where one is given.
    pub(crate) expected_etag: String,
    pub(crate) new_etag: Uuid,
    pub(crate) update_time: OffsetDateTime,
}

impl MemoryRow {
    pub(crate) async fn get(database: &Database, workspace: &str, id: Uuid) -> Result<Option<Self>, Error> {
        let sql = "
            select id, scope, content, type, source, confidence, pinned, policy, user_id, team_id, project_id, repository,
                agent, tags, metadata, etag, create_time, update_time
            from memories where workspace_id = $1 and id = $2";
        Ok(database.read(|| sqlx::query(sql).bind(workspace).bind(id)).await?.pop())
    }

    /// Changes a memory. Nothing when there is none, or when it has another etag than expected.
    pub(crate) async fn update(
        database: &Database,
        workspace: &str,
        id: Uuid,
        change: &Change,
    ) -> Result<Option<Self>, Error> {
        let sql = "
            update memories set scope = coalesce($4, scope), content = coalesce($5, content), type = coalesce($6, type),
                source = coalesce($7, source), confidence = coalesce($8, confidence), pinned = coalesce($9, pinned),
                policy = coalesce($10, policy), user_id = coalesce($11, user_id), team_id = coalesce($12, team_id),
                project_id = coalesce($13, project_id), repository = coalesce($14, repository),
                agent = coalesce($15, agent), tags = coalesce($16, tags), metadata = coalesce($17, metadata), etag = $18,
                update_time = greatest($19, update_time + interval '1 microsecond')
            where workspace_id = $1 and id = $2 and ($3 = '' or etag::text = $3)
            returning id, scope, content, type, source, confidence, pinned, policy, user_id, team_id, project_id,
                repository, agent, tags, metadata, etag, create_time, update_time";
        let query = sqlx::query(sql).bind(workspace).bind(id).bind(&change.expected_etag);
        let query = query.bind(change.scope).bind(&change.content).bind(&change.r#type).bind(&change.source);
        let query = query.bind(change.confidence).bind(change.pinned).bind(change.policy).bind(&change.user_id);
        let query = query.bind(&change.team_id).bind(&change.project_id).bind(&change.repository).bind(&change.agent);
        let query = query.bind(&change.tags).bind(change.metadata.as_ref().map(Json));
        let query = query.bind(change.new_etag).bind(change.update_time);
        Ok(database.write(query).await?.pop())
    }

    /// Deletes a memory. Whether there was one.
    pub(crate) async fn delete(database: &Database, workspace: &str, id: Uuid) -> Result<bool, Error> {
        let sql = "delete from memories where workspace_id = $1 and id = $2 returning id";
        let deleted: Vec<(Uuid,)> = database.write(sqlx::query(sql).bind(workspace).bind(id)).await?;
        Ok(!deleted.is_empty())
    }
}

impl From<MemoryRow> for Memory {
    fn from(row: MemoryRow) -> Self {
        Self {
            id: row.id.to_string(),
            scope: SCOPES.value(&row.scope).into(),
            content: row.content,
            r#type: row.r#type,
            source: row.source,
            confidence: Some(row.confidence),
            pinned: row.pinned,
            policy: row.policy,
            user_id: row.user_id,
            team_id: row.team_id,
            project_id: row.project_id,
            repository: row.repository,
            agent: row.agent,
            tags: row.tags,
            metadata: row.metadata.0,
            etag: row.etag.to_string(),
            create_time: Some(timestamp(row.create_time)),
            update_time: Some(timestamp(row.update_time)),
        }
    }
}

/// A memory to be made.
#[derive(Debug, Clone)]
pub(crate) struct NewMemory {
    /// The path of the request that asks for it, with the dot behind it: empty, or as in `requests[3].`.
    pub(crate) path: String,
    pub(crate) memory: MemoryRow,
}

impl NewRow for NewMemory {
    type Existing = MemoryRow;

    async fn insert(database: &Database, workspace: &str, new: &[&Self]) -> sqlx::Result<()> {
        let sql = "
            with given as (
                select * from unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::float8[], $8::bool[],
                    $9::bool[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::jsonb[], $16::jsonb[],
                    $17::uuid[], $18::timestamptz[])
                    as given (id, scope, content, type, source, confidence, pinned, policy, user_id, team_id, project_id,
                        repository, agent, tags, metadata, etag, create_time)
            )
            insert into memories (workspace_id, id, scope, content, type, source, confidence, pinned, policy, user_id,
                team_id, project_id, repository, agent, tags, metadata, etag, create_time, update_time)
            select $1, id, scope, content, type, source, confidence, pinned, policy, user_id, team_id, project_id,
                repository, agent, array(select jsonb_array_elements_text(tags)), metadata, etag, create_time, create_time
            -- Two batches that have memories in common take them in the same order, so that neither waits for the other.
            from given order by id";
        let memories = || new.iter().map(|new| &new.memory);
        let query = sqlx::query(sql)
            .bind(workspace)
            .bind(memories().map(|memory| memory.id).collect::<Vec<_>>())
            .bind(memories().map(|memory| memory.scope.as_str()).collect::<Vec<_>>())
            .bind(memories().map(|memory| memory.content.as_str()).collect::<Vec<_>>())
            .bind(memories().map(|memory| memory.r#type.as_str()).collect::<Vec<_>>())
            .bind(memories().map(|memory| memory.source.as_str()).collect::<Vec<_>>())
            .bind(memories().map(|memory| memory.confidence).collect::<Vec<_>>())
            .bind(memories().map(|memory| memory.pinned).collect::<Vec<_>>())
            .bind(memories().map(|memory| memory.policy).collect::<Vec<_>>())
            .bind(memories().map(|memory| memory.user_id.as_str()).collect::<Vec<_>>())
            .bind(memories().map(|memory| memory.team_id.as_str()).collect::<Vec<_>>())
            .bind(memories().map(|memory| memory.project_id.as_str()).collect::<Vec<_>>())
            .bind(memories().map(|memory| memory.repository.as_str()).collect::<Vec<_>>())
            .bind(memories().map(|memory| memory.agent.as_str()).collect::<Vec<_>>())
            .bind(memories().map(|memory| Json(&memory.tags)).collect::<Vec<_>>())
            .bind(memories().map(|memory| Json(&memory.metadata.0)).collect::<Vec<_>>())
            .bind(memories().map(|memory| memory.etag).collect::<Vec<_>>())
            .bind(memories().map(|memory| memory.create_time).collect::<Vec<_>>());
        database.write::<()>(query).await?;
        Ok(())
    }

    /// A content that has another length than the one asked for is another one, whatever it is, and is left out: what is read
    /// is no more than what was sent.
    async fn find(database: &Database, workspace: &str, new: &[Self]) -> sqlx::Result<Vec<Option<MemoryRow>>> {
        let sql = "
            select id, scope, case when octet_length(content) = bytes then content else '' end as content, type, source,
                confidence, pinned, policy, user_id, team_id, project_id, repository, agent, tags, metadata, etag,
                create_time, update_time
            from memories join unnest($2::uuid[], $3::int8[]) as given (id, bytes) using (id) where workspace_id = $1";
        let ids: Vec<_> = new.iter().map(|new| new.memory.id).collect();
        let bytes: Vec<_> = new.iter().map(|new| new.memory.content.len() as i64).collect();
        let rows: Vec<MemoryRow> = database.read(|| sqlx::query(sql).bind(workspace).bind(&ids).bind(&bytes)).await?;
        let mut by_id: HashMap<Uuid, MemoryRow> = rows.into_iter().map(|row| (row.id, row)).collect();
        Ok(ids.iter().map(|id| by_id.remove(id)).collect())
    }

    fn is_as(&self, existing: &MemoryRow) -> bool {
        let MemoryRow { etag, create_time, update_time, .. } = *existing;
        MemoryRow { etag, create_time, update_time, ..self.memory.clone() } == *existing
    }

    fn resource(&self, _existing: Option<&MemoryRow>) -> Resource {
        Resource { kind: MEMORY, field: format!("{}memory.id", self.path), name: self.memory.id.to_string() }
    }
}
