use pagination::InvalidArgument;
use prost::Message;
use sqlx::{Encode, Postgres, Row, Type, error::BoxDynError};

use crate::{
    Error, List, On, Statement,
    array::Array,
    listing::Filter,
    select::tagged,
    value::{Given, Value},
};

type EncodedValue = Result<Given, BoxDynError>;

/// A batch of rows by the values of a filter: begun by [`List::batch`], run by [`Batch::fetch`].
#[derive(Debug)]
#[must_use = "a batch does nothing until it is fetched"]
pub struct Batch<'a> {
    list: &'a List,
    filter: String,
    values: EncodedValue,
    scope: Vec<EncodedValue>,
    on: On<'a>,
}

impl List {
    /// Begins a batch of rows by the values of a filter, in the order of the values: for a method like BatchGetBooks
    /// ([AIP-231](https://google.aip.dev/231)). The filter must test equality with a column that is unique within the
    /// scope. `values` is an array of at most [`Listing::page`](crate::Listing::page)`.max_size` values.
    pub fn batch<'q, T: Encode<'q, Postgres> + Type<Postgres>>(&self, filter: &str, values: T) -> Batch<'_> {
        Batch {
            list: self,
            filter: filter.to_owned(),
            values: Given::encode(values),
            scope: Vec::new(),
            on: On::Pool(self.paging.connections.as_ref()),
        }
    }
}

impl<'a> Batch<'a> {
    /// Gives the value of the next column of the scope.
    pub fn scope<'q, T: Encode<'q, Postgres> + Type<Postgres>>(mut self, value: T) -> Self {
        self.scope.push(Given::encode(value));
        self
    }

    /// Runs the batch on this pool or connection instead of the pool of the list: see [`Query::on`](crate::Query::on).
    pub fn on(self, connection: impl Into<On<'a>>) -> Self {
        Self { on: connection.into(), ..self }
    }

    /// The row of each value, or `None` if it does not exist.
    ///
    /// # Errors
    ///
    /// As [`Query::fetch`](crate::Query::fetch).
    pub async fn fetch<M: Message + Default>(self) -> Result<Vec<Option<M>>, Error> {
        let list = self.list;
        let (statement, count, mut on) = self.statement()?;
        let rows = on.rows(statement).await?;
        let mut found: Vec<Option<M>> = std::iter::repeat_with(|| None).take(count).collect();
        for row in &rows {
            let place = usize::try_from(row.try_get::<i64, _>("keyset_place")? - 1).unwrap_or_default();
            if let Some(slot) = found.get_mut(place) {
                *slot = Some(list.message(row)?);
            }
        }
        Ok(found)
    }

    /// The statement, how many values it has, and what it runs on.
    fn statement(self) -> Result<(Statement, usize, On<'a>), Error> {
        let Self { list, filter, values, scope, on } = self;
        let (listing, opened) = (list.listing, list.opened());
        let place = listing.filters.iter().position(|declared| declared.name == filter);
        let column = place.and_then(|place| listing.filters.get(place)).and_then(Filter::equal_column);
        let target = place.and_then(|place| opened.types.filters.get(place));
        let (Some(column), Some(target), false) = (column, target, listing.places_conditions()) else {
            let needed = "needs a filter that tests equality, of a list without {where}";
            return Err(list.mistake(format!("a batch by {filter} {needed}")));
        };
        let scope = scope.into_iter().collect::<Result<Vec<_>, _>>().map_err(sqlx::Error::Encode)?;
        let scope = list.convert_scope(&opened.types, &scope)?;
        let target = target.array();
        let values = list.convert(&filter, &target, &values.map_err(sqlx::Error::Encode)?)?;
        let count = values.bytes.as_deref().map_or(0, Array::length);
        let most = listing.page.max_size;
        if count > most as usize {
            return Err(InvalidArgument::field(filter.as_str(), format!("must have at most {most} values")).into());
        }
        let wanted = target.cast("$1", values.is_text);
        let mut bound: Vec<Value> = vec![values];
        let of_every_row = listing.condition.iter();
        let mut conditions: String = of_every_row.map(|condition| format!("({condition}) and ")).collect();
        for ((name, target), value) in listing.conditioned_scope().iter().zip(&opened.types.scope).zip(scope) {
            let placeholder = target.cast(&format!("${}", bound.len() + 1), value.is_text);
            conditions += &format!("({name}) = {placeholder} and ");
            bound.push(value);
        }
        let (columns, from) = (listing.columns, listing.from);
        let sql = format!(
            "select found.*, keyset_place\nfrom unnest{wanted} with ordinality as wanted (keyset_value, keyset_place)\n\
             cross join lateral (\n    select {columns}\n    from {from}\n    where {conditions}({column}) = keyset_value\n    \
             limit 1\n) as found"
        );
        Ok((bound.into_iter().fold(Statement::built(tagged(sql, &opened.types).into()), Statement::bind), count, on))
    }
}
