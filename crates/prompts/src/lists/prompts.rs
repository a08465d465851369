use keyset::{Filter, Listing, Order, Statement, asc, desc};
use platform::{Declaration, Error, Field, KeyPair, NewRow, Resource, Rows, Value, matched};
use quire_proto::prompts::v1::{Prompt, PromptVersion};
use sqlx::Row;
use time::OffsetDateTime;
use uuid::Uuid;

use super::versions::{NewVersion, VERSIONS};
use crate::Prompts;

macro_rules! columns {
    () => {
        "id, name, surface, tags, metadata, latest_version, etag, create_time, update_time"
    };
}

/// The prompts of a workspace.
pub static PROMPTS: Listing = Listing {
    name: "prompts.v1.Prompts",
    from: "prompts",
    message: "prompts.v1.Prompt",
    columns: columns!(),
    unfilled: &["latest"],
    scope: &["workspace_id"],
    filters: &[
        Filter::equal("surface", "surface"),
        Filter::prefix("name_prefix", "name"),
        Filter::condition("tag", "tags @> array[{tag}]"),
    ],
    orders: &[
        Order { name: "create_time desc", keys: &[desc("create_time"), desc("id")], indexed: &[&["surface"]] },
        Order { name: "create_time", keys: &[asc("create_time"), asc("id")], indexed: &[&["surface"]] },
        Order { name: "update_time desc", keys: &[desc("update_time"), desc("id")], indexed: &[] },
        Order { name: "name", keys: &[asc("name")], indexed: &[] },
        Order { name: "id", keys: &[asc("id")], indexed: &[] },
    ],
    ..Listing::DEFAULT
};

/// The prompts of a workspace, each with its latest version.
pub static PROMPTS_WITH_LATEST_VERSION: Listing = Listing {
    name: "prompts.v1.PromptsWithLatestVersion",
    from: "(
        select prompts.*, latest.content, latest.model, latest.author, latest.variables, latest.content_hash,
            latest.create_time as latest_create_time
        from prompts left join prompt_versions as latest on latest.workspace_id = prompts.workspace_id
            and latest.prompt_id = prompts.id and latest.version = prompts.latest_version
    ) as prompts",
    columns: concat!(
        columns!(),
        ", latest_version as \"latest.version\", content as \"latest.content\", model as \"latest.model\",
        author as \"latest.author\", variables as \"latest.variables\", content_hash as \"latest.content_hash\",
        latest_create_time as \"latest.create_time\""
    ),
    unfilled: &["latest.prompt_id"],
    weight: VERSIONS.weight,
    ..PROMPTS
};

/// The fields of prompts that callers write.
pub static PROMPT: Declaration<Prompt> = Declaration {
    listing: &PROMPTS,
    field: "prompt",
    id: |prompt| &prompt.id,
    etag: |prompt| &prompt.etag,
    fields,
    fill: |_| {},
    unique: "name",
    derived: None,
};

pub(crate) fn fields(prompt: &Prompt) -> Vec<Field<'_>> {
    vec![
        Field::text("name", &prompt.name, 1..=256),
        Field::text("surface", &prompt.surface, 0..=64),
        Field::words("tags", &prompt.tags, 0),
        Field::metadata("metadata", &prompt.metadata),
    ]
}

/// A prompt to insert, and its version 1.
#[derive(Debug, Clone)]
pub(crate) struct NewPrompt {
    /// The path of its request in a batch, with a trailing dot, as in `requests[3].`; empty outside a batch.
    pub(crate) path: String,
    /// Whether the request contains the id.
    pub(crate) is_id_given: bool,
    pub(crate) id: Uuid,
    pub(crate) etag: Uuid,
    pub(crate) create_time: OffsetDateTime,
    pub(crate) prompt: Prompt,
    pub(crate) version: NewVersion,
}

impl NewRow for NewPrompt {
    type Store = Prompts;
    type Existing = ExistingPrompt;

