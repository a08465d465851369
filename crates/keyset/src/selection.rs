use std::sync::Arc;

use pagination::{Direction, FieldViolation, Fingerprint, InvalidArgument, Position};

use crate::{
    Statement,
    array::Array,
    count,
    counter::Counter,
    listing::{Filter, Listing, Nulls, Order, Test},
    prefix::successor,
    select,
    shape::{Anchor, Draft, Purpose, Shape, ShapeKey, Shapes, Slot},
    target::{Target, oid},
    value::Value,
};

/// What a request selects: the values of the scope, the parameters and the filters, and the order.
#[derive(Debug, Clone)]
pub(crate) struct Selection {
    pub(crate) listing: &'static Listing,
    /// The position of the order in the listing.
    pub(crate) place: usize,
    pub(crate) order: &'static Order,
    pub(crate) types: Arc<Types>,
    pub(crate) shapes: Shapes,
    /// The names of the columns to read, if these are not all.
    pub(crate) columns: Option<Arc<[String]>>,
    /// One value for each column of the scope.
    pub(crate) scope: Vec<Value>,
    /// One value for each parameter.
    pub(crate) parameters: Vec<Value>,
    /// The value of each filter of the listing, or `None` if the request does not have it.
    pub(crate) filters: Vec<Option<Value>>,
}

/// The types that a listing's statements cast to, in its database.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Types {
    /// For each order, the type of each of its keys.
    pub(crate) keys: Vec<Vec<KeyType>>,
    /// For each column of the scope, each parameter and each filter, the type of its value.
    pub(crate) scope: Vec<Target>,
    pub(crate) parameters: Vec<Target>,
    pub(crate) filters: Vec<Target>,
    /// Stands for the types of the columns. It is a comment in the statements that return them, so that their text changes
    /// with the types: a pooler keeps a prepared statement by its text, also after the table has changed.
    pub(crate) tag: String,
}

/// The type of a key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct KeyType {
    /// Its name in a cast.
    pub(crate) name: String,
    /// The collation that sorts its values, if it is not the default one.
    pub(crate) collation: Option<String>,
}

/// How much of the list a page statement reads, starting at its position.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Extent {
    /// The most rows to return: one more than the page has, to see whether more exist.
    pub(crate) limit: u32,
    /// Rows to skip.
    pub(crate) skip: u32,
}

/// A statement's shape and its values.
#[derive(Debug, Clone)]
pub(crate) struct Bound {
    pub(crate) shape: Arc<Shape>,
    pub(crate) values: Vec<Value>,
}

impl Bound {
    pub(crate) fn statement(self) -> Statement {
        self.values.into_iter().fold(Statement::built(self.shape.sql.clone()), Statement::bind)
    }
}

impl Selection {
    /// A selection without filters, whose other values are null.
    pub(crate) fn of_nulls(listing: &'static Listing) -> Self {
        const NOTHING: Order = Order { name: "", keys: &[], indexed: &[] };
        let nulls = |count| vec![Value::default(); count];
        Self {
            listing,
            place: 0,
            order: listing.orders.first().unwrap_or(&NOTHING),
            types: Arc::default(),
            shapes: Shapes::default(),
            columns: None,
            scope: nulls(listing.scope.len()),
            parameters: nulls(listing.parameters.len()),
            filters: vec![None; listing.filters.len()],
        }
    }

    /// The filters that the request has, with their positions in the listing. An empty prefix is omitted, because every
    /// row has it.
    pub(crate) fn given(&self) -> impl Iterator<Item = (usize, &'static Filter, &Value)> {
        let filters = self.listing.filters.iter().zip(&self.filters).enumerate();
        let given = filters.filter_map(|(place, (filter, value))| Some((place, filter, value.as_ref()?)));
        given.filter(|(_, filter, value)| !matches!(filter.test, Test::Prefix(_)) || value.as_text() != Some(""))
    }

