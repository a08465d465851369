//! The SQL of a query, with the values it binds. Text and values are written together, so that they cannot disagree.

use sqlx::{AssertSqlSafe, Postgres, postgres::PgArguments, query::Query};

use crate::{
    listing::{Filter, Listing, Order, Test, WHERE},
    prefix::successor,
    value::Value,
};

/// A statement being written.
#[derive(Debug, Default, Clone)]
pub(crate) struct Statement {
    pub(crate) text: String,
    pub(crate) values: Vec<Value>,
}

impl Statement {
    /// Binds a value and returns what stands for it.
    pub(crate) fn bind(&mut self, value: Value) -> String {
        self.values.push(value);
        format!("${}", self.values.len())
    }

    /// The statement, to be run: prepared once for its text on each connection.
    pub(crate) fn query(self) -> Query<'static, Postgres, PgArguments> {
        let query = sqlx::query(AssertSqlSafe(self.text));
        self.values.into_iter().fold(query, Query::bind)
    }
}

/// What a request selects: the values given for a listing, and the order chosen.
#[derive(Debug, Clone)]
pub(crate) struct Selection<'a> {
    pub(crate) listing: &'static Listing,
    pub(crate) order: &'static Order,
    /// The name of each key's type, for casts.
    pub(crate) key_types: &'a [String],
    /// The name of each filter's type: see [`Types`].
    pub(crate) filter_types: &'a [String],
    /// One value for each column of the scope.
    pub(crate) scope: Vec<Value>,
    /// One value for each parameter.
    pub(crate) parameters: Vec<Value>,
    /// For each filter of the listing its value, or nothing when the request does not have it.
    pub(crate) filters: Vec<Option<Value>>,
}

/// The names of the types that a listing's statements cast to, as its database has them.
#[derive(Debug, Clone)]
pub(crate) struct Types {
    /// For each order, the type of each of its keys.
    pub(crate) keys: Vec<Vec<String>>,
    /// For each filter that takes a set of values, the type of one; empty for the others.
    pub(crate) filters: Vec<String>,
}

/// Which bounds of a range are written. Behind an anchor, the bound on the anchor's side holds anyway, and writing it can
/// have Postgres begin at that bound and pass over every index entry up to the anchor: 18 does, 15 does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bounds {
    Both,
    LowerOnly,
    UpperOnly,
}

/// FROM and WHERE of a selection.
#[derive(Debug)]
pub(crate) struct Source {
    /// What stands behind FROM.
    pub(crate) from: String,
    /// One for each filter that is a set of values: the set, to be looked up a value at a time.
    pub(crate) lookups: Vec<String>,
    /// Conditions that an index serves.
    pub(crate) conditions: Vec<String>,
    /// The condition that no index serves.
    pub(crate) hit: Option<String>,
}

impl<'a> Selection<'a> {
    /// The filters that the request has, as their places in the listing.
    fn given(&self) -> impl Iterator<Item = (usize, &'static Filter, &Value)> {
        let filters = self.listing.filters.iter().zip(&self.filters).enumerate();
        filters.filter_map(|(place, (filter, value))| Some((place, filter, value.as_ref()?)))
    }

    /// Whether an index of this order serves the filter, given which other filters the request has. What `from` is to place
    /// within itself counts as served: rows are tested before they come to be ordered.
    fn is_indexed(&self, filter: &Filter) -> bool {
        let first = self.order.keys.first().map(|key| key.expression);
        if self.listing.places_conditions() {
            return true;
        }
        if filter.bounded_column().is_some() {
            return filter.bounded_column() == first;
        }
        self.index().contains(&filter.name)
    }

