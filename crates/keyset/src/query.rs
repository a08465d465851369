use pagination::{Fingerprint, InvalidArgument, PageParameters, PageRules, find_order, proto::PageRequest};
use sqlx::{Encode, Postgres, Type};

use crate::{Error, List, listing::Filter, selection::Selection, value::Value};

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
    pub(crate) scope: Vec<Value>,
    pub(crate) parameters: Vec<Option<Value>>,
    /// For each filter of the listing, whether it was given, and its value.
    pub(crate) filters: Vec<Option<Option<Value>>>,
    error: Option<Error>,
}

/// A checked query.
#[derive(Debug)]
pub(crate) struct Checked<'a> {
    pub(crate) parameters: PageParameters,
    pub(crate) selection: Selection<'a>,
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
            error: None,
        }
    }

    /// Gives the value of the next column of the scope.
    pub fn scope<'q, T: Encode<'q, Postgres> + Type<Postgres>>(mut self, value: T) -> Self {
        match Value::encode(value) {
            Ok(value) => self.scope.push(value),
            Err(error) => self.fail(Error::Database(sqlx::Error::Encode(error))),
        }
        self
    }

    /// Gives the value of a parameter of the listing's `from`.
    pub fn parameter<'q, T: Encode<'q, Postgres> + Type<Postgres>>(mut self, name: &str, value: T) -> Self {
        let place = self.list.listing.parameters.iter().position(|parameter| *parameter == name);
        match (place.and_then(|place| self.parameters.get_mut(place)), encode_field(name, value)) {
            (Some(parameter), Ok(value)) => *parameter = Some(value),
            (None, Ok(_)) => self.fail_listing(format!("it has no parameter {name}")),
            (_, Err(error)) => self.fail(error),
        }
        self
    }

    /// Gives the value of a filter, or `None` if the request does not have the filter. The value has the type of the
    /// filter's column. For an enum type that the database defines, use a Rust enum that derives [`sqlx::Type`] with
    /// that `type_name`. A filter of several values takes an array, and an empty array means the same as `None`.
    pub fn filter<'q, T: Encode<'q, Postgres> + Type<Postgres>>(mut self, name: &str, value: Option<T>) -> Self {
        let place = self.list.listing.filters.iter().position(|filter| filter.name == name);
        let value = value.map(|value| encode_field(name, value)).transpose();
        let takes_set = place.and_then(|place| self.list.listing.filters.get(place)).is_some_and(Filter::takes_set);
        let value = if takes_set { value.and_then(|value| set(name, value)) } else { value };
        match (place.and_then(|place| self.filters.get_mut(place)), value) {
            (Some(filter), Ok(value)) => *filter = Some(value),
            (None, Ok(_)) => self.fail_listing(format!("it has no filter {name}")),
            (_, Err(error)) => self.fail(error),
        }
        self
    }

    /// Keeps the first error. The fetch returns it.
    fn fail(&mut self, error: Error) {
        self.error.get_or_insert(error);
    }

    fn fail_listing(&mut self, mistake: String) {
        self.fail(Error::Listing { list: self.list.listing.name, mistake });
    }

    /// Checks everything that was given, before any of it reaches the database.
    pub(crate) fn check(self) -> Result<Checked<'a>, Error> {
        if let Some(error) = self.error {
            return Err(error);
        }
        let list = self.list.listing;
        let mistake = |mistake: String| Error::Listing { list: list.name, mistake };
        let parameters = PageParameters::new(self.request, &PageRules::DEFAULT)?;
        let place = self.order?;
        let order = list.orders.get(place).ok_or_else(|| mistake("it has no orders".to_owned()))?;
        if self.scope.len() != list.scope.len() {
            return Err(mistake(format!("its scope is {:?}, and {} values were given", list.scope, self.scope.len())));
        }
        let values = all(self.parameters, list.parameters.iter().copied())
            .map_err(|name| mistake(format!("the parameter {name} was not given")))?;
        let filters = all(self.filters, list.filters.iter().map(|filter| filter.name))
            .map_err(|name| mistake(format!("the filter {name} was not given")))?;
        let selection = Selection {
            listing: list,
            place,
            order,
            types: &self.list.types,
            shapes: self.list.shapes.clone(),
            scope: self.scope,
            parameters: values,
            filters,
        };
        if selection.lookups() > MAX_VALUES {
            let sets: Vec<_> =
                list.filters.iter().filter(|filter| filter.takes_set()).map(|filter| filter.name).collect();
            let description = format!("must have at most {MAX_VALUES} combinations of values");
            return Err(InvalidArgument::field(sets.join(" and "), description).into());
        }
        if parameters.skip > 0 && selection.is_scanned() {
            return Err(skip_refused(&selection).into());
        }
        let fingerprint = selection.fingerprint();
        Ok(Checked { parameters, selection, fingerprint })
    }
}

/// All values, or the name of the first one that is missing.
fn all<T>(values: Vec<Option<T>>, names: impl Iterator<Item = &'static str>) -> Result<Vec<T>, &'static str> {
    values.into_iter().zip(names).map(|(value, name)| value.ok_or(name)).collect()
}

fn skip_refused(selection: &Selection<'_>) -> InvalidArgument {
    let scanned = selection.scanned().collect::<Vec<_>>().join(" and ");
    InvalidArgument::field(
        "page.skip",
        format!("must be 0 with {scanned}, which no index serves in this order; follow the page tokens"),
    )
}

fn encode_field<'q, T: Encode<'q, Postgres> + Type<Postgres>>(name: &str, value: T) -> Result<Value, Error> {
    let value = Value::encode(value).map_err(sqlx::Error::Encode)?;
    if value.as_text().is_some_and(|text| text.contains('\0')) {
        return Err(InvalidArgument::field(name, "must not contain NUL").into());
    }
    Ok(value)
}

/// The value of a filter of several values; `None` if the array is empty.
fn set(name: &str, value: Option<Value>) -> Result<Option<Value>, Error> {
    let count = value.as_ref().map_or(0, Value::array_length);
    if count > MAX_VALUES {
        return Err(InvalidArgument::field(name, format!("must have at most {MAX_VALUES} values")).into());
    }
    Ok(value.filter(|_| count > 0))
}
