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
    pub(crate) fn query(&self) -> Query<'static, Postgres, PgArguments> {
        let query = sqlx::query(AssertSqlSafe(self.text.clone()));
        self.values.iter().cloned().fold(query, Query::bind)
    }
}

/// What a request selects: the values given for a listing, and the order chosen.
#[derive(Debug, Clone)]
pub(crate) struct Selection<'a> {
    pub(crate) listing: &'static Listing,
    pub(crate) order: &'static Order,
    /// The name of each key's type, for casts.
    pub(crate) key_types: &'a [String],
    /// What the values of each filter's column are compared as.
    pub(crate) set_types: &'a [SetType],
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
    /// For each filter, what the values of its column are compared as.
    pub(crate) sets: Vec<SetType>,
}

/// What the values of a column are compared as.
#[derive(Debug, Clone, Default)]
pub(crate) struct SetType {
    pub(crate) name: String,
    pub(crate) collation: Option<String>,
}

impl SetType {
    /// The elements of an array of such values, which are told apart as those of the column are.
    fn element(&self, values: &str) -> String {
        let collate = self.collation.as_ref().map(|collation| format!(" collate {collation}")).unwrap_or_default();
        format!("unnest({values}::{}[]){collate}", self.name)
    }
}

/// What a statement reads its rows for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// For all of them, in any way that Postgres likes.
    All,
    /// For the first of them in the order of an index.
    Page,
    /// For how many they are, from this table of counts.
    Counter(&'static str),
}

/// FROM and WHERE of a selection.
#[derive(Debug)]
pub(crate) struct Source {
    /// What stands behind FROM.
    pub(crate) from: String,
    /// Conditions that hold for all rows wanted.
    pub(crate) conditions: Vec<String>,
    /// The condition that no index serves.
    pub(crate) hit: Option<String>,
    /// For a page: one for each filter that is a set of values, to be looked up a value at a time.
    pub(crate) lookups: Vec<String>,
    /// For a page: what the first key is not less than.
    pub(crate) lower: Vec<String>,
    /// For a page: what the first key is less than.
    pub(crate) upper: Vec<String>,
}

