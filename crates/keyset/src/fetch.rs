use pagination::{
    Cursor, Direction, Position,
    proto::{EncodedPage, PageResponse},
};
use sqlx::{Connection, FromRow, postgres::PgRow};

use crate::{
    Error, On, Page, Paging, Query,
    count::{Total, total},
    encode::{Encoded, Unfit},
    list::Opened,
    measure,
    page::Read,
    query::Checked,
};

/// A fetched page.
struct Fetched {
    query: Checked,
    cursor: Cursor,
    read: Read,
    total: Option<Total>,
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
