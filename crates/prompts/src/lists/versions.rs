use keyset::{Listing, Order, Statement, desc};
use platform::{Error, Field, Value};
use quire_proto::prompts::v1::PromptVersion;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::Prompts;

macro_rules! columns {
    () => {
        "prompt_id, version, content, model, author, variables, content_hash, create_time"
    };
}

/// The versions of a prompt.
pub static VERSIONS: Listing = Listing {
    name: "prompts.v1.PromptVersions",
    from: "prompt_versions",
    message: "prompts.v1.PromptVersion",
    columns: columns!(),
    scope: &["workspace_id", "prompt_id"],
    orders: &[Order { name: "version desc", keys: &[desc("version")], indexed: &[] }],
    // The encoding of each variable needs two more bytes, hence the two spaces of the separator.
    weight: Some("octet_length(content) + octet_length(array_to_string(variables, '  '))"),
    ..Listing::DEFAULT
};

/// A version to insert.
#[derive(Debug, Clone)]
pub(crate) struct NewVersion {
    pub(crate) prompt_id: Uuid,
    pub(crate) create_time: OffsetDateTime,
    pub(crate) version: PromptVersion,
}

/// The fields of a version that callers write.
pub fn version_fields(version: &PromptVersion) -> Vec<Field<'_>> {
    vec![
        Field::text("content", &version.content, 1..=1 << 20),
        Field::text("model", &version.model, 0..=128),
        Field::text("author", &version.author, 0..=128),
    ]
}

impl NewVersion {
    /// The fields of the version's row.
    pub(crate) fn row(&self) -> Vec<Field<'_>> {
        let mut fields = version_fields(&self.version);
        fields.extend([
            Field::new("prompt_id", Value::Uuid(self.prompt_id)),
            Field::new("version", Value::Int4(Some(self.version.version))),
            Field::words("variables", &self.version.variables, 0),
            Field::new("content_hash", Value::Bytea(&self.version.content_hash)),
            Field::new("create_time", Value::Timestamptz(self.create_time)),
        ]);
        fields
    }
}

/// Adds the version after the latest one; the number in `new` is ignored. If the latest version has the same content,
/// nothing is added, and the existing version is returned. Returns `None` if the prompt does not exist. The update of
/// the prompt's row locks it, so concurrent writers wait for each other, and each sees the version before. A version's
/// creation time is always later than that of the previous version, even if the servers' clocks differ.
pub(crate) async fn add(
    service: &Prompts,
    workspace: &str,
    new: &NewVersion,
    etag: Uuid,
) -> Result<Option<PromptVersion>, Error> {
    let sql = concat!(
        "
        with added as (
            update prompts set latest_version = latest_version + 1, latest_content_hash = $3, etag = $4,
                update_time = greatest($5, update_time + interval '1 microsecond')
            where workspace_id = $1 and id = $2 and $3 <> coalesce(latest_content_hash, (
                select content_hash from prompt_versions as latest
                where latest.workspace_id = $1 and latest.prompt_id = $2 and latest.version = prompts.latest_version))
            returning latest_version, update_time
        )
        insert into prompt_versions (workspace_id, prompt_id, version, content, model, author, variables, content_hash,
            create_time)
        select $1, $2, latest_version, $6, $7, $8, $9, $3, update_time from added
        returning ",
        columns!()
    );
    let NewVersion { prompt_id, create_time, version } = new;
    let statement = Statement::new(sql).bind(workspace).bind(prompt_id).bind(&version.content_hash).bind(etag);
    let statement = statement.bind(create_time).bind(&version.content).bind(&version.model).bind(&version.author);
    let added = service.database.write_rows(statement.bind(&version.variables)).await?;
    match service.versions.first(&added)? {
        Some(added) => Ok(Some(added)),
        None => with_content(service, workspace, *prompt_id, &version.content_hash).await,
    }
}

/// The latest version with this content.
async fn with_content(
    service: &Prompts,
    workspace: &str,
    prompt_id: Uuid,
    content_hash: &[u8],
) -> Result<Option<PromptVersion>, Error> {
    let sql = concat!(
        "select ",
        columns!(),
        " from prompt_versions where workspace_id = $1 and prompt_id = $2 and content_hash = $3
        order by version desc limit 1"
    );
    let statement = Statement::new(sql).bind(workspace).bind(prompt_id).bind(content_hash);
    Ok(service.versions.first(&service.database.read_rows(statement).await?)?)
}

pub(crate) async fn exists(service: &Prompts, workspace: &str, prompt_id: Uuid, version: i32) -> Result<bool, Error> {
    let sql = "select version from prompt_versions where workspace_id = $1 and prompt_id = $2 and version = $3";
    let statement = Statement::new(sql).bind(workspace).bind(prompt_id).bind(version);
    Ok(!service.database.read_rows(statement).await?.is_empty())
}

pub(crate) async fn get(
    service: &Prompts,
    workspace: &str,
    prompt_id: Uuid,
    version: i32,
) -> Result<Option<PromptVersion>, Error> {
    let sql = concat!(
        "select ",
        columns!(),
        " from prompt_versions where workspace_id = $1 and prompt_id = $2 and version = $3"
    );
    let statement = Statement::new(sql).bind(workspace).bind(prompt_id).bind(version);
    Ok(service.versions.first(&service.database.read_rows(statement).await?)?)
}

/// Which version of a prompt to resolve.
#[derive(Debug, Clone)]
pub(crate) enum Wanted {
    Label(String),
    Version(i32),
}

/// The wanted version of the prompt with this name.
pub(crate) async fn resolve(
    service: &Prompts,
    workspace: &str,
    name: &str,
    wanted: &Wanted,
) -> Result<Option<PromptVersion>, Error> {
    let by_label = concat!(
        "select ",
        columns!(),
        " from prompt_versions where workspace_id = $1 and (prompt_id, version) = (
            select prompt.id, coalesce(label.version, case when $3 = 'latest' then prompt.latest_version end)
            from prompts as prompt
            left join labels as label
                on label.workspace_id = prompt.workspace_id and label.prompt_id = prompt.id and label.label = $3
            where prompt.workspace_id = $1 and prompt.name = $2)"
    );
    let by_number = concat!(
        "select ",
        columns!(),
        " from prompt_versions where workspace_id = $1 and version = $3 and prompt_id = (
            select id from prompts where workspace_id = $1 and name = $2)"
    );
    let statement = match wanted {
        Wanted::Label(label) => Statement::new(by_label).bind(workspace).bind(name).bind(label),
        Wanted::Version(version) => Statement::new(by_number).bind(workspace).bind(name).bind(*version),
    };
    Ok(service.versions.first(&service.database.read_rows(statement).await?)?)
}