    async fn insert(service: &Prompts, workspace: &str, new: &[&Self]) -> sqlx::Result<()> {
        let prompts = Rows::new(new.iter().map(|new| {
            let mut fields = fields(&new.prompt);
            fields.extend([
                Field::new("id", Value::Uuid(new.id)),
                Field::new("latest_version", Value::Int4(Some(1))),
                Field::new("latest_content_hash", Value::Bytea(&new.version.version.content_hash)),
                Field::new("etag", Value::Uuid(new.etag)),
                Field::new("create_time", Value::Timestamptz(new.create_time)),
                Field::new("update_time", Value::Timestamptz(new.create_time)),
            ]);
            fields
        }));
        let versions = Rows::new(new.iter().map(|new| new.version.row())).after(&prompts);
        let sql = format!(
            "with made as ({}) {}",
            prompts.insert_into("prompts", "name"),
            versions.insert_into("prompt_versions", "prompt_id")
        );
        let statement = Statement::built(sql.into()).bind(workspace);
        service.database.write_rows(versions.bind(prompts.bind(statement))).await?;
        Ok(())
    }

    async fn find(service: &Prompts, workspace: &str, new: &[Self]) -> Result<Vec<Option<ExistingPrompt>>, Error> {
        let sql = concat!(
            "
            with found as (
                select id from prompts where workspace_id = $1 and id = any($2)
                union
                select id from prompts where workspace_id = $1 and name = any($3)
            )
            select prompt.*, version.content_hash, version.model, version.author
            from found
            cross join lateral (
                select ",
            columns!(),
            " from prompts where workspace_id = $1 and prompts.id = found.id
            ) as prompt
            join prompt_versions as version on version.workspace_id = $1 and prompt_id = found.id and version = 1"
        );
        let ids: Vec<_> = new.iter().map(|new| new.id).collect();
        let names: Vec<_> = new.iter().map(|new| new.prompt.name.as_str()).collect();
        let statement = Statement::new(sql).bind(workspace).bind(ids).bind(names);
        let mut existing = Vec::new();
        for row in service.database.read_rows(statement).await? {
            existing.push(ExistingPrompt {
                prompt: service.prompts.list.message(&row)?,
                content_hash: row.try_get("content_hash")?,
                model: row.try_get("model")?,
                author: row.try_get("author")?,
            });
        }
        let id: KeyPair<Self, ExistingPrompt> = (|new| &new.prompt.id, |existing| &existing.prompt.id);
        let name: KeyPair<Self, ExistingPrompt> = (|new| &new.prompt.name, |existing| &existing.prompt.name);
        Ok(matched(new, &existing, &[id, name]))
    }

    fn keys(&self) -> Vec<&str> {
        vec![&self.prompt.id, &self.prompt.name]
    }

    fn as_existing(&self) -> ExistingPrompt {
        let PromptVersion { content_hash, model, author, .. } = self.version.version.clone();
        ExistingPrompt { prompt: self.prompt.clone(), content_hash, model, author }
    }

    fn is_as(&self, existing: &ExistingPrompt) -> bool {
        let Prompt { name, surface, tags, metadata, .. } = &existing.prompt;
        let (new, version) = (&self.prompt, &self.version.version);
        (!self.is_id_given || new.id == existing.prompt.id)
            && (&new.name, &new.surface, &new.tags, &new.metadata) == (name, surface, tags, metadata)
            && (&version.content_hash, &version.model, &version.author)
                == (&existing.content_hash, &existing.model, &existing.author)
    }

    fn resource(&self, existing: Option<&ExistingPrompt>) -> Resource {
        let (field, name) = if existing.is_some_and(|existing| existing.prompt.id == self.prompt.id) {
            ("prompt.id", self.prompt.id.clone())
        } else {
            ("prompt.name", self.prompt.name.clone())
        };
        Resource { kind: PROMPTS.message, field: format!("{}{field}", self.path), name }
    }
}

/// An existing prompt, with the fields of its version 1 that are compared.
#[derive(Debug, Clone)]
pub(crate) struct ExistingPrompt {
    pub(crate) prompt: Prompt,
    content_hash: Vec<u8>,
    model: String,
    author: String,
}
