//! FROM and WHERE of a selection.

use crate::{
    listing::{Filter, Test, WHERE},
    prefix::successor,
    selection::Selection,
    shape::{Draft, Slot},
    value::Value,
};

/// What a statement reads rows for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    /// For all rows, in any order.
    All,
    /// For the first rows in the order of an index.
    Page,
    /// For the number of rows, from this table of counts.
    Counter(&'static str),
}

/// FROM and WHERE.
#[derive(Debug)]
pub(crate) struct Source {
    /// The text after FROM.
    pub(crate) from: String,
    /// The conditions that every row must meet, except `hit`.
    pub(crate) conditions: Vec<String>,
    /// For a page: the condition of the filters that are tested row by row.
    pub(crate) hit: Option<String>,
    /// For a page: the rows that the indexes of search filters find, if the request has such filters.
    pub(crate) found: Option<Found>,
    /// For a page: for each filter that is a set of values, a subquery with the values to look up.
    pub(crate) lookups: Vec<String>,
    /// For a page: inclusive lower bounds of the first key.
    pub(crate) lower: Vec<Slot>,
    /// For a page: exclusive upper bounds of the first key.
    pub(crate) upper: Vec<Slot>,
}

/// Rows that match the search filters, found by the indexes of these filters.
#[derive(Debug)]
pub(crate) struct Found {
    /// The condition of the scope and the search filters.
    pub(crate) condition: String,
    /// The text after FROM that reads the found rows, under the name of the table.
    pub(crate) from: String,
}

impl Found {
    fn new(from: &str, conditions: &[String]) -> Self {
        // The table's name, without its schema.
        let quoted = from.strip_suffix('"').and_then(|from| from.rfind('"'));
        let name = quoted.or_else(|| from.rfind('.').map(|point| point + 1)).and_then(|begin| from.get(begin..));
        Self { condition: conditions.join(" and "), from: format!("keyset_found as {}", name.unwrap_or(from)) }
    }
}

impl Source {
    /// Binds the scope, the parameters and the filters.
    pub(crate) fn new(selection: &Selection, draft: &mut Draft, reading: Reading) -> Self {
        let listing = selection.listing;
        let from = match reading {
            Reading::All | Reading::Page => listing.from,
            Reading::Counter(table) => table,
        };
        let scope = listing.conditioned_scope().iter().enumerate();
        let scope = scope.map(|(place, column)| format!("({column}) = {}", selection.bind(draft, Slot::Scope(place))));
        // A counter counts the rows of the list, so it needs no condition.
        let condition = listing.condition.filter(|_| !matches!(reading, Reading::Counter(_)));
        let every_row: Vec<String> = scope.chain(condition.map(|condition| format!("({condition})"))).collect();
        let mut source = Self {
            from: from.to_owned(),
            conditions: every_row.clone(),
            hit: None,
            found: None,
            lookups: Vec::new(),
            lower: Vec::new(),
            upper: Vec::new(),
        };
        let mut hits = Vec::new();
        let mut found = Vec::new();
        for (place, filter, value) in selection.given() {
            match (selection.is_indexed(filter), reading) {
                (true, Reading::Page) if !listing.places_conditions() => {
                    source.add_range(selection, draft, place, filter, value);
                }
                (true, _) | (false, Reading::All | Reading::Counter(_)) => {
                    source.conditions.extend(test(selection, draft, place, filter, value));
                }
                (false, Reading::Page) => {
                    let conditions = test(selection, draft, place, filter, value);
                    if let Test::Search(_) = filter.test {
                        found.extend(conditions.clone());
                    }
                    hits.extend(conditions);
                }
            }
        }
        if !found.is_empty() {
            let conditions: Vec<_> = every_row.into_iter().chain(found).collect();
            source.found = Some(Found::new(listing.from, &conditions));
        }
        source.hit = (!hits.is_empty()).then(|| format!("({}) is true", hits.join(" and ")));
        source.fill_from(selection, draft);
        source
    }

    /// All conditions, joined by AND.
    pub(crate) fn condition(&self) -> String {
        or_true(&self.conditions.iter().cloned().chain(self.hit.clone()).collect::<Vec<_>>())
    }

    /// Makes a filter part of the index range that a page reads.
    fn add_range(&mut self, selection: &Selection, draft: &mut Draft, place: usize, filter: &Filter, value: &Value) {
        match filter.test {
            Test::AnyOf(column) => {
                let alias = format!("keyset_lookup_{}", self.lookups.len() + 1);
                let values = selection.bind(draft, Slot::Filter(place));
                // DISTINCT compares the values as the column does.
                let collation = selection.types.filters.get(place).and_then(|target| target.collation.as_ref());
                let collate = collation.map(|collation| format!(" collate {collation}")).unwrap_or_default();
                self.lookups.push(format!("(select distinct unnest{values}{collate} as value) as {alias}"));
                self.conditions.push(format!("({column}) = {alias}.value"));
            }
            Test::Prefix(_) => {
                self.lower.push(Slot::Filter(place));
                self.upper.extend(successor(value).map(|_: Value| Slot::PrefixEnd(place)));
            }
            Test::AtLeast(_) => self.lower.push(Slot::Filter(place)),
            Test::LessThan(_) => self.upper.push(Slot::Filter(place)),
            Test::Equal(_) | Test::Condition(_) | Test::Search(_) => {
                self.conditions.extend(test(selection, draft, place, filter, value))
            }
        }
    }

    /// Replaces the markers of parameters and conditions in `from`.
    fn fill_from(&mut self, selection: &Selection, draft: &mut Draft) {
        for (place, name) in selection.listing.parameters.iter().enumerate() {
            let marker = format!("{{{name}}}");
            if self.from.contains(&marker) {
                self.from = self.from.replace(&marker, &selection.bind(draft, Slot::Parameter(place)));
            }
        }
        if selection.listing.places_conditions() {
            self.from = self.from.replace(WHERE, &or_true(&self.conditions));
            self.conditions.clear();
        }
    }
}

/// The conditions of a filter.
fn test(selection: &Selection, draft: &mut Draft, place: usize, filter: &Filter, value: &Value) -> Vec<String> {
    let bound = selection.bind(draft, Slot::Filter(place));
    match filter.test {
        Test::Equal(column) => vec![format!("({column}) = {bound}")],
        Test::AnyOf(column) => vec![format!("({column}) = any{bound}")],
        Test::AtLeast(column) => vec![format!("({column}) >= {bound}")],
        Test::LessThan(column) => vec![format!("({column}) < {bound}")],
        Test::Condition(condition) | Test::Search(condition) => {
            vec![format!("({})", condition.replace(&filter.marker(), &bound))]
        }
        Test::Prefix(column) => {
            let end = successor(value)
                .map(|_: Value| format!("({column}) < {}", selection.bind(draft, Slot::PrefixEnd(place))));
            std::iter::once(format!("({column}) >= {bound}")).chain(end).collect()
        }
    }
}

/// The conditions joined by AND; `true` if there are none.
pub(crate) fn or_true(conditions: &[String]) -> String {
    if conditions.is_empty() { "true".to_owned() } else { conditions.join(" and ") }
}
