//! Compares walks with one plain ORDER BY.

use pagination::proto::{PageRequest, TotalCount};
use sqlx::{FromRow, Row, ValueRef, postgres::PgRow};

use super::{Conformance, FEW, Filters, describe, fail};
use crate::{listing::Order, page::Page, select::key_column};

/// The keys of a row, as Postgres's own bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KeyRow(pub(super) Vec<Option<Vec<u8>>>);

impl FromRow<'_, PgRow> for KeyRow {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        let columns = (0..4).map(key_column).map_while(|column| row.try_get_raw(column.as_str()).ok());
        let bytes = columns.map(|value| (!value.is_null()).then(|| value.as_bytes().map(<[u8]>::to_vec)).transpose());
        Ok(Self(bytes.collect::<Result<_, _>>().map_err(sqlx::Error::Decode)?))
    }
}

impl Conformance<'_> {
    pub(super) async fn check_walks(&self) {
        for order in self.list.listing().orders {
            for filters in &self.filters() {
                let expected = self.expected(order, filters).await;
                let what = describe(order, filters, self.list.listing());
                let n = i32::try_from(expected.len()).unwrap_or(i32::MAX);
                for sizes in [vec![1], vec![2], vec![3], vec![7], vec![n - 1], vec![n], vec![n + 1], vec![5, 1, 200, 2]]
                {
                    let sizes: Vec<i32> = sizes.into_iter().map(|size: i32| size.max(1)).collect();
                    self.check_walk(order, filters, &sizes, &expected, &what).await;
                }
            }
        }
    }

    /// One walk to the end and back again, with these page sizes in turn.
    async fn check_walk(&self, order: &Order, filters: &Filters, sizes: &[i32], expected: &[KeyRow], what: &str) {
        let mut sizes_in_turn = sizes.iter().copied().cycle();
        let mut fetch = async |token: &str| {
            let size = sizes_in_turn.next().unwrap_or(1);
            let page = self.fetch(order, filters, size, token).await;
            assert!(page.rows.len() <= size as usize, "{what}: a page of more rows than {size}");
            page
        };
        let what = format!("{what} at page sizes {sizes:?}");

        let mut page = fetch("").await;
        assert_eq!(page.response.previous_page_token, "", "{what}: the first page has no previous one");
        assert_eq!(page.response.total_count, Some(expected.len() as i64), "{what}: the exact total");
        let mut forward = page.rows.clone();
        let mut pages = 1;
        while !page.response.next_page_token.is_empty() {
            page = fetch(&page.response.next_page_token).await;
            assert_ne!(page.response.previous_page_token, "", "{what}: a page after another has a previous one");
            forward.extend(page.rows.iter().cloned());
            pages += 1;
            assert!(pages <= 2 * FEW + 2, "{what}: the walk does not end");
        }
        assert_eq!(forward, expected, "{what}: forward");

        let (mut backward, mut token) = (page.rows, page.response.previous_page_token);
        while !token.is_empty() {
            let page = fetch(&token).await;
            assert_ne!(page.response.next_page_token, "", "{what}: a page reached backwards has a next one");
            backward.splice(0..0, page.rows);
            token = page.response.previous_page_token;
            pages += 1;
            assert!(pages <= 4 * FEW + 4, "{what}: the walk back does not end");
        }
        assert_eq!(backward, expected, "{what}: backward");
    }

    async fn fetch(&self, order: &Order, filters: &Filters, page_size: i32, token: &str) -> Page<KeyRow> {
        let request = PageRequest {
            page_size,
            page_token: token.to_owned(),
            total_count: TotalCount::Exact.into(),
            ..Default::default()
        };
        self.query(order, filters, request).fetch_rows().await.unwrap_or_else(fail)
    }
}