    /// The filters of the index that covers most of the request's.
    pub(crate) fn index(&self) -> &'static [&'static str] {
        let is_given = |name: &&str| self.given().any(|(_, filter, _)| filter.name == *name);
        let usable = self.order.indexed.iter().filter(|names| names.iter().all(is_given));
        usable.max_by_key(|names| names.len()).copied().unwrap_or_default()
    }

    /// Whether the request has a filter that is tested row by row.
    pub(crate) fn is_scanned(&self) -> bool {
        self.given().any(|(_, filter, _)| !self.is_indexed(filter))
    }

    /// Binds the scope, the parameters and the filters. `in_order` is for statements that read an index in its order:
    /// there a set of values becomes a lookup for each.
    pub(crate) fn source(&self, statement: &mut Statement, bounds: Bounds, in_order: bool) -> Source {
        let mut conditions: Vec<String> = self
            .listing
            .scope
            .iter()
            .zip(&self.scope)
            .map(|(column, value)| format!("{column} = {}", statement.bind(value.clone())))
            .collect();
        let mut lookups = Vec::new();
        let mut hits = Vec::new();
        for (place, filter, value) in self.given() {
            let indexed = self.is_indexed(filter);
            match filter.test {
                Test::AnyOf(column) if indexed && in_order && !self.listing.places_conditions() => {
                    let alias = format!("keyset_lookup_{}", lookups.len() + 1);
                    let element = self.filter_types.get(place).map(String::as_str).unwrap_or_default();
                    let values = statement.bind(value.clone());
                    lookups.push(format!("(select distinct unnest({values}::{element}[]) as keyset_value) as {alias}"));
                    conditions.push(format!("{column} = {alias}.keyset_value"));
                }
                Test::Equal(_)
                | Test::AnyOf(_)
                | Test::Prefix(_)
                | Test::AtLeast(_)
                | Test::LessThan(_)
                | Test::Condition(_) => {
                    let bounds = if indexed { bounds } else { Bounds::Both };
                    let condition = test(statement, filter, value, bounds);
                    if indexed { conditions.extend(condition) } else { hits.extend(condition) }
                }
            }
        }
        let hit = self.is_scanned().then(|| format!("({}) is true", or_true(&hits)));
        let mut from = self.listing.from.to_owned();
        for (name, value) in self.listing.parameters.iter().zip(&self.parameters) {
            let marker = format!("{{{name}}}");
            if from.contains(&marker) {
                from = from.replace(&marker, &statement.bind(value.clone()));
            }
        }
        if self.listing.places_conditions() {
            from = from.replace(WHERE, &or_true(&conditions));
            conditions.clear();
        }
        Source { from, lookups, conditions, hit }
    }
}

/// The conditions of a filter: none when every row passes.
fn test(statement: &mut Statement, filter: &Filter, value: &Value, bounds: Bounds) -> Vec<String> {
    let mut bind = |value: &Value| statement.bind(value.clone());
    match filter.test {
        Test::Equal(column) => vec![format!("{column} = {}", bind(value))],
        Test::AnyOf(column) => vec![format!("{column} = any({})", bind(value))],
        Test::AtLeast(_) if bounds == Bounds::UpperOnly => vec![],
        Test::AtLeast(column) => vec![format!("{column} >= {}", bind(value))],
        Test::LessThan(_) if bounds == Bounds::LowerOnly => vec![],
        Test::LessThan(column) => vec![format!("{column} < {}", bind(value))],
        Test::Condition(condition) => {
            let marker = format!("{{{}}}", filter.name);
            vec![format!("({})", condition.replace(&marker, &bind(value)))]
        }
        Test::Prefix(column) => {
            let lower = (bounds != Bounds::UpperOnly).then(|| format!("{column} >= {}", bind(value)));
            let end = successor(value).filter(|_| bounds != Bounds::LowerOnly);
            let upper = end.map(|end| format!("{column} < {}", bind(&end)));
            lower.into_iter().chain(upper).collect()
        }
    }
}

/// The conditions joined by AND.
pub(crate) fn or_true(conditions: &[String]) -> String {
    if conditions.is_empty() { "true".to_owned() } else { conditions.join(" and ") }
}
