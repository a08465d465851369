use std::sync::Arc;

use pagination::{Direction, Fingerprint, Position};

use crate::{
    Statement, count,
    counter::Counter,
    listing::{Filter, Listing, Order, Test},
    prefix::successor,
    select,
    shape::{Anchor, Purpose, Shape, ShapeKey, Shapes, Slot},
    value::Value,
};

/// What a request selects: the values of the scope, the parameters and the filters, and the order.
#[derive(Debug, Clone)]
pub(crate) struct Selection<'a> {
    pub(crate) listing: &'static Listing,
    /// The position of the order in the listing.
    pub(crate) place: usize,
    pub(crate) order: &'static Order,
    pub(crate) types: &'a Types,
    pub(crate) shapes: Shapes,
    /// One value for each column of the scope.
    pub(crate) scope: Vec<Value>,
    /// One value for each parameter.
    pub(crate) parameters: Vec<Value>,
    /// The value of each filter of the listing, or `None` if the request does not have it.
    pub(crate) filters: Vec<Option<Value>>,
}

/// The names of the types that a listing's statements cast to, in its database.
#[derive(Debug, Clone, Default)]
pub(crate) struct Types {
    /// For each order, the type of each of its keys.
    pub(crate) keys: Vec<Vec<String>>,
    /// For each filter, the type that the values of its column are compared as.
    pub(crate) sets: Vec<SetType>,
}

/// The type and collation that the values of a column are compared with.
#[derive(Debug, Clone, Default)]
pub(crate) struct SetType {
    pub(crate) name: String,
    pub(crate) collation: Option<String>,
}

impl SetType {
    /// The elements of an array of such values, with the column's collation, so that DISTINCT compares them as the
    /// column does.
    pub(crate) fn element(&self, values: &str) -> String {
        let collate = self.collation.as_ref().map(|collation| format!(" collate {collation}")).unwrap_or_default();
        format!("unnest({values}::{}[]){collate}", self.name)
    }
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

impl Selection<'static> {
    /// A selection without filters, whose other values are null.
    pub(crate) fn of_nulls(listing: &'static Listing) -> Self {
        const NOTHING: Order = Order { name: "", keys: &[], indexed: &[] };
        const NO_TYPES: &Types = &Types { keys: Vec::new(), sets: Vec::new() };
        let nulls = |count| vec![Value::key(None); count];
        Self {
            listing,
            place: 0,
            order: listing.orders.first().unwrap_or(&NOTHING),
            types: NO_TYPES,
            shapes: Shapes::default(),
            scope: nulls(listing.scope.len()),
            parameters: nulls(listing.parameters.len()),
            filters: vec![None; listing.filters.len()],
        }
    }
}

impl Selection<'_> {
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
        sets.map(|(_, _, value)| value.array_length().max(1)).product()
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

    /// The query that a page token is bound to.
    pub(crate) fn fingerprint(&self) -> Fingerprint {
        let mut parts = Fingerprint::of(self.listing.name).part("order", self.order.name.as_bytes());
        for key_type in self.key_types() {
            parts = parts.part("key type", key_type.as_bytes());
        }
        let scope = self.listing.scope.iter().zip(&self.scope);
        let parameters = self.listing.parameters.iter().zip(&self.parameters);
        let filters = self.listing.filters.iter().map(|filter| &filter.name).zip(&self.filters);
        let filters = filters.filter_map(|(name, value)| Some((name, value.as_ref()?)));
        for (name, value) in scope.chain(parameters).chain(filters) {
            parts = match &value.bytes {
                Some(bytes) => parts.part(name, bytes),
                None => parts.part("null", name.as_bytes()),
            };
        }
        parts.finish()
    }

    /// The type name of each key, for casts.
    pub(crate) fn key_types(&self) -> &[String] {
        self.types.keys.get(self.place).map(Vec::as_slice).unwrap_or_default()
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
        let key = ShapeKey { purpose, order: self.place, filters, ends };
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
        value.unwrap_or_else(|| Value::key(None))
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