    /// The filters that the request does not have.
    pub(crate) fn not_given(&self) -> impl Iterator<Item = &'static str> {
        let filters = self.listing.filters.iter().zip(&self.filters);
        filters.filter(|(_, value)| value.is_none()).map(|(filter, _)| filter.name)
    }

    /// Whether an index of this order serves the filter, given the other filters of the request. Filters that `from`
    /// contains count as served, because rows are tested before they are ordered.
    pub(crate) fn is_indexed(&self, filter: &Filter) -> bool {
        let first = self.order.keys.first().map(|key| key.expression);
        if self.listing.places_conditions() {
            return true;
        }
        if filter.bounded_column().is_some() {
            return filter.bounded_column() == first;
        }
        self.index().contains(&filter.name)
    }

    /// The filters of the index that covers the most filters of the request.
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

    /// How many index lookups the sets of values need: one for each combination of their values.
    pub(crate) fn lookups(&self) -> usize {
        let sets = self.given().filter(|(_, filter, _)| filter.takes_set() && self.is_indexed(filter));
        sets.map(|(_, _, value)| value.bytes.as_deref().map_or(1, Array::length)).product()
    }

    /// How many rows a page examines when a filter has no index. Each lookup may examine this many, so the listing's
    /// limit is divided by the number of lookups.
    pub(crate) fn examined_rows(&self) -> u32 {
        let lookups = u32::try_from(self.lookups()).unwrap_or(u32::MAX);
        (self.listing.examined_rows / lookups).max(1)
    }

    /// The position of the first counter that has a column for every filter of the request.
    pub(crate) fn counter(&self) -> Option<usize> {
        self.listing.counters.iter().position(|counter| self.is_counted_by(counter))
    }

    pub(crate) fn is_counted_by(&self, counter: &Counter) -> bool {
        self.given().all(|(_, filter, _)| counter.filters.contains(&filter.name))
    }

    /// What decides which rows the list has, and in which order: the declaration of what the request uses, and the
    /// values. Columns, indexes, and filters and orders that the request does not use may change.
    pub(crate) fn fingerprint(&self) -> Fingerprint {
        let Listing { name, from, scope, parameters, .. } = self.listing;
        let mut parts = Fingerprint::of(name).part("from", from.as_bytes()).part("order", self.order.name.as_bytes());
        for (key, key_type) in self.order.keys.iter().zip(self.key_types()) {
            parts = parts.part("key", key.order_by(key.expression).as_bytes());
            parts = parts.part(nulls(key.nulls), key_type.name.as_bytes());
            parts = parts.part("collation", key_type.collation.as_deref().unwrap_or_default().as_bytes());
        }
        if let Some(condition) = self.listing.condition {
            parts = parts.part("condition", condition.as_bytes());
        }
        let scope = scope.iter().zip(&self.scope).map(|(column, value)| (*column, "scope", "", value));
        let parameters = parameters.iter().zip(&self.parameters).map(|(name, value)| (*name, "parameter", "", value));
        let filters = self.given().map(|(_, Filter { name, test }, value)| {
            let (kind, expression) = test.parts();
            (*name, kind, expression, value)
        });
        for (name, kind, expression, value) in scope.chain(parameters).chain(filters) {
            parts = parts.part(name, kind.as_bytes()).part("test", expression.as_bytes());
            parts = match &value.bytes {
                Some(bytes) => parts.part("value", bytes),
                None => parts.part("null", b""),
            };
        }
        parts.finish()
    }

    /// The type of each key.
    pub(crate) fn key_types(&self) -> &[KeyType] {
        self.types.keys.get(self.place).map(Vec::as_slice).unwrap_or_default()
    }

    /// Adds a parameter and returns it as SQL: cast to the type of the column that it is compared with.
    pub(crate) fn bind(&self, draft: &mut Draft, slot: Slot) -> String {
        let placeholder = draft.bind(slot);
        match self.target(slot) {
            Some(target) => target.cast(&placeholder, self.value(slot, &[], Extent::default()).is_text),
            None => format!("({placeholder})"),
        }
    }

    /// The name of the type that a value is bound as, before its cast.
    #[cfg(feature = "conformance")]
    pub(crate) fn transport(&self, slot: Slot, value: &Value) -> String {
        let name = |target: &Target| {
            let name = if value.is_text { "text" } else { &target.name };
            format!("{name}{}", target.brackets())
        };
        match slot {
            Slot::Key(place) => self.key_types().get(place).map(|key| key.name.clone()).unwrap_or_default(),
            Slot::Limit | Slot::Skip | Slot::Reach | Slot::Examined => "int8".to_owned(),
            Slot::Scope(_) | Slot::Parameter(_) | Slot::Filter(_) | Slot::PrefixEnd(_) => {
                self.target(slot).map(name).unwrap_or_default()
            }
        }
    }

    pub(crate) fn target(&self, slot: Slot) -> Option<&Target> {
        match slot {
            Slot::Scope(place) => self.types.scope.get(place),
            Slot::Parameter(place) => self.types.parameters.get(place),
            Slot::Filter(place) | Slot::PrefixEnd(place) => self.types.filters.get(place),
            Slot::Key(_) | Slot::Limit | Slot::Skip | Slot::Reach | Slot::Examined => None,
        }
    }

    /// The error for a text that is no value of the type that Postgres reads it as. `None` if no filter is read from text
    /// in a type that refuses some texts.
    pub(crate) fn refused_text(&self) -> Option<InvalidArgument> {
        let is_read = |place: usize, value: &Value| {
            value.is_text && self.types.filters.get(place).is_some_and(|target| target.oid != oid::TEXT)
        };
        let read = self.given().filter(|(place, _, value)| is_read(*place, value));
        let violation = |(place, filter, _): (usize, &'static Filter, &Value)| {
            let name = self.types.filters.get(place).map(|target| target.name.as_str()).unwrap_or_default();
            FieldViolation::new(filter.name, format!("must be a value of the type {name}"))
        };
        let violations: Vec<_> = read.map(violation).collect();
        (!violations.is_empty()).then_some(InvalidArgument::Fields(violations))
    }

    /// The parameters that Postgres reads from text.
    fn texts(&self) -> Vec<Slot> {
        let scope = self.scope.iter().enumerate().map(|(place, value)| (Slot::Scope(place), value));
        let parameters = self.parameters.iter().enumerate().map(|(place, value)| (Slot::Parameter(place), value));
        let filters = self.given().map(|(place, _, value)| (Slot::Filter(place), value));
        scope.chain(parameters).chain(filters).filter(|(_, value)| value.is_text).map(|(slot, _)| slot).collect()
    }

    /// The statement that fetches the rows of a page, nearest to its position first.
    pub(crate) fn page(&self, direction: Direction, position: &Position, extent: Extent) -> Bound {
        let anchor = |keys: &[Option<Vec<u8>>], is_inclusive| {
            Some(Anchor { is_inclusive, nulls: keys.iter().map(Option::is_none).collect() })
        };
        let (keys, anchor) = match position {
            Position::Start => (&[][..], None),
            Position::After(keys) => (keys.as_slice(), anchor(keys, false)),
            Position::At(keys) => (keys.as_slice(), anchor(keys, true)),
        };
        self.bound(Purpose::Page { direction, anchor, skips: extent.skip > 0 }, keys, extent)
    }

    /// The count statement for this purpose.
    pub(crate) fn count(&self, purpose: Purpose) -> Bound {
        self.bound(purpose, &[], Extent::default())
    }

    fn bound(&self, purpose: Purpose, keys: &[Option<Vec<u8>>], extent: Extent) -> Bound {
        let filters = self.given().map(|(place, _, _)| place).collect();
        let ends =
            self.given().filter(|(_, filter, value)| has_end(filter, value)).map(|(place, _, _)| place).collect();
        let key =
            ShapeKey { purpose, order: self.place, filters, ends, texts: self.texts(), columns: self.columns.clone() };
        let shape = self.shapes.get(key, |ShapeKey { purpose, .. }| match purpose {
            Purpose::Page { direction, anchor, skips } => select::page(self, *direction, anchor.as_ref(), *skips),
            Purpose::Capped => count::capped(self),
            Purpose::Count { is_estimated } => count::exact(self, *is_estimated),
            Purpose::Counter(place) => count::of_counter(self, *place),
        });
        self.fill(shape, keys, extent)
    }

    /// The statement of this shape, with the values of its parameters.
    pub(crate) fn fill(&self, shape: Arc<Shape>, keys: &[Option<Vec<u8>>], extent: Extent) -> Bound {
        let values = shape.slots.iter().map(|slot| self.value(*slot, keys, extent)).collect();
        Bound { shape, values }
    }

    /// The value of a parameter; null if the selection does not have it.
    fn value(&self, slot: Slot, keys: &[Option<Vec<u8>>], extent: Extent) -> Value {
        let value = match slot {
            Slot::Scope(place) => self.scope.get(place).cloned(),
            Slot::Parameter(place) => self.parameters.get(place).cloned(),
            Slot::Filter(place) => self.filters.get(place).cloned().flatten(),
            Slot::PrefixEnd(place) => self.filters.get(place).and_then(|value| successor(value.as_ref()?)),
            Slot::Key(place) => keys.get(place).cloned().map(Value::key),
            Slot::Limit => Some(rows(extent.limit)),
            Slot::Skip => Some(rows(extent.skip)),
            Slot::Reach => Some(rows(extent.skip + extent.limit)),
            Slot::Examined => Some(rows(self.examined_rows())),
        };
        value.unwrap_or_default()
    }
}

fn nulls(nulls: Nulls) -> &'static str {
    match nulls {
        Nulls::Never => "never null",
        Nulls::First => "nulls first",
        Nulls::Last => "nulls last",
    }
}

/// Whether some text sorts after all texts with the filter's prefix.
fn has_end(filter: &Filter, value: &Value) -> bool {
    matches!(filter.test, Test::Prefix(_)) && successor(value).is_some()
}

/// A number of rows, as LIMIT takes it: a bigint in network byte order.
fn rows(count: u32) -> Value {
    Value::key(Some(i64::from(count).to_be_bytes().to_vec()))
}
