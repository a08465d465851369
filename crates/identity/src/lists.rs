//! The lists and statements of the service.

pub(crate) mod api_keys;
pub(crate) mod sessions;

pub use api_keys::API_KEYS;
use keyset::Statement;
use platform::Error;
pub use sessions::SESSIONS;

use crate::Identity;

/// How many rows a statement revokes at most.
const PIECE: i64 = 20_000;

/// Runs a statement that revokes at most [`PIECE`] rows and returns their number, until there is none left. Returns the sum.
///
/// So no statement reaches its timeout, however many rows there are. The last one finds rows that were created while the
/// one before was running.
async fn in_pieces(service: &Identity, statement: Statement) -> Result<i64, Error> {
    let mut sum = 0;
    loop {
        let revoked: Option<(i64,)> = service.database.write(statement.clone()).await?.pop();
        match revoked {
            Some((count,)) if count > 0 => sum += count,
            Some(_) | None => return Ok(sum),
        }
    }
}
