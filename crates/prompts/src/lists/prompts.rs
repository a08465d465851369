use std::collections::{BTreeMap, HashMap};

use keyset::{Filter, Listing, Order, Statement, asc, desc};
use platform::{Error, NewRow, Resource};
use quire_proto::prompts::v1::Prompt;
use sqlx::{Row, types::Json};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{PROMPT, versions::NewVersion};
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
    message: PROMPT,
    columns: columns!(),
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

pub(crate) async fn get(service: &Prompts, workspace: &str, id: Uuid) -> Result<Option<Prompt>, Error> {
    let sql = concat!("select ", columns!(), " from prompts where workspace_id = $1 and id = $2");
    let rows = service.database.read_rows(Statement::new(sql).bind(workspace).bind(id)).await?;
    Ok(service.prompts.first(&rows)?)
}

/// Changes a prompt. Nothing when there is none, or when it has another etag than expected.
pub(crate) async fn update(
    service: &Prompts,
    workspace: &str,
    id: Uuid,
    change: &Change,
) -> Result<Option<Prompt>, Error> {
    let sql = concat!(
        "
        update prompts set name = coalesce($4, name), surface = coalesce($5, surface), tags = coalesce($6, tags),
            metadata = coalesce($7, metadata), etag = $8,
            update_time = greatest($9, update_time + interval '1 microsecond')
        where workspace_id = $1 and id = $2 and ($3 = '' or etag::text = $3)
        returning ",
        columns!()
    );
    let statement = Statement::new(sql).bind(workspace).bind(id).bind(&change.expected_etag);
    let statement = statement.bind(&change.name).bind(&change.surface).bind(&change.tags);
    let statement = statement.bind(change.metadata.as_ref().map(Json)).bind(change.new_etag).bind(change.update_time);
    match service.database.write_rows(statement).await {
        Ok(rows) => Ok(service.prompts.first(&rows)?),
        Err(sqlx::Error::Database(error)) if error.is_unique_violation() => {
            let name = change.name.clone().unwrap_or_default();
            Err(Error::AlreadyExists(Resource { kind: PROMPT, field: "prompt.name".to_owned(), name }))
        }
        Err(error) => Err(error.into()),
    }
}

/// Deletes a prompt; its versions and labels go with it. Whether there was one.
pub(crate) async fn delete(service: &Prompts, workspace: &str, id: Uuid) -> Result<bool, Error> {
    let sql = "delete from prompts where workspace_id = $1 and id = $2 returning id";
    Ok(!service.database.write_rows(Statement::new(sql).bind(workspace).bind(id)).await?.is_empty())
}

/// A prompt to be made, and its version 1.
#[derive(Debug, Clone)]
pub(crate) struct NewPrompt {
    /// The path of the request that asks for it, with the dot behind it: empty, or as in `requests[3].`.
    pub(crate) path: String,
    /// Whether the request gave the id.
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
        let versions = || new.iter().map(|new| &new.version.version);
        let statement = Statement::new(sql)
            .bind(workspace)
            .bind(new.iter().map(|new| new.id).collect::<Vec<_>>())
            .bind(prompts().map(|prompt| prompt.name.as_str()).collect::<Vec<_>>())
            .bind(prompts().map(|prompt| prompt.surface.as_str()).collect::<Vec<_>>())
            .bind(prompts().map(|prompt| Json(&prompt.tags)).collect::<Vec<_>>())
            .bind(prompts().map(|prompt| Json(&prompt.metadata)).collect::<Vec<_>>())
            .bind(new.iter().map(|new| new.etag).collect::<Vec<_>>())
            .bind(new.iter().map(|new| new.create_time).collect::<Vec<_>>())
            .bind(versions().map(|version| version.content.as_str()).collect::<Vec<_>>())
            .bind(versions().map(|version| version.model.as_str()).collect::<Vec<_>>())
            .bind(versions().map(|version| version.author.as_str()).collect::<Vec<_>>())
            .bind(versions().map(|version| Json(&version.variables)).collect::<Vec<_>>())
            .bind(versions().map(|version| version.content_hash.as_slice()).collect::<Vec<_>>());
        service.database.write_rows(statement).await?;
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
                prompt: service.prompts.message(&row)?,
                content_hash: row.try_get("content_hash")?,
                model: row.try_get("model")?,
                author: row.try_get("author")?,
            });
        }
        let by_id: HashMap<&str, _> = existing.iter().map(|existing| (existing.prompt.id.as_str(), existing)).collect();
        let by_name: HashMap<&str, _> =
            existing.iter().map(|existing| (existing.prompt.name.as_str(), existing)).collect();
        let find = |Prompt { id, name, .. }: &Prompt| by_id.get(id.as_str()).or_else(|| by_name.get(name.as_str()));
        Ok(new.iter().map(|new| find(&new.prompt).copied().cloned()).collect())
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
        Resource { kind: PROMPT, field: format!("{}{field}", self.path), name }
    }
}

/// A prompt that exists, with what its version 1 was made of.
#[derive(Debug, Clone)]
pub(crate) struct ExistingPrompt {
    pub(crate) prompt: Prompt,
    content_hash: Vec<u8>,
    model: String,
    author: String,
}
