use std::collections::{BTreeMap, HashMap};

use keyset::{Database, Filter, Listing, Order, asc, desc};
use platform::{Error, NewRow, Resource, timestamp};
use quire_proto::prompts::v1::Prompt;
use sqlx::{FromRow, types::Json};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{PROMPT, VersionRow};

/// The prompts of a workspace.
pub static PROMPTS: Listing = Listing {
    name: "prompts.v1.Prompts",
    from: "prompts",
    columns: "id, name, surface, tags, metadata, latest_version, etag, create_time, update_time",
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
    ],
    ..Listing::DEFAULT
};

/// A row of `prompts`.
#[derive(Debug, Clone, PartialEq, FromRow)]
pub(crate) struct PromptRow {
    pub(crate) id: Uuid,
    pub(crate) name: String,
    pub(crate) surface: String,
    pub(crate) tags: Vec<String>,
    pub(crate) metadata: Json<BTreeMap<String, String>>,
    pub(crate) latest_version: i32,
    pub(crate) etag: Uuid,
    pub(crate) create_time: OffsetDateTime,
    pub(crate) update_time: OffsetDateTime,
}

/// What an update changes of a prompt: the fields that are given.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) name: Option<String>,
    pub(crate) surface: Option<String>,
    pub(crate) tags: Option<Vec<String>>,
    pub(crate) metadata: Option<BTreeMap<String, String>>,
    /// The etag that the prompt must have, where one is given.
    pub(crate) expected_etag: String,
    pub(crate) new_etag: Uuid,
    pub(crate) update_time: OffsetDateTime,
}

impl PromptRow {
    pub(crate) async fn get(database: &Database, workspace: &str, id: Uuid) -> Result<Option<Self>, Error> {
        let sql = "
            select id, name, surface, tags, metadata, latest_version, etag, create_time, update_time
            from prompts where workspace_id = $1 and id = $2";
        Ok(database.read(|| sqlx::query(sql).bind(workspace).bind(id)).await?.pop())
    }

