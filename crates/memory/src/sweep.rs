//! The sweep of memories that an earlier release has written.

use futures_util::future::BoxFuture;
use keyset::Rarely;
use platform::{Sweep, Swept};
use sqlx::{PgConnection, Row, postgres::PgRow};
use uuid::Uuid;

use crate::words::words_of;

/// How many memories a page has at most.
const PAGE: i64 = 200;
/// How many bytes of content a page has at most, besides its first memory.
const PAGE_BYTES: i64 = 2 << 20;

/// Computes the words of memories that an earlier release has stored or updated.
///
/// It goes through them once, and begins again after its last page. So memories that cannot be swept do not stop it.
#[derive(Debug, Default)]
pub(crate) struct StaleWords {
    /// The last memory of the page before. The default is before every memory.
    last: Key,
}

/// A memory as it was written.
#[derive(Debug, Clone, Default)]
struct Key {
    workspace: String,
    etag: Uuid,
    id: Uuid,
}

impl Sweep for StaleWords {
    fn name(&self) -> &'static str {
        "stale_words"
    }

    fn page<'a>(&'a mut self, connection: &'a mut PgConnection) -> BoxFuture<'a, sqlx::Result<Swept>> {
        Box::pin(async {
            let page = stale(connection, &self.last).await?;
            self.last = page.last().cloned().unwrap_or_default();
            Ok(Swept { rows: sweep(connection, &page).await?, is_last: page.is_empty() })
        })
    }
}

/// The next stale memories after this one.
async fn stale(connection: &mut PgConnection, last: &Key) -> sqlx::Result<Vec<Key>> {
    let sql = "
        select workspace_id, etag, id from (
            select memories.*, row_number() over () as number, sum(bytes) over (rows unbounded preceding) as page_bytes
            from (
                select workspace_id, etag, id, octet_length(content) as bytes from memories
                where words_etag is distinct from etag and (workspace_id, etag, id) > ($1, $2, $3)
                order by workspace_id, etag, id limit $4
            ) as memories
        ) as page
        where page_bytes <= $5 or number = 1
        order by workspace_id, etag, id";
    let page = sqlx::query(sql).bind(&last.workspace).bind(last.etag).bind(last.id).bind(PAGE).bind(PAGE_BYTES);
    let key = |row: &PgRow| Ok(Key { workspace: row.try_get(0)?, etag: row.try_get(1)?, id: row.try_get(2)? });
    page.fetch_all(connection).await?.iter().map(key).collect()
}

/// Computes the words of these memories. Memories that Postgres does not read or write are found by halving, and skipped.
async fn sweep(connection: &mut PgConnection, memories: &[Key]) -> sqlx::Result<u64> {
    static SKIPPED: Rarely = Rarely::new();
    let mut rows = 0;
    let mut parts = vec![memories];
    while let Some(part) = parts.pop() {
        match (write_words(connection, part).await, part) {
            (Err(error @ sqlx::Error::Database(_)), [Key { workspace, id, .. }]) => {
                if let Some(times) = SKIPPED.times() {
                    tracing::warn!(%error, workspace, %id, times, "cannot compute the words of a memory; retrying later");
                }
            }
            (Err(sqlx::Error::Database(_)), _) => parts.extend(<[_; 2]>::from(part.split_at(part.len() / 2))),
            (written, _) => rows += written?,
        }
    }
    Ok(rows)
}

/// Computes and writes the words of these memories, as far as they are as they were. A memory that another transaction has
/// locked is left to the next sweep.
async fn write_words(connection: &mut PgConnection, memories: &[Key]) -> sqlx::Result<u64> {
    let workspaces: Vec<_> = memories.iter().map(|key| key.workspace.as_str()).collect();
    let etags: Vec<_> = memories.iter().map(|key| key.etag).collect();
    let ids: Vec<_> = memories.iter().map(|key| key.id).collect();
    let sql = "
        select workspace_id, etag, id, content
        from unnest($1::text[], $2::uuid[], $3::uuid[]) as given (workspace_id, etag, id)
        join memories using (workspace_id, etag, id)";
    let rows = sqlx::query(sql).bind(workspaces).bind(etags).bind(ids).fetch_all(&mut *connection).await?;
    let (mut workspaces, mut etags, mut ids, mut words) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for row in &rows {
        let (workspace, content): (String, &str) = (row.try_get(0)?, row.try_get(3)?);
        words.push(words_of(&workspace, content).await.map_err(std::io::Error::from)?);
        workspaces.push(workspace);
        etags.push(row.try_get::<Uuid, _>(1)?);
        ids.push(row.try_get::<Uuid, _>(2)?);
    }
    let sql = "
        with free as (
            select workspace_id, id, etag, given.words
            from unnest($1::text[], $2::uuid[], $3::uuid[], $4::text[]) as given (workspace_id, etag, id, words)
            join memories using (workspace_id, etag, id)
            for no key update of memories skip locked
        )
        update memories set words = free.words::tsvector, words_etag = free.etag
        from free where memories.workspace_id = free.workspace_id and memories.id = free.id";
    let update = sqlx::query(sql).bind(workspaces).bind(etags).bind(ids).bind(words);
    Ok(update.execute(connection).await?.rows_affected())
}
