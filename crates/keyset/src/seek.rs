//! The seek: the conditions for a row to come after an anchor.
//!
//! Consecutive keys that are never null and sort in the same direction form a run. A run is compared as one row value,
//! which Postgres answers with one range of an index. Each key that may be null stands alone. Every branch fixes the
//! runs before its own to the anchor's values, so each branch is one range of the index too. Branches are disjoint and
//! in list order, nearest to the anchor first. One condition with OR would read the whole index.

use crate::listing::{Key, Nulls, Sort};

/// A key of the order, sorted in the direction of the page, and the SQL of the anchor's value; `None` for a null.
pub(crate) struct Anchor {
    pub(crate) key: Key,
    pub(crate) value: Option<String>,
}

/// The branches of a seek, as SQL conditions. With `inclusive`, they include the anchor's own row. There are none if no
/// row can come after the anchor.
pub(crate) fn branches(anchors: &[Anchor], inclusive: bool) -> Vec<String> {
    let runs: Vec<&[Anchor]> =
        anchors.chunk_by(|a, b| is_run(&a.key) && is_run(&b.key) && a.key.sort == b.key.sort).collect();
    let mut branches = Vec::new();
    for (depth, run) in runs.iter().enumerate().rev() {
        let inclusive = inclusive && depth + 1 == runs.len();
        let fixed = runs.iter().take(depth).flat_map(|run| run.iter()).map(equals);
        let fixed: String = fixed.map(|condition| condition + " and ").collect();
        branches.extend(after(run, inclusive).into_iter().map(|condition| format!("{fixed}{condition}")));
    }
    branches
}

fn is_run(key: &Key) -> bool {
    key.nulls == Nulls::Never
}

fn equals(Anchor { key: Key { expression, .. }, value }: &Anchor) -> String {
    match value {
        Some(value) => format!("({expression}) = {value}"),
        None => format!("({expression}) is null"),
    }
}

/// The conditions for a run to come after the anchor's, nearest first.
fn after(run: &[Anchor], inclusive: bool) -> Vec<String> {
    match run {
        [Anchor { key: Key { expression, nulls: Nulls::First, .. }, value: None }] if inclusive => {
            vec![format!("({expression}) is null"), format!("({expression}) is not null")]
        }
        [Anchor { key: Key { expression, nulls: Nulls::First, .. }, value: None }] => {
            vec![format!("({expression}) is not null")]
        }
        [Anchor { key: Key { expression, .. }, value: None }] if inclusive => vec![format!("({expression}) is null")],
        [Anchor { value: None, .. }] => vec![],
        [Anchor { key: Key { expression, nulls: Nulls::Last, .. }, .. }] => {
            vec![beyond(run, inclusive), format!("({expression}) is null")]
        }
        _ => vec![beyond(run, inclusive)],
    }
}

fn beyond(run: &[Anchor], inclusive: bool) -> String {
    let operator = match (run.first().map(|anchor| anchor.key.sort), inclusive) {
        (Some(Sort::Descending), false) => "<",
        (Some(Sort::Descending), true) => "<=",
        (Some(Sort::Ascending) | None, false) => ">",
        (Some(Sort::Ascending) | None, true) => ">=",
    };
    let expressions: Vec<_> = run.iter().map(|anchor| format!("({})", anchor.key.expression)).collect();
    let values: Vec<_> = run.iter().filter_map(|anchor| anchor.value.as_deref()).collect();
    match (expressions.as_slice(), values.as_slice()) {
        ([expression], [value]) => format!("{expression} {operator} {value}"),
        _ => format!("({}) {operator} ({})", expressions.join(", "), values.join(", ")),
    }
}
