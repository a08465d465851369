//! Counters, compared with a full count.

use super::{Conformance, describe, fail};

impl Conformance<'_> {
    /// Reads each counter under all that is asked for in turn and that it can tell.
    pub(super) async fn check_counters(&self) {
        let listing = self.list.listing();
        let [order, ..] = listing.orders else { return };
        for filters in &self.filters() {
            let selection = self.selection(order, filters);
            let what = describe(order, filters, listing);
            let count = async |counter| -> Vec<(i64,)> {
                let statement = selection.count(counter);
                self.list.paging.database.read(|| statement.query()).await.unwrap_or_else(fail)
            };
            for counter in listing.counters.iter().filter(|counter| selection.is_counted_by(counter)) {
                assert_eq!(count(Some(counter)).await, count(None).await, "{what}: what {} says", counter.table);
            }
        }
    }
}
