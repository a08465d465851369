//! The sweep of memories that an earlier release has written.

use futures_util::future::BoxFuture;
use platform::{Sweep, Swept};
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use crate::words::word_vector;

/// How many memories a page has at most.
const PAGE: i64 = 200;
/// How many bytes of content a page has at most, besides its first memory.
const PAGE_BYTES: i64 = 2 << 20;

/// Computes the words of memories that an earlier release has stored or updated.
#[derive(Debug)]
pub(crate) struct StaleWords;

impl Sweep for StaleWords {
    fn name(&self) -> &'static str {
        "stale_words"
    }

    fn page<'a>(&'a mut self, connection: &'a mut PgConnection) -> BoxFuture<'a, sqlx::Result<Swept>> {
        Box::pin(sweep(connection))
    }
}

async fn sweep(connection: &mut PgConnection) -> sqlx::Result<Swept> {
    let sql = "
        select workspace_id, id, etag, content from (
            select memories.*, row_number() over () as number,
                sum(octet_length(content)) over (rows unbounded preceding) as bytes
            from (
                select workspace_id, id, etag, content from memories where words_etag is distinct from etag
                order by workspace_id, words_etag limit $1
            ) as memories
        ) as page
        where bytes <= $2 or number = 1";
    let page = sqlx::query(sql).bind(PAGE).bind(PAGE_BYTES).fetch_all(&mut *connection).await?;
    let (mut workspaces, mut ids, mut etags, mut words) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for row in &page {
        let (workspace, content): (String, String) = (row.try_get(0)?, row.try_get(3)?);
        words.push(word_vector(&workspace, &content));
        workspaces.push(workspace);
        ids.push(row.try_get::<Uuid, _>(1)?);
        etags.push(row.try_get::<Uuid, _>(2)?);
        tokio::task::yield_now().await;
    }
    // A memory that was updated meanwhile has another etag, and is swept again if it needs to be.
    let sql = "
        update memories set words = given.words::tsvector, words_etag = given.etag
        from unnest($1::text[], $2::uuid[], $3::uuid[], $4::text[]) as given (workspace_id, id, etag, words)
        where memories.workspace_id = given.workspace_id and memories.id = given.id and memories.etag = given.etag";
    let update = sqlx::query(sql).bind(workspaces).bind(ids).bind(etags).bind(words);
    let rows = update.execute(connection).await?.rows_affected();
    Ok(Swept { rows, is_last: page.is_empty() })
}
