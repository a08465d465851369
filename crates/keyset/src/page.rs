use futures_util::FutureExt;
use pagination::{Cursor, Direction, InvalidArgument, PageParameters, Position, proto::PageResponse};
use sqlx::{FromRow, Row, ValueRef, postgres::PgRow};

use crate::{
    Error, Paging, Query,
    count::{Total, total},
    database,
    listing::{Key, Nulls},
    measure,
    query::Plan,
    select::{Extent, HIT, MORE, POSITION, key_column},
};

/// The most bytes of rows in a page, by [`Listing::weight`](crate::Listing::weight): 3.5 MiB, which leaves room for the
/// rest of a gRPC message of 4 MiB, the most that clients accept unless told otherwise.
pub const MAX_PAGE_BYTES: u32 = 3_670_016;

/// A page of rows, and where it stands.
#[derive(Debug, Clone)]
pub struct Page<T> {
    /// The rows, in the list's order.
    pub rows: Vec<T>,
    /// The field `page` of the List response.
    pub response: PageResponse,
}

impl<T> Page<T> {
    /// The page, with each row made into something else.
    pub fn map<U>(self, row: impl FnMut(T) -> U) -> Page<U> {
        Page { rows: self.rows.into_iter().map(row).collect(), response: self.response }
    }
}

/// The values of a row's keys, as Postgres's own bytes.
type Keys = Vec<Option<Vec<u8>>>;

/// What a page statement gave, nearest to the page's position first.
struct Fetched {
    rows: Vec<PgRow>,
    /// The keys of the row that the list goes on behind; nothing when it ends here.
    onward: Option<Keys>,
    /// How many index entries are known to have been examined.
    examined: u64,
}

impl Query<'_> {
    /// Fetches the page, and beside it the total if one was asked for.
    ///
    /// # Errors
    ///
    /// See [`Error`]. For a request that is wrong, a refused page token among them, no statement is run.
    pub async fn fetch<T>(self) -> Result<Page<T>, Error>
    where
        T: for<'r> FromRow<'r, PgRow>,
    {
        let paging = &self.list.paging;
        let plan = self.plan()?;
        let cursor = plan.cursor(paging)?;
        let page = plan.fetch(paging, &cursor);
        let total = total(paging, &plan.selection, plan.parameters.total_count).map(Ok);
        // A page that fails does not wait for the total, which never does.
        let (Fetched { rows, onward, examined }, total) = futures_util::future::try_join(page, total).await?;
        let list = plan.selection.listing.name;
        measure::page(list, rows.len(), examined);
        total.iter().for_each(|total| measure::count(list, total.precision));

        let response = plan.response(paging, cursor.clone(), rows.first(), onward, total)?;
        let rows = match cursor.direction {
            Direction::Forward => database::rows(rows.iter())?,
            Direction::Backward => database::rows(rows.iter().rev())?,
        };
        Ok(Page { rows, response })
    }
}

impl Plan<'_> {
    /// Where the page begins: where its token says.
    fn cursor(&self, paging: &Paging) -> Result<Cursor, InvalidArgument> {
        if self.parameters.token.is_empty() {
            return Ok(Cursor { direction: Direction::Forward, position: Position::Start });
        }
        let opened = paging.tokens.open(&self.parameters.token, &self.fingerprint);
        Ok(opened.inspect_err(|error| measure::refused_token(self.selection.listing.name, *error))?)
    }

    async fn fetch(&self, paging: &Paging, cursor: &Cursor) -> Result<Fetched, Error> {
        let size = self.parameters.size;
        let extent = Extent { limit: size + 1, skip: self.parameters.skip };
        let statement = self.selection.page(cursor.direction, &cursor.position, extent);
        let mut rows = paging.database.read_rows(|| statement.query()).await?;

        let examined = self.examined(&rows)?;
        let size = size as usize;
        let has_another = rows.get(size).map(|row| self.is_hit(row)).transpose()?.unwrap_or(false);
        if has_another {
            rows.truncate(size);
        }
        let Some(last) = rows.last() else { return Ok(Fetched { rows, onward: None, examined }) };
        let goes_on = has_another || self.is_cut(last)? || self.is_last_examined(last)?;
        let onward = if goes_on { Some(self.keys(last)?) } else { None };
        if !self.is_hit(last)? {
            rows.pop();
        }
        Ok(Fetched { rows, onward, examined })
    }

    fn is_hit(&self, row: &PgRow) -> sqlx::Result<bool> {
        if self.selection.is_scanned() { row.try_get(HIT) } else { Ok(true) }
    }

    /// How many index entries the statement has examined, as far as its rows tell.
    fn examined(&self, rows: &[PgRow]) -> sqlx::Result<u64> {
        match rows.last() {
            Some(last) if self.selection.is_scanned() => Ok(last.try_get::<i64, _>(POSITION)?.unsigned_abs()),
            Some(_) | None => Ok(rows.len() as u64),
        }
    }

    fn is_last_examined(&self, row: &PgRow) -> sqlx::Result<bool> {
        if !self.selection.is_scanned() {
            return Ok(false);
        }
        Ok(row.try_get::<i64, _>(POSITION)? == i64::from(self.selection.examined_rows()))
    }

    fn is_cut(&self, row: &PgRow) -> sqlx::Result<bool> {
        if self.selection.listing.weight.is_none() {
            return Ok(false);
        }
        Ok(row.try_get::<Option<bool>, _>(MORE)?.unwrap_or(false))
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
                    let mistake = format!("{} is declared never null, and is null", key.expression);
                    Err(Error::Listing { list: self.selection.listing.name, mistake })
                }
            }
        };
        self.selection.order.keys.iter().enumerate().map(key).collect()
    }

    /// Where the page stands: a token onward if the list goes on, and one back unless this is its beginning.
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
