use std::sync::Arc;

use pagination::{Fingerprint, InvalidArgument, PageParameters, find_order, proto::PageRequest};
use sqlx::{Encode, Postgres, Type};

use crate::{
    Error, List, On,
    list::Opened,
    listing::Filter,
    selection::{Selection, Types},
    target::{Refusal, Target},
    value::{Given, Value},
};

/// The most values of one filter of several values, and the most combinations of values of several such filters.
pub const MAX_VALUES: usize = 32;

/// The query for one page: begun by [`List::page`], run by [`Query::fetch`].
///
/// Give every column of the scope, every parameter and every filter of the listing once. Give `None` for a filter that
/// the request does not have. A missing one fails every call, so the first test finds it. Each method binds its value
/// to both the statement and the page token.
///
/// In a filter that depends on the time, bind the choice and leave the time to Postgres, as in the condition
/// `"(expire_time > now()) = {active}"`. The token must not change with the clock.
#[derive(Debug)]
#[must_use = "a query does nothing until it is fetched"]
pub struct Query<'a> {
    pub(crate) list: &'a List,
    request: PageRequest,
    order: Result<usize, InvalidArgument>,
    pub(crate) scope: Vec<Given>,
    pub(crate) parameters: Vec<Option<Given>>,
    /// For each filter of the listing, whether it was given, and its value.
    pub(crate) filters: Vec<Option<Option<Given>>>,
    mask: Option<Mask>,
    pub(crate) on: On<'a>,
    error: Option<Error>,
}

/// The fields that a request asks for.
#[derive(Debug)]
struct Mask {
    /// The name of the mask's field in the request.
    field: String,
    paths: Vec<String>,
}

/// A checked query.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) parameters: PageParameters,
    pub(crate) selection: Selection,
    pub(crate) fingerprint: Fingerprint,
}

impl<'a> Query<'a> {
    pub(crate) fn new(list: &'a List, request: PageRequest, order_by: &str) -> Self {
        let listing = list.listing;
        Self {
            list,
            request,
            order: find_order(order_by, listing.orders.iter().map(|order| order.name)),
            scope: Vec::new(),
            parameters: vec![None; listing.parameters.len()],
            filters: vec![None; listing.filters.len()],
            mask: None,
            on: On::Pool(list.paging.connections.as_ref()),
            error: None,
        }
    }

    /// Gives the value of the next column of the scope.
    pub fn scope<'q, T: Encode<'q, Postgres> + Type<Postgres>>(mut self, value: T) -> Self {
        if let Some(value) = self.encode(value) {
            self.scope.push(value);
        }
        self
    }

    /// Gives the value of a parameter of the listing's `from`.
    pub fn parameter<'q, T: Encode<'q, Postgres> + Type<Postgres>>(mut self, name: &str, value: T) -> Self {
        let value = self.encode(value);
        let place = self.list.listing.parameters.iter().position(|parameter| *parameter == name);
        match place.and_then(|place| self.parameters.get_mut(place)) {
            Some(parameter) => *parameter = value,
            None => self.fail_listing(format!("it has no parameter {name}")),
        }
        self
    }

    /// Gives the value of a filter, or `None` if the request does not have the filter. A filter of several values takes
    /// an array, and an empty array means the same as `None`.
    ///
    /// The value is converted to the type of the filter's column. A number may have any type; one that the column's type
    /// cannot hold exactly is refused, unless the column is an integer and the number a larger integer, which no row has.
    /// A text is converted by Postgres to any type. For an enum type that the database defines, use a text, or a Rust
    /// enum that derives [`sqlx::Type`]. Any other pair of types fails every call, so the first test finds it.
    pub fn filter<'q, T: Encode<'q, Postgres> + Type<Postgres>>(mut self, name: &str, value: Option<T>) -> Self {
        let value = value.and_then(|value| self.encode(value));
        let place = self.list.listing.filters.iter().position(|filter| filter.name == name);
        match place.and_then(|place| self.filters.get_mut(place)) {
            Some(filter) => *filter = Some(value),
            None => self.fail_listing(format!("it has no filter {name}")),
        }
        self
    }

