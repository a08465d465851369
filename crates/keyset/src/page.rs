use pagination::{Cursor, Direction, InvalidArgument, PageParameters, PageTokenError, Position, proto::PageResponse};
use sqlx::{Row, ValueRef, postgres::PgRow};

use crate::{
    Error, Failure, On, Paging, Statement,
    count::Total,
    listing::{Key, Nulls},
    measure,
    query::Checked,
    select::{HIT, MORE, POSITION, key_column},
    selection::Extent,
    value::Value,
};

/// The most bytes of rows in a page, measured by [`Listing::weight`](crate::Listing::weight): 3.5 MiB. This leaves room
/// for the rest of a gRPC message of 4 MiB, the default limit of clients.
pub const MAX_PAGE_BYTES: u32 = 3_670_016;

/// The most bytes of encoded rows in a page: 16 KiB less than 4 MiB. This leaves room for two page tokens and the total.
/// A larger row is one that no message can carry: see [`Listing::unfit_rows`](crate::Listing::unfit_rows).
pub const MAX_ROW_BYTES: usize = 4 * 1_024 * 1_024 - 16 * 1_024;

/// A page of rows that the service computes with. To send a page to the caller unchanged, use
/// [`Query::fetch`](crate::Query::fetch), which needs no row type.
#[derive(Debug, Clone)]
pub struct Page<T> {
    /// The rows, in the list's order.
    pub rows: Vec<T>,
    /// The field `page` of the List response.
    pub response: PageResponse,
}

/// The values of a row's keys, as Postgres's own bytes.
pub(crate) type Keys = Vec<Option<Vec<u8>>>;

/// Why a page ends where it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// It has the requested number of rows, and more exist.
    Size,
    /// Another row would exceed [`MAX_PAGE_BYTES`].
    Weight,
    /// It has examined the most rows that a page may.
    Examined,
    /// The list has no more rows.
    List,
}

/// What the statement of a page returned.
pub(crate) struct Read {
    /// Nearest to the page's position first.
    pub(crate) rows: Vec<PgRow>,
    /// The keys of the row after which the next page in this direction begins; `None` at the end of the list.
    pub(crate) onward: Option<Keys>,
    /// How many index entries are known to have been examined.
    pub(crate) examined: u64,
}

impl Checked {
    /// The position in the page token; without a token, the beginning of the list.
    pub(crate) fn cursor(&self, paging: &Paging) -> Result<Cursor, InvalidArgument> {
        if self.parameters.token.is_empty() {
            return Ok(Cursor { direction: Direction::Forward, position: Position::Start });
        }
        let listing = self.selection.listing;
        let opened = paging.tokens.open(&self.parameters.token, &self.fingerprint);
        Ok(opened.map_err(|error| {
            measure::refused_token(paging, listing.name, error.kind);
            PageTokenError { field: listing.page.fields.page_token, ..error }
        })?)
    }

    pub(crate) async fn read(&self, mut on: On<'_>, cursor: &Cursor) -> Result<Read, Error> {
        let size = self.parameters.size;
        let extent = Extent { limit: size + 1, skip: self.parameters.skip };
        let statement = self.selection.page(cursor.direction, &cursor.position, extent).statement();
        let mut rows = on.rows(statement).await.map_err(|error| self.failed(error))?;

        let examined = self.examined(&rows)?;
        let end = self.end(&rows, size as usize)?;
        if end == End::Size {
            rows.truncate(size as usize);
        }
        let onward = match rows.last() {
            Some(last) if end != End::List => Some(self.keys(last)?),
            Some(_) | None => None,
        };
        // The last row examined may not match. It was returned only for its keys.
        if rows.last().map(|last| self.is_hit(last)).transpose()? == Some(false) {
            rows.pop();
        }
        Ok(Read { rows, onward, examined })
    }

    fn failed(&self, error: sqlx::Error) -> Error {
        match Failure::of(&error) {
            Failure::TooSlow => Error::TooSlow { filters: self.selection.not_given().collect() },
            Failure::Value => self.selection.refused_text().map_or_else(|| error.into(), Error::Request),
            Failure::Text
            | Failure::Changed
            | Failure::Exhausted
            | Failure::Locked
            | Failure::Conflict
            | Failure::Unavailable
            | Failure::Inside => error.into(),
        }
    }

