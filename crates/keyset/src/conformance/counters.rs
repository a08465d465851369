//! Counters, compared with a full count.

use sqlx::Row;

use super::{Conformance, describe, fail};
use crate::shape::Purpose;

impl Conformance<'_> {
    /// Compares each counter with a full count, under each set of filters that the counter serves.
    pub(super) async fn check_counters(&self) {
        let listing = self.list.listing();
        let [order, ..] = listing.orders else { return };
        for filters in &self.filters() {
            let selection = self.selection(order, filters);
            let what = describe(order, filters, listing);
            let count = async |purpose| -> i64 {
                let statement = selection.count(purpose).statement();
                let rows = self.list.paging.connections.rows(statement).await.unwrap_or_else(fail);
                rows.first().map(|row| row.try_get(0).unwrap_or_else(fail)).unwrap_or_default()
            };
            let counters = listing.counters.iter().enumerate();
            for (place, counter) in counters.filter(|(_, counter)| selection.is_counted_by(counter)) {
                let (counted, all) = (Purpose::Counter(place), Purpose::Count { is_estimated: false });
                assert_eq!(count(counted).await, count(all).await, "{what}: the count in {}", counter.table);
            }
        }
    }
}
