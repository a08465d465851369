//! Checks that an index serves each search filter.

use sqlx::{AssertSqlSafe, PgConnection, Row, raw_sql};

use super::{Check, Fault};
use crate::{
    listing::Test,
    plan,
    selection::Selection,
    shape::{Draft, Slot},
};

pub(super) async fn check(check: &mut Check<'_>, selection: &Selection) -> sqlx::Result<()> {
    for (place, filter) in selection.listing.filters.iter().enumerate() {
        let Test::Search(condition) = filter.test else { continue };
        let mut draft = Draft::default();
        let value = selection.bind(&mut draft, Slot::Filter(place));
        let bound = condition.replace(&filter.marker(), &value);
        check.begin().await?;
        let is_served = is_served(check.connection, selection.listing.from, &bound).await;
        if check.end(&format!("the filter {}", filter.name), is_served).await? == Some(false) {
            check.report(format!("the filter {}: no index serves the condition {condition}", filter.name));
        }
    }
    Ok(())
}

/// If Postgres may not read the whole table, it must put the filter's value into the condition of an index. The scope is
/// left out, because its own index would serve in an empty table.
async fn is_served(connection: &mut PgConnection, from: &str, condition: &str) -> Result<bool, Fault> {
    let explain = format!(
        "set local enable_bitmapscan = on; \
         prepare keyset_search as select from {from} where ({condition}); \
         explain (format json) execute keyset_search(null); \
         deallocate keyset_search; set local enable_bitmapscan = off"
    );
    let explained = raw_sql(AssertSqlSafe(explain)).fetch_one(connection).await?.try_get(0)?;
    let uses =
        |condition: &str| condition.split(|char: char| char != '$' && !char.is_ascii_digit()).any(|word| word == "$1");
    Ok(plan::nodes(&explained).iter().any(|node| uses(node.text("Index Cond"))))
}