impl Selection<'_> {
    /// The filters that the request has, as their places in the listing. Every row begins with the empty prefix.
    pub(crate) fn given(&self) -> impl Iterator<Item = (usize, &'static Filter, &Value)> {
        let filters = self.listing.filters.iter().zip(&self.filters).enumerate();
        let given = filters.filter_map(|(place, (filter, value))| Some((place, filter, value.as_ref()?)));
        given.filter(|(_, filter, value)| !matches!(filter.test, Test::Prefix(_)) || value.as_text() != Some(""))
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
    fn index(&self) -> &'static [&'static str] {
        let is_given = |name: &&str| self.given().any(|(_, filter, _)| filter.name == *name);
        let usable = self.order.indexed.iter().filter(|names| names.iter().all(is_given));
        usable.max_by_key(|names| names.len()).copied().unwrap_or_default()
    }

    /// The names of the filters that are tested row by row.
    pub(crate) fn scanned(&self) -> impl Iterator<Item = &'static str> {
        self.given().filter(|(_, filter, _)| !self.is_indexed(filter)).map(|(_, filter, _)| filter.name)
    }

    /// Whether the request has a filter that is tested row by row.
    pub(crate) fn is_scanned(&self) -> bool {
        self.scanned().next().is_some()
    }

    /// How many lookups sets of values ask for: one for each combination of them.
    pub(crate) fn lookups(&self) -> usize {
        let sets = self.given().filter(|(_, filter, _)| filter.takes_set() && self.is_indexed(filter));
        sets.map(|(_, _, value)| value.array_length().max(1)).product()
    }

    /// How many rows a page examines when a filter has no index. Each lookup may have to go through as many, so that all of
    /// them together keep to what the listing allows.
    pub(crate) fn examined_rows(&self) -> u32 {
        let lookups = u32::try_from(self.lookups()).unwrap_or(u32::MAX);
        (self.listing.examined_rows / lookups).max(1)
    }

    /// Binds the scope, the parameters and the filters.
    pub(crate) fn source(&self, statement: &mut Statement, purpose: Purpose) -> Source {
        let scope = self.listing.scope.iter().zip(&self.scope);
        let from = match purpose {
            Purpose::All | Purpose::Page => self.listing.from,
            Purpose::Counter(table) => table,
        };
        let mut source = Source {
            from: from.to_owned(),
            conditions: scope.map(|(column, value)| format!("{column} = {}", statement.bind(value.clone()))).collect(),
            hit: None,
            lookups: Vec::new(),
            lower: Vec::new(),
            upper: Vec::new(),
        };
        let mut hits = Vec::new();
        for (place, filter, value) in self.given() {
            match (self.is_indexed(filter), purpose) {
                (true, Purpose::Page) if !self.listing.places_conditions() => {
                    self.add_range(&mut source, statement, place, value);
                }
                (true, _) | (false, Purpose::Counter(_)) => source.conditions.extend(test(statement, filter, value)),
                (false, _) => hits.extend(test(statement, filter, value)),
            }
        }
        source.hit = (!hits.is_empty()).then(|| format!("({}) is true", hits.join(" and ")));
        self.fill_from(&mut source, statement);
        source
    }

    /// Makes a filter part of the range of an index that a page reads.
    fn add_range(&self, source: &mut Source, statement: &mut Statement, place: usize, value: &Value) {
        let Some(filter) = self.listing.filters.get(place) else { return };
        match filter.test {
            Test::AnyOf(column) => {
                let alias = format!("keyset_lookup_{}", source.lookups.len() + 1);
                let values = statement.bind(value.clone());
                let element = self.set_types.get(place).map(|set| set.element(&values)).unwrap_or_default();
                source.lookups.push(format!("(select distinct {element} as value) as {alias}"));
                source.conditions.push(format!("{column} = {alias}.value"));
            }
            Test::Prefix(_) => {
                source.lower.push(statement.bind(value.clone()));
                source.upper.extend(successor(value).map(|end| statement.bind(end)));
            }
            Test::AtLeast(_) => source.lower.push(statement.bind(value.clone())),
            Test::LessThan(_) => source.upper.push(statement.bind(value.clone())),
            Test::Equal(_) | Test::Condition(_) => source.conditions.extend(test(statement, filter, value)),
        }
    }

    /// Puts the values of parameters, and the conditions, where `from` has their names.
    fn fill_from(&self, source: &mut Source, statement: &mut Statement) {
        for (name, value) in self.listing.parameters.iter().zip(&self.parameters) {
            let marker = format!("{{{name}}}");
            if source.from.contains(&marker) {
                source.from = source.from.replace(&marker, &statement.bind(value.clone()));
            }
        }
        if self.listing.places_conditions() {
            source.from = source.from.replace(WHERE, &or_true(&source.conditions));
            source.conditions.clear();
        }
    }
}

/// The conditions of a filter: none when every row passes.
fn test(statement: &mut Statement, filter: &Filter, value: &Value) -> Vec<String> {
    let bound = statement.bind(value.clone());
    match filter.test {
        Test::Equal(column) => vec![format!("{column} = {bound}")],
        Test::AnyOf(column) => vec![format!("{column} = any({bound})")],
        Test::AtLeast(column) => vec![format!("{column} >= {bound}")],
        Test::LessThan(column) => vec![format!("{column} < {bound}")],
        Test::Condition(condition) => vec![format!("({})", condition.replace(&format!("{{{}}}", filter.name), &bound))],
        Test::Prefix(column) => {
            let upper = successor(value).map(|end| format!("{column} < {}", statement.bind(end)));
            std::iter::once(format!("{column} >= {bound}")).chain(upper).collect()
        }
    }
}

/// The conditions joined by AND.
pub(crate) fn or_true(conditions: &[String]) -> String {
    if conditions.is_empty() { "true".to_owned() } else { conditions.join(" and ") }
}
