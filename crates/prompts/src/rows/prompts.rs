use std::collections::{BTreeMap, HashMap};

use keyset::{Database, Filter, Listing, Order, asc, desc};
use platform::{Error, Resource, timestamp};
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

/// How often prompts are tried to be made while others make and delete the same.
const ATTEMPTS: usize = 8;

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

impl NewPrompt {
    /// Makes prompts with their first versions, all or none.
    pub(crate) async fn insert(database: &Database, workspace: &str, new: &[Self]) -> Result<(), Error> {
        for _ in 0..ATTEMPTS {
            if Self::try_insert(database, workspace, new).await? {
                return Ok(());
            }
            let existing = ExistingPrompts::find(database, workspace, new).await?;
            if let Some(conflict) = new.iter().find_map(|new| Some(existing.of(new)?.conflict(new))) {
                return Err(conflict);
            }
            // What was in the way was deleted since.
        }
        Err(contended(new))
    }

    /// Makes those prompts that are not there yet, all or none, and gives all of them as they are kept. Those that are
    /// there must be as asked for.
    pub(crate) async fn insert_missing(
        database: &Database,
        workspace: &str,
        new: &[Self],
    ) -> Result<Vec<PromptRow>, Error> {
        for _ in 0..ATTEMPTS {
            let existing = ExistingPrompts::find(database, workspace, new).await?;
            let (mut kept, mut missing) = (Vec::with_capacity(new.len()), Vec::new());
            for new in new {
                match existing.of(new) {
                    None => {
                        kept.push(new.prompt.clone());
                        missing.push(new.clone());
                    }
                    Some(existing) if existing.is_as(new) => kept.push(existing.prompt.clone()),
                    Some(existing) => return Err(existing.conflict(new)),
                }
            }
            if missing.is_empty() || Self::try_insert(database, workspace, &missing).await? {
                return Ok(kept);
            }
            // Some were made since they were looked for, perhaps by this same call, sent twice.
        }
        Err(contended(new))
    }

    /// Whether they were made: none is when one of their ids or names is taken.
    async fn try_insert(database: &Database, workspace: &str, new: &[Self]) -> Result<bool, Error> {
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
        match database.write::<()>(query).await {
            Ok(_) => Ok(true),
            Err(sqlx::Error::Database(error)) if error.is_unique_violation() => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

/// That others were faster each time.
fn contended(new: &[NewPrompt]) -> Error {
    let first = new.first().map(|new| (new.path.as_str(), new.prompt.name.clone()));
    let (path, name) = first.unwrap_or_default();
    Error::Aborted(Resource { kind: PROMPT, field: format!("{path}prompt.name"), name })
}

/// A prompt that is there, with what its version 1 was made of.
#[derive(Debug, FromRow)]
struct ExistingPrompt {
    #[sqlx(flatten)]
    prompt: PromptRow,
    content_hash: Vec<u8>,
    model: String,
    author: String,
}

impl ExistingPrompt {
    /// Whether it is what was asked for.
    fn is_as(&self, NewPrompt { is_id_given, prompt, version, .. }: &NewPrompt) -> bool {
        (self.prompt.id == prompt.id || !is_id_given)
            && self.prompt.name == prompt.name
            && self.prompt.surface == prompt.surface
            && self.prompt.tags == prompt.tags
            && self.prompt.metadata == prompt.metadata
            && self.content_hash == version.content_hash
            && self.model == version.model
            && self.author == version.author
    }

    /// That it is in the way of a new one.
    fn conflict(&self, new: &NewPrompt) -> Error {
        let (field, name) = if self.prompt.id == new.prompt.id {
            ("prompt.id", self.prompt.id.to_string())
        } else {
            ("prompt.name", self.prompt.name.clone())
        };
        Error::AlreadyExists(Resource { kind: PROMPT, field: format!("{}{field}", new.path), name })
    }
}

/// Prompts that are there.
struct ExistingPrompts {
    by_id: HashMap<Uuid, ExistingPrompt>,
    ids: HashMap<String, Uuid>,
}

impl ExistingPrompts {
    /// Those that have the id or the name of a new one.
    async fn find(database: &Database, workspace: &str, new: &[NewPrompt]) -> Result<Self, Error> {
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
        let ids = rows.iter().map(|row| (row.prompt.name.clone(), row.prompt.id)).collect();
        Ok(Self { by_id: rows.into_iter().map(|row| (row.prompt.id, row)).collect(), ids })
    }

    /// The one that has the id or the name of a new one.
    fn of(&self, new: &NewPrompt) -> Option<&ExistingPrompt> {
        let by_name = || self.ids.get(&new.prompt.name).and_then(|id| self.by_id.get(id));
        self.by_id.get(&new.prompt.id).or_else(by_name)
    }
}
