//! Checks that an index serves each search filter.

use sqlx::{AssertSqlSafe, PgConnection, Row, raw_sql};

use super::Fault;
use crate::{
    listing::{Listing, Test},
    plan,
    selection::Selection,
    shape::{Draft, Slot},
};

/// If Postgres may not read the whole table, it must put the filter's value into the condition of an index. The scope is
/// left out, because its own index would serve in an empty table.
pub(super) async fn check(
    connection: &mut PgConnection,
    listing: &'static Listing,
    selection: &Selection,
) -> Result<(), Fault> {
    for (place, filter) in listing.filters.iter().enumerate() {
        let Test::Search(condition) = filter.test else { continue };
        let mut draft = Draft::default();
        let value = selection.bind(&mut draft, Slot::Filter(place));
        let bound = condition.replace(&format!("{{{}}}", filter.name), &value);
        let explain = format!(
            "set local enable_bitmapscan = on; \
             prepare keyset_search as select from {} where ({bound}); \
             explain (format json) execute keyset_search(null); \
             deallocate keyset_search; set local enable_bitmapscan = off",
            listing.from
        );
        let explained = raw_sql(AssertSqlSafe(explain)).fetch_one(&mut *connection).await?.try_get(0)?;
        let uses = |condition: &str| {
            condition.split(|char: char| char != '$' && !char.is_ascii_digit()).any(|word| word == "$1")
        };
        if !plan::nodes(&explained).iter().any(|node| uses(node.text("Index Cond"))) {
            return Err(format!("the filter {}: no index serves the condition {condition}", filter.name).into());
        }
    }
    Ok(())
}
