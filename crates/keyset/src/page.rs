use pagination::{
    Cursor, Direction, InvalidArgument, PageParameters, PageTokenError, Position,
    proto::{EncodedPage, PageResponse},
};
use sqlx::{Connection, FromRow, Row, ValueRef, postgres::PgRow};

use crate::{
    Error, Failure, On, Paging, Query, Statement,
    count::{Total, total},
    encode::{Encoded, Unfit},
    list::Opened,
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

/// A page of rows that the service computes with. To send a page to the caller unchanged, use [`Query::fetch`], which
/// needs no row type.
#[derive(Debug, Clone)]
pub struct Page<T> {
    /// The rows, in the list's order.
    pub rows: Vec<T>,
    /// The field `page` of the List response.
    pub response: PageResponse,
}

/// The values of a row's keys, as Postgres's own bytes.
type Keys = Vec<Option<Vec<u8>>>;

/// A fetched page.
struct Fetched {
    query: Checked,
    cursor: Cursor,
    read: Read,
    total: Option<Total>,
}

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
struct Read {
    /// Nearest to the page's position first.
    rows: Vec<PgRow>,
    /// The keys of the row after which the next page in this direction begins; `None` at the end of the list.
    onward: Option<Keys>,
    /// How many index entries are known to have been examined.
    examined: u64,
}

impl Query<'_> {
    /// Fetches the page as the response of a List method, with the total if the request asks for it. Its rows are
    /// encoded as [`Listing::message`](crate::Listing::message).
    ///
    /// # Errors
    ///
    /// See [`Error`]. A wrong request, including a refused page token, fails before any statement runs.
    pub async fn fetch(mut self) -> Result<EncodedPage, Error> {
        let opened = self.list.opened();
        match self.fetch_encoded(&opened).await {
            Err(error) if self.is_retried(&error) && self.list.reopen(&opened).await => {
                self.fetch_encoded(&self.list.opened()).await
            }
            fetched => fetched,
        }
    }

    /// Fetches the page as rows, for a service that computes with them.
    ///
    /// # Errors
    ///
    /// As [`Query::fetch`].
    pub async fn fetch_rows<T>(mut self) -> Result<Page<T>, Error>
    where
        T: for<'r> FromRow<'r, PgRow>,
    {
        let opened = self.list.opened();
        let fetched = match self.run(&opened).await {
            Err(error) if self.is_retried(&error) && self.list.reopen(&opened).await => {
                self.run(&self.list.opened()).await?
            }
            fetched => fetched?,
        };
        let response = fetched.response(&self.list.paging)?;
        let Fetched { cursor, read, .. } = fetched;
        let mut rows = read.rows.iter().map(T::from_row).collect::<sqlx::Result<Vec<_>>>()?;
        if cursor.direction == Direction::Backward {
            rows.reverse();
        }
        measure::page(&self.list.paging, self.list.listing.name, rows.len(), read.examined);
        Ok(Page { rows, response })
    }

    /// Whether the page can be tried again after the list was opened again. A transaction has failed with its statement.
    fn is_retried(&self, error: &Error) -> bool {
        let has_failed = match (&self.on, error) {
            (On::Connection(connection), Error::Database(_)) => connection.is_in_transaction(),
            (On::Pool(_) | On::Connection(_), _) => false,
        };
        error.is_outdated() && !has_failed
    }

    async fn fetch_encoded(&mut self, opened: &Opened) -> Result<EncodedPage, Error> {
        let list = self.list;
        let mut fetched = self.run(opened).await?;
        let Encoded { bytes, taken, unfit } = list.encode(
            opened,
            fetched.query.selection.columns.as_deref(),
            &fetched.read.rows,
            fetched.cursor.direction,
        )?;
        if taken < fetched.read.rows.len() {
            match (taken, unfit) {
                (0, Some(reason)) => return Err(fetched.unfit_row(&list.paging, self.on.reborrow(), reason).await?),
                (taken, _) => fetched.cut(taken)?,
            }
        }
        measure::page(&list.paging, list.listing.name, taken, fetched.read.examined);
        Ok(EncodedPage { rows: bytes.into(), page: fetched.response(&list.paging)? })
    }

    async fn run(&mut self, opened: &Opened) -> Result<Fetched, Error> {
        let paging = &self.list.paging;
        self.list.check_now_and_then();
        let query = self.check(opened)?;
        let cursor = query.cursor(paging)?;
        let kind = query.parameters.total_count;
        let (read, total) = match &mut self.on {
            On::Pool(pool) => {
                let page = query.read(On::Pool(*pool), &cursor);
                let total = async { Ok(total(paging, On::Pool(*pool), &query.selection, kind).await) };
                // A page that fails does not wait for the total. The total itself never fails.
                futures_util::future::try_join(page, total).await?
            }
            On::Connection(connection) => {
                let read = query.read(On::Connection(connection), &cursor).await?;
                (read, total(paging, On::Connection(connection), &query.selection, kind).await)
            }
        };
        total.iter().for_each(|total| measure::count(paging, query.selection.listing.name, total.precision));
        Ok(Fetched { query, cursor, read, total })
    }
}

impl Fetched {
    /// Ends the page after this many rows.
    fn cut(&mut self, rows: usize) -> Result<(), Error> {
        self.read.rows.truncate(rows);
        self.read.onward = self.read.rows.last().map(|row| self.query.keys(row)).transpose()?;
        Ok(())
    }

    /// The error for the nearest row, which no message can carry.
    async fn unfit_row(&self, paging: &Paging, on: On<'_>, reason: Unfit) -> Result<Error, Error> {
        let Self { query, cursor, read, .. } = self;
        let keys = read.rows.first().map(|row| query.keys(row)).transpose()?.unwrap_or_default();
        let row = query.describe(on, &keys).await?;
        let onward = Cursor { direction: cursor.direction, position: Position::After(keys) };
        let page_token = paging.tokens.seal(&onward, &query.fingerprint)?;
        let list = query.selection.listing.name;
        measure::unfit_row(paging, list);
        Ok(Error::Row { list, row, reason, page_token, error_domain: paging.tokens.error_domain })
    }

    fn response(&self, paging: &Paging) -> Result<PageResponse, Error> {
        let Self { query, cursor, read, total } = self;
        query.response(paging, cursor.clone(), read.rows.first(), read.onward.clone(), *total)
    }
}

impl Checked {
    /// The position in the page token; without a token, the beginning of the list.
    fn cursor(&self, paging: &Paging) -> Result<Cursor, InvalidArgument> {
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

    async fn read(&self, mut on: On<'_>, cursor: &Cursor) -> Result<Read, Error> {
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

    fn keys(&self, row: &PgRow) -> Result<Keys, Error> {
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
    async fn describe(&self, mut on: On<'_>, keys: &[Option<Vec<u8>>]) -> Result<String, Error> {
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
    fn response(
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
