use keyset::{Database, Listing, Order, desc};
use platform::{Error, timestamp};
use quire_proto::prompts::v1::PromptVersion;
use sqlx::FromRow;
use time::OffsetDateTime;
use uuid::Uuid;

/// The versions of a prompt.
pub static VERSIONS: Listing = Listing {
    name: "prompts.v1.PromptVersions",
    from: "prompt_versions",
    columns: "prompt_id, version, content, model, author, variables, content_hash, create_time",
    scope: &["workspace_id", "prompt_id"],
    orders: &[Order { name: "version desc", keys: &[desc("version")], indexed: &[] }],
    // Each variable costs two bytes besides its own, as each of these spaces does.
    weight: Some("octet_length(content) + octet_length(array_to_string(variables, '  '))"),
    ..Listing::DEFAULT
};

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

impl VersionRow {
    /// Adds the version behind the latest one, whatever its own number says, unless that has the same content. The prompt's
    /// row is locked by what it says of its latest version, so that writers wait for each other and each sees the one before;
    /// a version is made later than the one before also where the writers' clocks say otherwise.
    /// Nothing when there is no such prompt.
    pub(crate) async fn add(self, database: &Database, workspace: &str, etag: Uuid) -> Result<Option<Self>, Error> {
        let sql = "
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
            returning prompt_id, version, content, model, author, variables, content_hash, create_time";
        let query = sqlx::query(sql).bind(workspace).bind(self.prompt_id).bind(&self.content_hash).bind(etag);
        let query = query.bind(self.create_time).bind(&self.content).bind(&self.model).bind(&self.author);
        match database.write(query.bind(&self.variables)).await?.pop() {
            Some(added) => Ok(Some(added)),
            None => self.kept(database, workspace).await,
        }
    }

    /// The latest version that has the same content.
    async fn kept(self, database: &Database, workspace: &str) -> Result<Option<Self>, Error> {
        let sql = "
            select prompt_id, version, content, model, author, variables, content_hash, create_time from prompt_versions
            where workspace_id = $1 and prompt_id = $2 and content_hash = $3 order by version desc limit 1";
        let query = || sqlx::query(sql).bind(workspace).bind(self.prompt_id).bind(&self.content_hash);
        Ok(database.read(query).await?.pop())
    }

    pub(crate) async fn exists(
        database: &Database,
        workspace: &str,
        prompt_id: Uuid,
        version: i32,
    ) -> Result<bool, Error> {
        let sql = "select version from prompt_versions where workspace_id = $1 and prompt_id = $2 and version = $3";
        let query = || sqlx::query(sql).bind(workspace).bind(prompt_id).bind(version);
        let found: Vec<(i32,)> = database.read(query).await?;
        Ok(!found.is_empty())
    }

    pub(crate) async fn get(
        database: &Database,
        workspace: &str,
        prompt_id: Uuid,
        version: i32,
    ) -> Result<Option<Self>, Error> {
        let sql = "
            select prompt_id, version, content, model, author, variables, content_hash, create_time from prompt_versions
            where workspace_id = $1 and prompt_id = $2 and version = $3";
        Ok(database.read(|| sqlx::query(sql).bind(workspace).bind(prompt_id).bind(version)).await?.pop())
    }

    /// The version that a label of the prompt with this name points at.
    pub(crate) async fn resolve(
        database: &Database,
        workspace: &str,
        name: &str,
        label: &str,
    ) -> Result<Option<Self>, Error> {
        let sql = "
            select version.prompt_id, version.version, content, model, author, variables, content_hash, version.create_time
            from prompts as prompt
            join labels as label on label.workspace_id = prompt.workspace_id and label.prompt_id = prompt.id
            join prompt_versions as version on version.workspace_id = label.workspace_id
                and version.prompt_id = label.prompt_id and version.version = label.version
            where prompt.workspace_id = $1 and prompt.name = $2 and label.label = $3";
        Ok(database.read(|| sqlx::query(sql).bind(workspace).bind(name).bind(label)).await?.pop())
    }
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