    /// Changes a prompt. Nothing when there is none, or when it has another etag than expected.
    pub(crate) async fn update(
        database: &Database,
        workspace: &str,
        id: Uuid,
        change: &Change,
    ) -> Result<Option<Self>, Error> {
        let sql = "
            update prompts set name = coalesce($4, name), surface = coalesce($5, surface), tags = coalesce($6, tags),
                metadata = coalesce($7, metadata), etag = $8,
                update_time = greatest($9, update_time + interval '1 microsecond')
            where workspace_id = $1 and id = $2 and ($3 = '' or etag::text = $3)
            returning id, name, surface, tags, metadata, latest_version, etag, create_time, update_time";
        let query = sqlx::query(sql).bind(workspace).bind(id).bind(&change.expected_etag);
        let query = query.bind(&change.name).bind(&change.surface).bind(&change.tags);
        let query = query.bind(change.metadata.as_ref().map(Json)).bind(change.new_etag).bind(change.update_time);
        match database.write(query).await {
            Ok(mut updated) => Ok(updated.pop()),
            Err(sqlx::Error::Database(error)) if error.is_unique_violation() => {
                let name = change.name.clone().unwrap_or_default();
                Err(Error::AlreadyExists(Resource { kind: PROMPT, field: "prompt.name".to_owned(), name }))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Deletes a prompt; its versions and labels go with it. Whether there was one.
    pub(crate) async fn delete(database: &Database, workspace: &str, id: Uuid) -> Result<bool, Error> {
        let sql = "delete from prompts where workspace_id = $1 and id = $2 returning id";
        let deleted: Vec<(Uuid,)> = database.write(sqlx::query(sql).bind(workspace).bind(id)).await?;
        Ok(!deleted.is_empty())
    }
}

impl From<PromptRow> for Prompt {
    fn from(row: PromptRow) -> Self {
        Self {
            id: row.id.to_string(),
            name: row.name,
            surface: row.surface,
            tags: row.tags,
            metadata: row.metadata.0,
            latest_version: row.latest_version,
            etag: row.etag.to_string(),
            create_time: Some(timestamp(row.create_time)),
            update_time: Some(timestamp(row.update_time)),
        }
    }
}

/// A prompt to be made, and its version 1.
#[derive(Debug, Clone)]
pub(crate) struct NewPrompt {
    /// The path of the request that asks for it, with the dot behind it: empty, or as in `requests[3].`.
    pub(crate) path: String,
    /// Whether the request gave the id.
    pub(crate) is_id_given: bool,
    pub(crate) prompt: PromptRow,
    pub(crate) version: VersionRow,
}

impl NewRow for NewPrompt {
    type Existing = ExistingPrompt;

    async fn insert(database: &Database, workspace: &str, new: &[&Self]) -> sqlx::Result<()> {
        let sql = "
            with given as (
                select * from unnest($2::uuid[], $3::text[], $4::text[], $5::jsonb[], $6::jsonb[], $7::uuid[],
                    $8::timestamptz[], $9::text[], $10::text[], $11::text[], $12::jsonb[], $13::bytea[])
                    as given (id, name, surface, tags, metadata, etag, create_time, content, model, author, variables,
                        content_hash)
            ), made as (
                insert into prompts (workspace_id, id, name, surface, tags, metadata, latest_version, latest_content_hash,
                    etag, create_time, update_time)
                select $1, id, name, surface, array(select jsonb_array_elements_text(tags)), metadata, 1, content_hash, etag,
                    create_time, create_time
                -- Two batches that have prompts in common take them in the same order, so that neither waits for the other.
                from given order by name
            )
            insert into prompt_versions (workspace_id, prompt_id, version, content, model, author, variables, content_hash,
                create_time)
            select $1, id, 1, content, model, author, array(select jsonb_array_elements_text(variables)), content_hash,
                create_time
            from given";
        let prompts = || new.iter().map(|new| &new.prompt);
        let versions = || new.iter().map(|new| &new.version);
        let query = sqlx::query(sql)
            .bind(workspace)
            .bind(prompts().map(|prompt| prompt.id).collect::<Vec<_>>())
            .bind(prompts().map(|prompt| prompt.name.as_str()).collect::<Vec<_>>())
            .bind(prompts().map(|prompt| prompt.surface.as_str()).collect::<Vec<_>>())
            .bind(prompts().map(|prompt| Json(&prompt.tags)).collect::<Vec<_>>())
            .bind(prompts().map(|prompt| Json(&prompt.metadata.0)).collect::<Vec<_>>())
            .bind(prompts().map(|prompt| prompt.etag).collect::<Vec<_>>())
            .bind(prompts().map(|prompt| prompt.create_time).collect::<Vec<_>>())
            .bind(versions().map(|version| version.content.as_str()).collect::<Vec<_>>())
            .bind(versions().map(|version| version.model.as_str()).collect::<Vec<_>>())
            .bind(versions().map(|version| version.author.as_str()).collect::<Vec<_>>())
            .bind(versions().map(|version| Json(&version.variables)).collect::<Vec<_>>())
            .bind(versions().map(|version| version.content_hash.as_slice()).collect::<Vec<_>>());
        database.write::<()>(query).await?;
        Ok(())
    }

    async fn find(database: &Database, workspace: &str, new: &[Self]) -> sqlx::Result<Vec<Option<ExistingPrompt>>> {
        let sql = "
            with found as (
                select id from prompts where workspace_id = $1 and id = any($2)
                union
                select id from prompts where workspace_id = $1 and name = any($3)
            )
            select prompt.id, name, surface, tags, metadata, latest_version, etag, prompt.create_time, update_time,
                content_hash, model, author
            from found
            join prompts as prompt on prompt.workspace_id = $1 and prompt.id = found.id
            join prompt_versions as version on version.workspace_id = $1 and prompt_id = found.id and version = 1";
        let ids: Vec<_> = new.iter().map(|new| new.prompt.id).collect();
        let names: Vec<_> = new.iter().map(|new| new.prompt.name.as_str()).collect();
        let rows: Vec<ExistingPrompt> =
            database.read(|| sqlx::query(sql).bind(workspace).bind(&ids).bind(&names)).await?;
        let by_id: HashMap<Uuid, &ExistingPrompt> = rows.iter().map(|row| (row.prompt.id, row)).collect();
        let by_name: HashMap<&str, &ExistingPrompt> = rows.iter().map(|row| (row.prompt.name.as_str(), row)).collect();
        let existing =
            |new: &Self| by_id.get(&new.prompt.id).or_else(|| by_name.get(new.prompt.name.as_str())).copied();
        Ok(new.iter().map(|new| existing(new).cloned()).collect())
    }

    fn is_as(&self, existing: &ExistingPrompt) -> bool {
        let PromptRow { id, latest_version, etag, create_time, update_time, .. } = existing.prompt;
        let id = if self.is_id_given { self.prompt.id } else { id };
        PromptRow { id, latest_version, etag, create_time, update_time, ..self.prompt.clone() } == existing.prompt
            && self.version.content_hash == existing.content_hash
            && self.version.model == existing.model
            && self.version.author == existing.author
    }

    fn resource(&self, existing: Option<&ExistingPrompt>) -> Resource {
        let (field, name) = if existing.is_some_and(|existing| existing.prompt.id == self.prompt.id) {
            ("prompt.id", self.prompt.id.to_string())
        } else {
            ("prompt.name", self.prompt.name.clone())
        };
        Resource { kind: PROMPT, field: format!("{}{field}", self.path), name }
    }
}

/// A prompt that is there, with what its version 1 was made of.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct ExistingPrompt {
    #[sqlx(flatten)]
    pub(crate) prompt: PromptRow,
    content_hash: Vec<u8>,
    model: String,
    author: String,
}
