//! The lists and statements of the service.

pub(crate) mod api_keys;
pub(crate) mod sessions;

pub use api_keys::API_KEYS;
use keyset::Statement;
use platform::{Audit, Error};
pub use sessions::SESSIONS;
use sqlx::{Row, postgres::PgRow};

use crate::Identity;

/// How many rows a statement revokes at most.
const PIECE: i64 = 20_000;

/// Begins a transaction whose statements are planned for the current size of the tables. Postgres would keep a plan that it
/// made while the tables were small until they are analyzed again, and it would be quadratic in the rows of a large tree.
const BEGIN: &str = "begin; set local plan_cache_mode = force_custom_plan";

/// Runs a statement that revokes at most [`PIECE`] rows and returns their number, until there is none left. Returns the sum.
/// The audit log gets each piece, because a later one may fail.
///
/// So no statement reaches its timeout, however many rows there are. The last one finds rows that were created while the
/// one before was running.
async fn in_pieces(service: &Identity, audit: &Audit, statement: Statement) -> Result<i64, Error> {
    let mut sum = 0;
    loop {
        let statement = statement.clone();
        let revoked = service.database.transaction(BEGIN, move |connection| Box::pin(statement.fetch_all(connection)));
        let revoked: Vec<PgRow> = revoked.await?;
        let Some(row) = revoked.first() else { return Ok(sum) };
        let count: i64 = row.try_get(0)?;
        if count == 0 {
            return Ok(sum);
        }
        sum += count;
        note_ended(audit, count);
    }
}

/// Adds to the number of sessions and keys that the call has ended.
fn note_ended(audit: &Audit, count: i64) {
    audit.note(|notes| *notes.target.ended_count.get_or_insert(0) += count);
}
