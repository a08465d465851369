//! Checks the work of a page, as EXPLAIN ANALYZE reports it.

use pagination::{Direction, Position};
use sqlx::{AssertSqlSafe, Row, raw_sql};

use super::{Conformance, describe, fail, walk::KeyRow};
use crate::{
    listing::{Listing, Order},
    plan::{self, Node},
    selection::{Bound, Extent, Selection},
};

/// The extent of the pages that are checked.
const EXTENT: Extent = Extent { limit: 11, skip: 0 };

impl Conformance<'_> {
    /// Checks the pages of every order with at most `most_filters` filters.
    pub(super) async fn check_work(&self, is_analyzed: bool, most_filters: usize) {
        let when = if is_analyzed { "after ANALYZE" } else { "before ANALYZE" };
        for order in self.list.listing().orders {
            for filters in self.filters().iter().filter(|filters| filters.iter().flatten().count() <= most_filters) {
                let expected = self.expected(order, filters).await;
                let selection = self.selection(order, filters);
                for (direction, position) in positions(&expected) {
                    for mode in ["force_custom_plan", "force_generic_plan"] {
                        let explained =
                            self.explain(&selection, selection.page(direction, &position, EXTENT), mode).await;
                        let what = describe(order, filters, self.list.listing());
                        let what = format!("{what}, {direction:?}, {when}, {mode}");
                        check_plan(&selection, &explained, is_analyzed && mode == "force_generic_plan", &what);
                        // Before ANALYZE two indexes can look alike to Postgres, which then takes either.
                        if is_analyzed {
                            check_conditions(&selection, &position, &explained, &what);
                        }
                    }
                }
            }
        }
    }

    /// The plan of a statement in a plan cache mode. The statement is prepared and executed in SQL, with its values as
    /// literals.
    async fn explain(&self, selection: &Selection, statement: Bound, mode: &str) -> serde_json::Value {
        let literals = self.literals(selection, &statement).await;
        let arguments = if literals.is_empty() { String::new() } else { format!("({})", literals.join(", ")) };
        // Explained twice: the first run on a connection also reads the system catalogue, which would count as the
        // scan's reads.
        let explain =
            format!("explain (analyze, buffers, timing off, format json) execute keyset_conformance{arguments}");
        let explain = format!(
            "begin; set local plan_cache_mode = {mode}; prepare keyset_conformance as {}; \
             {explain}; {explain}; \
             deallocate keyset_conformance; commit",
            statement.shape.sql
        );
        let mut connection = self.list.paging.connections.connection().await.unwrap_or_else(fail);
        let rows = raw_sql(AssertSqlSafe(explain)).fetch_all(&mut **connection).await.unwrap_or_else(fail);
        rows.last().map(|row| row.try_get(0).unwrap_or_else(fail)).unwrap_or_default()
    }

    /// The values of a statement as SQL literals.
    async fn literals(&self, selection: &Selection, statement: &Bound) -> Vec<String> {
        let mut literals = Vec::new();
        for (slot, value) in statement.shape.slots.iter().zip(&statement.values) {
            literals.push(self.text(&selection.transport(*slot, value), value).await);
        }
        literals
    }
}

/// The beginning, the middle and the end of the list, in both directions.
fn positions(rows: &[KeyRow]) -> Vec<(Direction, Position)> {
    let anchors = [rows.len() / 2, rows.len().saturating_sub(2)].map(|place| rows.get(place));
    let positions = anchors.into_iter().flatten().map(|KeyRow(keys)| Position::After(keys.clone()));
    let positions: Vec<_> = std::iter::once(Position::Start).chain(positions).collect();
    [Direction::Forward, Direction::Backward]
        .into_iter()
        .flat_map(|direction| positions.iter().map(move |position| (direction, position.clone())))
        .collect()
}

fn check_plan(selection: &Selection, explained: &serde_json::Value, is_search_planned: bool, what: &str) {
    let nodes = plan::nodes(explained);
    assert!(nodes.iter().any(Node::is_scan), "{what}: it reads no table: {explained:#}");
    let most = if selection.is_scanned() { selection.listing.examined_rows } else { EXTENT.limit };
    for scan in nodes.iter().filter(|node| node.is_scan()) {
        if scan.is_in_cte {
            // Postgres knows too little about a new table to choose the index, and a custom plan for a value that most rows
            // have needs none.
            if is_search_planned {
                check_search(scan, selection.listing, &format!("{what}: {explained:#}"));
            }
            continue;
        }
        assert!(!scan.is_sorted_whole, "{what}: a whole scan is sorted: {explained:#}");
        check_scan(scan, f64::from(most + 1), &format!("{what}: {explained:#}"));
    }
}

/// Every scan of a page seeks by the scope and by the keys of the order.
fn check_conditions(selection: &Selection, position: &Position, explained: &serde_json::Value, what: &str) {
    for scan in plan::nodes(explained).iter().filter(|node| node.is_scan() && !node.is_in_cte) {
        check_condition(scan, selection.listing, selection.order, position, what);
    }
}

/// The scan of search filters reads the rows that their index finds, and no others.
fn check_search(scan: &Node<'_>, listing: &Listing, what: &str) {
    assert_ne!(scan.text("Node Type"), "Seq Scan", "no index serves the search filter of {what}");
    for rows in ["Actual Rows", "Rows Removed by Filter", "Rows Removed by Index Recheck"] {
        assert!(scan.number(rows) <= f64::from(listing.examined_rows + 1), "{} {rows}, of {what}", scan.number(rows));
    }
}

fn check_scan(scan: &Node<'_>, most: f64, what: &str) {
    for rows in ["Actual Rows", "Rows Removed by Filter", "Rows Removed by Index Recheck"] {
        assert!(scan.number(rows) <= most, "a scan with {} {rows}, of {what}", scan.number(rows));
    }
    // Index entries that a scan skips within the index do not show as rows, only as pages read. A row takes at most one
    // page of the table and one of its visibility map. Descending the index and moving along it takes a few more.
    let pages = scan.number("Shared Hit Blocks") + scan.number("Shared Read Blocks");
    let (loops, rows) = (scan.number("Actual Loops"), scan.number("Actual Rows"));
    assert!(pages <= (2.0 * rows + 10.0) * loops, "a scan of {pages} pages for {rows} rows, of {what}");
}

fn check_condition(scan: &Node<'_>, listing: &Listing, order: &Order, position: &Position, what: &str) {
    let condition = plain(scan.text("Index Cond"));
    let seek = order.keys.iter().take(usize::from(*position != Position::Start)).map(|key| key.expression);
    for column in listing.scope.iter().copied().chain(seek) {
        assert!(condition.contains(&plain(column)), "{what}: {column} is not in the Index Cond {condition}");
    }
}

/// An expression without parentheses, spaces, quotes and upper case, which Postgres may write differently from the
/// author.
fn plain(expression: &str) -> String {
    expression.chars().filter(|char| !matches!(char, '(' | ')' | ' ' | '"')).collect::<String>().to_lowercase()
}