    /// Fetches only these fields of the message, as a read mask ([AIP-157](https://google.aip.dev/157)) asks for: top-level
    /// fields, or fields of nested messages as in `price.amount`. The statement does not read the columns of the others.
    /// No paths, or `*`, means all fields. `field` is the name of the mask in the request, for errors.
    pub fn read_mask<P: Into<String>>(mut self, field: &str, paths: impl IntoIterator<Item = P>) -> Self {
        let paths: Vec<String> = paths.into_iter().map(P::into).collect();
        let is_all = paths.is_empty() || paths.iter().any(|path| path == "*");
        self.mask = (!is_all).then(|| Mask { field: field.to_owned(), paths });
        self
    }

    /// Runs the page on this pool or connection instead of the pool of the list: for example on a replica, or in a
    /// transaction. After an error, a transaction can only be rolled back.
    pub fn on(self, connection: impl Into<On<'a>>) -> Self {
        Self { on: connection.into(), ..self }
    }

    fn encode<'q, T: Encode<'q, Postgres> + Type<Postgres>>(&mut self, value: T) -> Option<Given> {
        let value = Given::encode(value).map_err(|error| self.fail(Error::Database(sqlx::Error::Encode(error))));
        value.ok()
    }

    /// Keeps the first error. The fetch returns it.
    fn fail(&mut self, error: Error) {
        self.error.get_or_insert(error);
    }

    fn fail_listing(&mut self, mistake: String) {
        self.fail(self.list.mistake(mistake));
    }

    /// Checks everything that was given, before any of it reaches the database.
    pub(crate) fn check(&mut self, opened: &Opened) -> Result<Checked, Error> {
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        let listing = self.list.listing;
        let mistake = |mistake: String| self.list.mistake(mistake);
        let parameters = PageParameters::new(self.request.clone(), &listing.page)?;
        let place = self.order.clone()?;
        let order = listing.orders.get(place).ok_or_else(|| mistake("it has no orders".to_owned()))?;
        let types = &opened.types;
        let scope = self.list.convert_scope(types, &self.scope)?;
        let given = all(&self.parameters, listing.parameters.iter().copied())
            .map_err(|name| mistake(format!("the parameter {name} was not given")))?;
        let values = listing.parameters.iter().copied().zip(&types.parameters).zip(given);
        let values =
            values.map(|((name, target), given)| self.list.convert(name, target, given)).collect::<Result<_, _>>()?;
        let given = all(&self.filters, listing.filters.iter().map(|filter| filter.name))
            .map_err(|name| mistake(format!("the filter {name} was not given")))?;
        let filters = listing.filters.iter().zip(&types.filters).zip(given);
        let filters = filters.map(|((filter, target), given)| self.convert_filter(filter, target, given.as_ref()));
        let filters = filters.collect::<Result<_, _>>()?;
        let columns = self.mask.as_ref().map(|mask| self.masked(mask, opened)).transpose()?;
        let (types, shapes) = (Arc::clone(types), opened.shapes.clone());
        let selection = Selection { listing, place, order, types, shapes, columns, scope, parameters: values, filters };
        check_selection(&selection, &parameters)?;
        let fingerprint = selection.fingerprint().with_previous(self.previous_fingerprint(&selection));
        Ok(Checked { parameters, selection, fingerprint })
    }