    /// Why the page ends with these rows. There is one row more than `size` if the list has it.
    fn end(&self, rows: &[PgRow], size: usize) -> sqlx::Result<End> {
        let Some(last) = rows.last() else { return Ok(End::List) };
        if rows.get(size).map(|row| self.is_hit(row)).transpose()? == Some(true) {
            return Ok(End::Size);
        }
        let is_cut = self.selection.listing.weight.is_some() && last.try_get::<Option<bool>, _>(MORE)? == Some(true);
        let is_scanned = self.selection.is_scanned();
        Ok(if is_cut {
            End::Weight
        } else if is_scanned && last.try_get::<i64, _>(POSITION)? == i64::from(self.selection.examined_rows()) {
            End::Examined
        } else {
            End::List
        })
    }

    fn is_hit(&self, row: &PgRow) -> sqlx::Result<bool> {
        if self.selection.is_scanned() { row.try_get(HIT) } else { Ok(true) }
    }

    /// How many index entries the statement has examined, as far as its rows show.
    fn examined(&self, rows: &[PgRow]) -> sqlx::Result<u64> {
        match rows.last() {
            Some(last) if self.selection.is_scanned() => Ok(last.try_get::<i64, _>(POSITION)?.unsigned_abs()),
            Some(_) | None => Ok(rows.len() as u64),
        }
    }

    pub(crate) fn keys(&self, row: &PgRow) -> Result<Keys, Error> {
        let key = |(place, key): (usize, &Key)| {
            let value = row.try_get_raw(key_column(place).as_str())?;
            if !value.is_null() {
                return Ok(Some(value.as_bytes().map_err(sqlx::Error::Decode)?.to_vec()));
            }
            match key.nulls {
                Nulls::First | Nulls::Last => Ok(None),
                Nulls::Never => {
                    let mistake = format!("{} is declared never null but is null", key.expression);
                    Err(Error::Listing { list: self.selection.listing.name, mistake })
                }
            }
        };
        self.selection.order.keys.iter().enumerate().map(key).collect()
    }

    /// The values of a row's keys, for people: as in `title = Moby-Dick, id = 5`.
    pub(crate) async fn describe(&self, mut on: On<'_>, keys: &[Option<Vec<u8>>]) -> Result<String, Error> {
        let types = self.selection.key_types().iter().enumerate();
        let texts: Vec<_> = types.map(|(place, key)| format!("(${}::{})::text", place + 1, key.name)).collect();
        let statement = Statement::built(format!("select {}", texts.join(", ")).into());
        let statement = keys.iter().cloned().map(Value::key).fold(statement, Statement::bind);
        let rows = on.rows(statement).await?;
        let named = |(place, key): (usize, &Key)| {
            let value: Option<String> = rows.first().map(|row| row.try_get(place)).transpose()?.flatten();
            Ok(format!("{} = {}", key.expression, value.as_deref().unwrap_or("null")))
        };
        let named: sqlx::Result<Vec<_>> = self.selection.order.keys.iter().enumerate().map(named).collect();
        Ok(named?.join(", "))
    }

    /// The page tokens and the total. The list has a token onward unless it ends here, and a token back unless it
    /// begins here.
    pub(crate) fn response(
        &self,
        paging: &Paging,
        Cursor { direction, position }: Cursor,
        nearest: Option<&PgRow>,
        onward: Option<Keys>,
        total: Option<Total>,
    ) -> Result<PageResponse, Error> {
        let PageParameters { token, skip, .. } = &self.parameters;
        let is_beginning = token.is_empty() && *skip == 0;
        let back = match (nearest, position) {
            _ if is_beginning => None,
            (Some(row), _) => Some(Position::After(self.keys(row)?)),
            (None, Position::After(keys) | Position::At(keys)) if *skip == 0 => Some(Position::At(keys)),
            (None, _) => Some(onward.clone().map_or(Position::Start, Position::After)),
        };
        let seal = |direction, position: Option<Position>| match position {
            Some(position) => paging.tokens.seal(&Cursor { direction, position }, &self.fingerprint),
            None => Ok(String::new()),
        };
        let onward = onward.map(Position::After);
        let (next, previous) = match direction {
            Direction::Forward => (onward, back),
            Direction::Backward => (back, onward),
        };
        Ok(PageResponse {
            next_page_token: seal(Direction::Forward, next)?,
            previous_page_token: seal(Direction::Backward, previous)?,
            total_count: total.map(|total| total.count),
            total_count_precision: total.map(|total| total.precision).unwrap_or_default().into(),
        })
    }
}
