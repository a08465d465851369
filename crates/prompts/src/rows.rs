//! The rows of the service, each beside the SQL that fills it.

use std::collections::BTreeMap;

use keyset::{Filter, Listing, Order, asc, desc};
use platform::{Error, Resource, timestamp};
use quire_proto::prompts::v1::{Prompt, PromptVersion};
use sqlx::{FromRow, PgPool, types::Json};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::PROMPT;

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
#[derive(Debug, Clone, FromRow)]
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

impl PromptRow {
    pub(crate) async fn get(pool: &PgPool, workspace: &str, id: Uuid) -> Result<Option<Self>, Error> {
        let sql = "
            select id, name, surface, tags, metadata, latest_version, etag, create_time, update_time
            from prompts where workspace_id = $1 and id = $2";
        Ok(sqlx::query_as(sql).bind(workspace).bind(id).fetch_optional(pool).await?)
    }

    /// Deletes a prompt; its versions and labels go with it. Whether there was one.
    pub(crate) async fn delete(pool: &PgPool, workspace: &str, id: Uuid) -> Result<bool, Error> {
        let sql = "delete from prompts where workspace_id = $1 and id = $2";
        let deleted = sqlx::query(sql).bind(workspace).bind(id).execute(pool).await?;
        Ok(deleted.rows_affected() > 0)
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

/// A row of `prompt_versions`.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct VersionRow {
    pub(crate) prompt_id: Uuid,
    pub(crate) version: i32,
    pub(crate) content: String,
    pub(crate) model: String,
    pub(crate) author: String,
    pub(crate) variables: Vec<String>,
    pub(crate) content_hash: Vec<u8>,
    pub(crate) create_time: OffsetDateTime,
}

impl From<VersionRow> for PromptVersion {
    fn from(row: VersionRow) -> Self {
        Self {
            prompt_id: row.prompt_id.to_string(),
            version: row.version,
            content: row.content,
            model: row.model,
            author: row.author,
            variables: row.variables,
            content_hash: row.content_hash,
            create_time: Some(timestamp(row.create_time)),
        }
    }
}

/// A prompt to be made, and its version 1.
#[derive(Debug, Clone)]
pub(crate) struct NewPrompt {
    pub(crate) prompt: PromptRow,
    pub(crate) version: VersionRow,
}

/// Makes prompts with their first versions, all or none, in one statement. `path` gives the path of the request with this
/// place, for the error that says which one exists already.
pub(crate) async fn insert(
    pool: &PgPool,
    workspace: &str,
    new: &[NewPrompt],
    path: impl Fn(usize) -> String,
) -> Result<(), Error> {
    let sql = "
        with given as (
            select * from unnest($2::uuid[], $3::text[], $4::text[], $5::jsonb[], $6::jsonb[], $7::uuid[], $8::timestamptz[],
                $9::text[], $10::text[], $11::text[], $12::jsonb[], $13::bytea[])
                as given (id, name, surface, tags, metadata, etag, create_time, content, model, author, variables,
                    content_hash)
        ), made as (
            insert into prompts (workspace_id, id, name, surface, tags, metadata, latest_version, etag, create_time,
                update_time)
            select $1, id, name, surface, array(select jsonb_array_elements_text(tags)), metadata, 1, etag, create_time,
                create_time
            from given
        )
        insert into prompt_versions (workspace_id, prompt_id, version, content, model, author, variables, content_hash,
            create_time)
        select $1, id, 1, content, model, author, array(select jsonb_array_elements_text(variables)), content_hash,
            create_time
        from given";
    let prompts = || new.iter().map(|new| &new.prompt);
    let versions = || new.iter().map(|new| &new.version);
    let inserted = sqlx::query(sql)
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
        .bind(versions().map(|version| version.content_hash.as_slice()).collect::<Vec<_>>())
        .execute(pool)
        .await;
    match inserted {
        Ok(_) => Ok(()),
        Err(sqlx::Error::Database(error)) if error.is_unique_violation() => {
            let taken = taken(pool, workspace, new).await?;
            Err(already_exists(new, &taken, path).unwrap_or(Error::Database(sqlx::Error::Database(error))))
        }
        Err(error) => Err(error.into()),
    }
}

/// The ids and names, of those to be made, that exist.
async fn taken(pool: &PgPool, workspace: &str, new: &[NewPrompt]) -> Result<Vec<(Uuid, String)>, Error> {
    let sql = "
        select id, name from prompts where workspace_id = $1 and id = any($2)
        union all
        select id, name from prompts where workspace_id = $1 and name = any($3)";
    let ids: Vec<_> = new.iter().map(|new| new.prompt.id).collect();
    let names: Vec<_> = new.iter().map(|new| new.prompt.name.as_str()).collect();
    Ok(sqlx::query_as(sql).bind(workspace).bind(ids).bind(names).fetch_all(pool).await?)
}

/// Says which request asks for what exists. Nothing when that was deleted since.
fn already_exists(new: &[NewPrompt], taken: &[(Uuid, String)], path: impl Fn(usize) -> String) -> Option<Error> {
    new.iter().enumerate().find_map(|(place, NewPrompt { prompt, .. })| {
        let (field, name) = if taken.iter().any(|(id, _)| *id == prompt.id) {
            ("prompt.id", prompt.id.to_string())
        } else if taken.iter().any(|(_, name)| *name == prompt.name) {
            ("prompt.name", prompt.name.clone())
        } else {
            return None;
        };
        Some(Error::AlreadyExists(Resource { kind: PROMPT, field: path(place) + field, name }))
    })
}
