use std::collections::{BTreeMap, HashMap};

use keyset::{Filter, Listing, Order, Statement, asc, desc};
use platform::{Error, NewRow, Resource};
use quire_proto::memory::v1::Memory;
use sqlx::{Row, types::Json};
use time::OffsetDateTime;
use uuid::Uuid;

use super::MEMORY;
use crate::Memories;

/// The columns of a memory, and what stands before the name of each in a message that it is part of.
macro_rules! columns {
    ($path:literal) => {
        columns!(
            $path: id scope content type source confidence pinned policy user_id team_id project_id repository agent tags
                metadata etag create_time update_time
        )
    };
    ($path:literal: $first:ident $($column:ident)*) => {
        concat!(
            stringify!($first), " as \"", $path, stringify!($first), "\""
            $(, ", ", stringify!($column), " as \"", $path, stringify!($column), "\"")*
        )
    };
}
pub(super) use columns;

/// The memories of a workspace.
pub static MEMORIES: Listing = Listing {
    name: "memory.v1.Memories",
    from: "memories",
    message: MEMORY,
    columns: columns!(""),
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

pub(crate) async fn get(service: &Memories, workspace: &str, id: Uuid) -> Result<Option<Memory>, Error> {
    let sql = concat!("select ", columns!(""), " from memories where workspace_id = $1 and id = $2");
    let rows = service.database.read_rows(Statement::new(sql).bind(workspace).bind(id)).await?;
    Ok(service.memories.first(&rows)?)
}

/// Changes a memory. Nothing when there is none, or when it has another etag than expected.
pub(crate) async fn update(
    service: &Memories,
    workspace: &str,
    id: Uuid,
    change: &Change,
) -> Result<Option<Memory>, Error> {
    let sql = concat!(
        "
        update memories set scope = coalesce($4, scope), content = coalesce($5, content), type = coalesce($6, type),
            source = coalesce($7, source), confidence = coalesce($8, confidence), pinned = coalesce($9, pinned),
            policy = coalesce($10, policy), user_id = coalesce($11, user_id), team_id = coalesce($12, team_id),
            project_id = coalesce($13, project_id), repository = coalesce($14, repository),
            agent = coalesce($15, agent), tags = coalesce($16, tags), metadata = coalesce($17, metadata), etag = $18,
            update_time = greatest($19, update_time + interval '1 microsecond')
        where workspace_id = $1 and id = $2 and ($3 = '' or etag::text = $3)
        returning ",
        columns!("")
    );
    let statement = Statement::new(sql).bind(workspace).bind(id).bind(&change.expected_etag);
    let statement = statement.bind(change.scope).bind(&change.content).bind(&change.r#type).bind(&change.source);
    let statement = statement.bind(change.confidence).bind(change.pinned).bind(change.policy).bind(&change.user_id);
    let statement = statement.bind(&change.team_id).bind(&change.project_id).bind(&change.repository);
    let statement = statement.bind(&change.agent).bind(&change.tags).bind(change.metadata.as_ref().map(Json));
    let statement = statement.bind(change.new_etag).bind(change.update_time);
    Ok(service.memories.first(&service.database.write_rows(statement).await?)?)
}

/// Deletes a memory. Whether there was one.
pub(crate) async fn delete(service: &Memories, workspace: &str, id: Uuid) -> Result<bool, Error> {
    let sql = "delete from memories where workspace_id = $1 and id = $2 returning id";
    Ok(!service.database.write_rows(Statement::new(sql).bind(workspace).bind(id)).await?.is_empty())
}

/// A memory to be made.
#[derive(Debug, Clone)]
pub(crate) struct NewMemory {
    /// The path of the request that asks for it, with the dot behind it: empty, or as in `requests[3].`.
    pub(crate) path: String,
    pub(crate) id: Uuid,
    pub(crate) scope: &'static str,
    pub(crate) confidence: f64,
    pub(crate) etag: Uuid,
    pub(crate) create_time: OffsetDateTime,
    pub(crate) memory: Memory,
}

impl NewRow for NewMemory {
    type Store = Memories;
    type Existing = Memory;

    async fn insert(service: &Memories, workspace: &str, new: &[&Self]) -> sqlx::Result<()> {
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
        let statement = Statement::new(sql)
            .bind(workspace)
            .bind(new.iter().map(|new| new.id).collect::<Vec<_>>())
            .bind(new.iter().map(|new| new.scope).collect::<Vec<_>>())
            .bind(memories().map(|memory| memory.content.as_str()).collect::<Vec<_>>())
            .bind(memories().map(|memory| memory.r#type.as_str()).collect::<Vec<_>>())
            .bind(memories().map(|memory| memory.source.as_str()).collect::<Vec<_>>())
            .bind(new.iter().map(|new| new.confidence).collect::<Vec<_>>())
            .bind(memories().map(|memory| memory.pinned).collect::<Vec<_>>())
            .bind(memories().map(|memory| memory.policy).collect::<Vec<_>>())
            .bind(memories().map(|memory| memory.user_id.as_str()).collect::<Vec<_>>())
            .bind(memories().map(|memory| memory.team_id.as_str()).collect::<Vec<_>>())
            .bind(memories().map(|memory| memory.project_id.as_str()).collect::<Vec<_>>())
            .bind(memories().map(|memory| memory.repository.as_str()).collect::<Vec<_>>())
            .bind(memories().map(|memory| memory.agent.as_str()).collect::<Vec<_>>())
            .bind(memories().map(|memory| Json(&memory.tags)).collect::<Vec<_>>())
            .bind(memories().map(|memory| Json(&memory.metadata)).collect::<Vec<_>>())
            .bind(new.iter().map(|new| new.etag).collect::<Vec<_>>())
            .bind(new.iter().map(|new| new.create_time).collect::<Vec<_>>());
        service.database.write_rows(statement).await?;
        Ok(())
    }

    /// A content that has another length than the one asked for is another one, whatever it is, and its memory is left out
    /// but for its id: what is read is no more than what was sent.
    async fn find(service: &Memories, workspace: &str, new: &[Self]) -> Result<Vec<Option<Memory>>, Error> {
        let sql = concat!(
            "
            select found.*, stored.id::text as stored_id
            from unnest($2::uuid[], $3::int8[]) as given (id, bytes)
            join memories as stored on stored.workspace_id = $1 and stored.id = given.id
            left join lateral (
                select ",
            columns!(""),
            " from (select stored.*) as memories where octet_length(content) = given.bytes
            ) as found on true"
        );
        let ids: Vec<_> = new.iter().map(|new| new.id).collect();
        let bytes: Vec<_> = new.iter().map(|new| new.memory.content.len() as i64).collect();
        let statement = Statement::new(sql).bind(workspace).bind(ids).bind(bytes);
        let mut by_id = HashMap::new();
        for row in service.database.read_rows(statement).await? {
            by_id.insert(row.try_get::<String, _>("stored_id")?, service.memories.message(&row)?);
        }
        Ok(new.iter().map(|new| by_id.remove(&new.memory.id)).collect())
    }

    fn is_as(&self, existing: &Memory) -> bool {
        let (etag, create_time, update_time) = (existing.etag.clone(), existing.create_time, existing.update_time);
        Memory { etag, create_time, update_time, ..self.memory.clone() } == *existing
    }

    fn resource(&self, _existing: Option<&Memory>) -> Resource {
        Resource { kind: MEMORY, field: format!("{}memory.id", self.path), name: self.memory.id.clone() }
    }
}