    /// The fingerprint in tokens of version 2: the values as they were given, and less of the declaration.
    fn previous_fingerprint(&self, selection: &Selection) -> Fingerprint {
        let listing = self.list.listing;
        let mut parts = Fingerprint::of(listing.name).part("order", selection.order.name.as_bytes());
        for key_type in selection.key_types() {
            parts = parts.part("key type", key_type.name.as_bytes());
        }
        let scope = listing.scope.iter().copied().zip(&self.scope);
        let parameters = listing.parameters.iter().copied().zip(self.parameters.iter().flatten());
        let filters = listing.filters.iter().map(|filter| filter.name).zip(self.filters.iter().flatten());
        // An empty set is no filter.
        let is_given = |place: usize| selection.filters.get(place).is_some_and(Option::is_some);
        let filters = filters
            .enumerate()
            .filter(|(place, _)| is_given(*place))
            .filter_map(|(_, (name, value))| Some((name, value.as_ref()?)));
        for (name, value) in scope.chain(parameters).chain(filters) {
            parts = match &value.bytes {
                Some(bytes) => parts.part(name, bytes),
                None => parts.part("null", name.as_bytes()),
            };
        }
        parts.finish()
    }

    /// The columns of the fields in a mask.
    fn masked(&self, mask: &Mask, opened: &Opened) -> Result<Arc<[String]>, Error> {
        let layout = self.list.layout(opened)?;
        let unknown = mask.paths.iter().find(|path| !layout.has_field(path));
        if let Some(path) = unknown.filter(|path| !self.list.listing.unfilled.contains(&path.as_str())) {
            let message = self.list.listing.message;
            return Err(InvalidArgument::field(&mask.field, format!("{message} has no field {path}")).into());
        }
        Ok(layout.columns_of(&mask.paths).collect())
    }

    fn convert_filter(&self, filter: &Filter, target: &Target, given: Option<&Given>) -> Result<Option<Value>, Error> {
        let Some(given) = given else { return Ok(None) };
        if filter.takes_set() {
            let set = target.convert_set(given, MAX_VALUES);
            return set.map_err(|refusal| self.list.refused(filter.name, refusal));
        }
        self.list.convert(filter.name, target, given).map(Some)
    }
}

impl List {
    /// The values of the scope, one for each of its columns.
    pub(crate) fn convert_scope(&self, types: &Types, given: &[Given]) -> Result<Vec<Value>, Error> {
        let columns = self.listing.scope;
        if given.len() != columns.len() {
            return Err(self.mistake(format!("its scope is {columns:?}, and {} values were given", given.len())));
        }
        let scope = columns.iter().zip(&types.scope).zip(given);
        scope.map(|((name, target), given)| self.convert(name, target, given)).collect()
    }

    pub(crate) fn convert(&self, name: &str, target: &Target, given: &Given) -> Result<Value, Error> {
        target.convert(given).map_err(|refusal| self.refused(name, refusal))
    }

    fn refused(&self, name: &str, refusal: Refusal) -> Error {
        match refusal {
            Refusal::Type(mistake) => self.mistake(format!("the value of {name}: {mistake}")),
            Refusal::Value(description) => InvalidArgument::field(name, description).into(),
        }
    }
}

/// All values, or the name of the first one that is missing.
fn all<T>(values: &[Option<T>], names: impl Iterator<Item = &'static str>) -> Result<Vec<&T>, &'static str> {
    values.iter().zip(names).map(|(value, name)| value.as_ref().ok_or(name)).collect()
}

fn check_selection(selection: &Selection, parameters: &PageParameters) -> Result<(), InvalidArgument> {
    if selection.lookups() > MAX_VALUES {
        let filters = selection.listing.filters.iter();
        let sets: Vec<_> = filters.filter(|filter| filter.takes_set()).map(|filter| filter.name).collect();
        let description = format!("must have at most {MAX_VALUES} combinations of values");
        return Err(InvalidArgument::field(sets.join(" and "), description));
    }
    if parameters.skip > 0 && selection.is_scanned() {
        let scanned = selection.scanned().collect::<Vec<_>>().join(" and ");
        return Err(InvalidArgument::field(
            selection.listing.page.fields.skip,
            format!("must be 0 with {scanned}, which no index serves in this order; follow the page tokens"),
        ));
    }
    Ok(())
}
