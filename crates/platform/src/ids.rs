use std::{
    fmt,
    sync::{Arc, Mutex},
    time::UNIX_EPOCH,
};

use crate::Clock;
use uuid::{ContextV7, Timestamp, Uuid};

/// A source of ids: UUIDs of version 7 ([RFC 9562](https://www.rfc-editor.org/rfc/rfc9562#section-5.7)), or ids that a
/// test chooses.
#[derive(Clone)]
pub struct Ids(Arc<dyn Fn() -> Uuid + Send + Sync>);

impl Ids {
    /// UUIDs of version 7 by this clock. Ids of one process are in the order of their creation.
    pub fn by_time(clock: Clock) -> Self {
        let context = Mutex::new(ContextV7::new());
        Self::new(move || {
            let since = clock.now().duration_since(UNIX_EPOCH).unwrap_or_default();
            Uuid::new_v7(Timestamp::from_unix(&context, since.as_secs(), since.subsec_nanos()))
        })
    }

    /// Ids that `next` returns.
    pub fn new(next: impl Fn() -> Uuid + Send + Sync + 'static) -> Self {
        Self(Arc::new(next))
    }

    /// A new id.
    pub fn next(&self) -> Uuid {
        (self.0)()
    }
}

impl fmt::Debug for Ids {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Ids")
    }
}
