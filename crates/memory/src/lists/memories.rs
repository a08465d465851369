use std::collections::HashMap;

use keyset::{Filter, Listing, Order, Statement, asc, desc};
use platform::{Declaration, Derived, Error, Field, NewRow, Resource, Rows, Value};
use quire_proto::memory::v1::Memory;
use sqlx::Row;
use time::OffsetDateTime;
use uuid::Uuid;

use super::SCOPES;
use crate::{Memories, words::words_of};

/// The default confidence.
const DEFAULT_CONFIDENCE: f64 = 1.0;

/// The columns of a memory. The argument is the prefix of their names, for a message that contains the memory in a
/// field.
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
    message: "memory.v1.Memory",
    columns: columns!(""),
    scope: &["workspace_id"],
    filters: FILTERS,
    orders: &[
        Order { name: "create_time desc", keys: &[desc("create_time"), desc("id")], indexed: INDEXED },
        Order { name: "create_time", keys: &[asc("create_time"), asc("id")], indexed: INDEXED },
        Order { name: "update_time desc", keys: &[desc("update_time"), desc("id")], indexed: &[] },
        Order { name: "id", keys: &[asc("id")], indexed: &[] },
    ],
    weight: Some(WEIGHT),
    ..Listing::DEFAULT
};

/// The filters of ListMemories and RecallMemories.
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

/// The size of the content plus 12 KiB, the maximum size of all other fields together.
pub(super) const WEIGHT: &str = "octet_length(content) + 12288";

/// The fields of memories that callers write.
pub static MEMORY: Declaration<Memory> = Declaration {
    listing: &MEMORIES,
    field: "memory",
    id: |memory| &memory.id,
    etag: |memory| &memory.etag,
    fields,
    fill,
    unique: "",
    derived: Some(Derived {
        field: "content",
        column: "words",
        column_type: "tsvector",
        mark: "words_etag",
        compute: |workspace, memory| Box::pin(words_of(workspace, &memory.content)),
    }),
};

pub(crate) fn fields(memory: &Memory) -> Vec<Field<'_>> {
    vec![
        Field::one_of("scope", memory.scope, &SCOPES),
        Field::text("content", &memory.content, 1..=256 << 10),
        Field::text("type", &memory.r#type, 0..=64),
        Field::text("source", &memory.source, 0..=256),
        Field::float8("confidence", memory.confidence, 0.0..=1.0),
        Field::bool("pinned", memory.pinned),
        Field::bool("policy", memory.policy),
        Field::text("user_id", &memory.user_id, 0..=128),
        Field::text("team_id", &memory.team_id, 0..=128),
        Field::text("project_id", &memory.project_id, 0..=128),
        Field::text("repository", &memory.repository, 0..=256),
        Field::text("agent", &memory.agent, 0..=256),
        Field::words("tags", &memory.tags, 0),
        Field::metadata("metadata", &memory.metadata),
    ]
}

pub(crate) fn fill(memory: &mut Memory) {
    memory.confidence.get_or_insert(DEFAULT_CONFIDENCE);
}

/// A memory to insert.
#[derive(Debug, Clone)]
pub(crate) struct NewMemory {
    /// The path of its request in a batch, with a trailing dot, as in `requests[3].`; empty outside a batch.
    pub(crate) path: String,
    pub(crate) id: Uuid,
    pub(crate) etag: Uuid,
    pub(crate) create_time: OffsetDateTime,
    pub(crate) memory: Memory,
    /// The words of its content.
    pub(crate) words: String,
}

impl NewRow for NewMemory {
    type Store = Memories;
    type Existing = Memory;

    async fn insert(service: &Memories, workspace: &str, new: &[&Self]) -> sqlx::Result<()> {
        let rows = Rows::new(new.iter().map(|new| {
            let mut fields = fields(&new.memory);
            fields.extend([
                Field::new("id", Value::Uuid(new.id)),
                Field::new("etag", Value::Uuid(new.etag)),
                Field::new("words", Value::Tsvector(&new.words)),
                Field::new("words_etag", Value::Uuid(new.etag)),
                Field::new("create_time", Value::Timestamptz(new.create_time)),
                Field::new("update_time", Value::Timestamptz(new.create_time)),
            ]);
            fields
        }));
        service.database.write_rows(rows.insert(workspace, "memories", "id")).await?;
        Ok(())
    }

    /// If the existing content differs in length from the new content, only the id is returned, because the memories
    /// differ anyway. So the database returns no more bytes of content than the request contains.
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
            by_id.insert(row.try_get::<String, _>("stored_id")?, service.memories.list.message(&row)?);
        }
        Ok(new.iter().map(|new| by_id.remove(&new.memory.id)).collect())
    }

    fn keys(&self) -> Vec<&str> {
        vec![&self.memory.id]
    }

    fn as_existing(&self) -> Memory {
        self.memory.clone()
    }

    fn is_as(&self, existing: &Memory) -> bool {
        let (etag, create_time, update_time) = (existing.etag.clone(), existing.create_time, existing.update_time);
        Memory { etag, create_time, update_time, ..self.memory.clone() } == *existing
    }

    fn resource(&self, _existing: Option<&Memory>) -> Resource {
        Resource { kind: MEMORIES.message, field: format!("{}memory.id", self.path), name: self.memory.id.clone() }
    }
}
