//! The conformance kit: one call in a service's tests that checks everything this crate guarantees for a list.
//!
//! ```no_run
//! # async fn example(list: keyset::List) {
//! use keyset::conformance::Conformance;
//!
//! Conformance::of(&list)
//!     .scope("a-library")
//!     .value("shelf", "rare").value("shelf", "common").value("title_prefix", "rare")
//!     .check(async |rows| { /* insert books with these numbers */ })
//!     .await;
//! # }
//! ```
//!
//! The kit walks a few rows in every order and under every filter, forward and back, at page sizes that are likely to
//! fail, and compares each walk with one plain ORDER BY. It compares the message of each row with the row as Postgres
//! writes it in JSON. Then it has twenty thousand more rows inserted and checks the work of a page by EXPLAIN ANALYZE,
//! before ANALYZE without filters and after it with each, under custom and generic plans: how many rows each scan reads, that its conditions are
//! conditions of the index, and that no scan is sorted as a whole. With few rows and with many, it compares each
//! counter of the list with a full count.
//!
//! # What it needs
//!
//! - **A database of its own**, with the tables and indexes as in production. `quire-private-postgres` starts a Postgres
//!   that ends with the test. The checks of the work read counts of pages and plans, which other clients would change. The
//!   kit turns autovacuum off for the table while it runs.
//! - **An empty scope.** Other scopes may have rows. The test's closure `seed` inserts rows with the numbers from 0 up to
//!   20,060, in two calls. The kit writes nothing itself.
//! - **Rights** of the table's owner: to ANALYZE it and to turn autovacuum off. No superuser is needed.
//! - **Values for every filter**, one of which only the rows have whose number is a multiple of [`RARE`]. For a boolean
//!   filter, any value will do.
//!
//! # What it leaves
//!
//! The rows that `seed` inserted, and the table analyzed. Drop the database, or delete the rows.
//!
//! # How long it takes
//!
//! Four seconds for the bookshop's list, with two orders, four filters and seven values, on two cores. The time grows with
//! the number of orders times the number of values.
#![allow(clippy::panic, reason = "a check that fails panics and says what is wrong")]

mod counters;
mod messages;
mod reference;
mod walk;
mod work;

use std::ops::Range;

use prost_reflect::FieldDescriptor;
use sqlx::{Encode, Postgres, Type, postgres::PgTypeInfo};

use crate::{
    Error, List,
    listing::Order,
    query::{Checked, Query},
    selection::Selection,
    value::Given,
    wire,
};

/// How many rows exist during the walks.
const FEW: u32 = 60;
/// How many rows exist when the work is checked.
const MANY: u32 = 20_060;
/// Every row whose number is a multiple of this has the rare value of each filter.
pub const RARE: u32 = 10_000;

/// Converts a value of the type `from`, in Postgres's binary format, to the encoded field `to`. Returns `None` if no
/// conversion exists, and an error if the value does not fit the field. For tests of the conversions with any bytes.
pub fn convert(from: &PgTypeInfo, to: &FieldDescriptor, bytes: &[u8]) -> Option<Result<Vec<u8>, String>> {
    wire::convert(from, to, bytes)
}

/// A list under test, and the values for its filters.
#[derive(Debug, Clone)]
pub struct Conformance<'a> {
    list: &'a List,
    scope: Vec<Given>,
    parameters: Vec<Given>,
    values: Vec<(&'static str, Given)>,
}

/// For each filter of the list, its value if the request has it.
type Filters = Vec<Option<Given>>;

impl<'a> Conformance<'a> {
    /// Begins the test of a list. The scope must not have rows yet.
    pub fn of(list: &'a List) -> Self {
        Self { list, scope: Vec::new(), parameters: Vec::new(), values: Vec::new() }
    }

    /// Gives the value of the next column of the scope.
    pub fn scope<'q, T: Encode<'q, Postgres> + Type<Postgres>>(mut self, value: T) -> Self {
        self.scope.push(encode(value));
        self
    }

    /// Gives the value of the next parameter.
    pub fn parameter<'q, T: Encode<'q, Postgres> + Type<Postgres>>(mut self, value: T) -> Self {
        self.parameters.push(encode(value));
        self
    }

    /// Gives a value to test a filter with. A filter may have several. Unless the filter takes a boolean, at least one
    /// of its values must be one that only the rows with a number divisible by [`RARE`] have.
    pub fn value<'q, T: Encode<'q, Postgres> + Type<Postgres>>(mut self, filter: &'static str, value: T) -> Self {
        assert!(self.list.listing().filter(filter).is_some(), "the list has no filter {filter}");
        self.values.push((filter, encode(value)));
        self
    }

    /// Tests the list. `seed` inserts the rows with the given numbers into the scope. The values of their order columns
    /// must differ, repeat and, if they can, be null. It also counts the rows in the tables of the list's counters, in
    /// any slots. It is called twice, and nothing else may change these tables.
    ///
    /// # Panics
    ///
    /// If a check fails. The message says what is wrong.
    pub async fn check(self, seed: impl AsyncFn(Range<u32>)) {
        // Autovacuum would analyze the table between two checks, and be counted among the reads of a page.
        self.alter_tables("set (autovacuum_enabled = off)").await;
        seed(0..FEW).await;
        self.check_counters().await;
        self.check_walks().await;
        self.check_messages().await;
        seed(FEW..MANY).await;
        self.check_counters().await;
        self.check_values_are_rare().await;
        if self.list.listing().is_table() {
            // Postgres expects so few rows under any filter of a new table that it cannot tell indexes apart.
            self.check_work(false, 0).await;
            self.execute(format!("analyze {}", self.list.listing().from)).await;
            self.check_work(true, self.list.listing().filters.len()).await;
        }
        self.alter_tables("reset (autovacuum_enabled)").await;
    }

    /// Alters the table of the list, or its partitions.
    async fn alter_tables(&self, action: &str) {
        let listing = self.list.listing();
        if !listing.is_table() {
            return;
        }
        let tables = "select relid::regclass::text from pg_partition_tree($1::regclass) where isleaf
            union select oid::regclass::text from pg_class where oid = $1::regclass and relkind = 'r'";
        let mut connection = self.list.paging.connections.connection().await.unwrap_or_else(fail);
        let tables = sqlx::query_scalar(tables).bind(listing.from).fetch_all(&mut **connection).await;
        drop(connection);
        let tables: Vec<String> = tables.unwrap_or_else(fail);
        for table in tables {
            self.execute(format!("alter table {table} {action}")).await;
        }
    }

    async fn execute(&self, sql: String) {
        let mut connection = self.list.paging.connections.connection().await.unwrap_or_else(fail);
        sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&mut **connection).await.unwrap_or_else(fail);
    }

    /// The filters to test: none, each value alone, and one value of every filter together.
    fn filters(&self) -> Vec<Filters> {
        let listing = self.list.listing();
        let none: Filters = vec![None; listing.filters.len()];
        let with = |mut filters: Filters, name: &str, value: &Given| {
            let named = listing.filters.iter().zip(&mut filters).find(|(filter, _)| filter.name == name);
            if let Some((_, place)) = named {
                *place = Some(value.clone());
            }
            filters
        };
        let mut all = vec![none.clone()];
        all.extend(self.values.iter().map(|(name, value)| with(none.clone(), name, value)));
        all.push(self.values.iter().rev().fold(none, |filters, (name, value)| with(filters, name, value)));
        all
    }

    fn query(&self, order: &Order, filters: &Filters, request: pagination::proto::PageRequest) -> Query<'a> {
        let mut query = self.list.page(Some(request), order.name);
        query.scope.clone_from(&self.scope);
        query.parameters = self.parameters.iter().cloned().map(Some).collect();
        query.filters = filters.iter().cloned().map(Some).collect();
        query
    }

    fn selection(&self, order: &Order, filters: &Filters) -> Selection {
        let checked: Result<Checked, Error> = self.query(order, filters, Default::default()).check(&self.list.opened());
        checked.unwrap_or_else(fail).selection
    }

    async fn check_values_are_rare(&self) {
        let listing = self.list.listing();
        let [order, ..] = listing.orders else { return };
        for filter in listing.filters {
            let mut counts = Vec::new();
            for filters in self.filters().iter().filter(|filters| filters.iter().flatten().count() == 1) {
                let given = listing
                    .filters
                    .iter()
                    .zip(filters)
                    .any(|(other, value)| other.name == filter.name && value.is_some());
                if given {
                    counts.push(self.expected(order, filters).await.len());
                }
            }
            let is_boolean = |(name, value): &(&str, Given)| *name == filter.name && value.is_boolean();
            let rare = 1..=(MANY / RARE * 2) as usize;
            assert!(
                counts.iter().any(|count| rare.contains(count)) || self.values.iter().any(is_boolean),
                "of {MANY} rows, {rare:?} should match one value of the filter {}, but its values match {counts:?}",
                filter.name
            );
        }
    }
}

/// The query under test, for failure messages.
fn describe(order: &Order, filters: &Filters, listing: &crate::Listing) -> String {
    let given = listing.filters.iter().zip(filters).filter(|(_, value)| value.is_some());
    let given: Vec<_> = given.map(|(filter, _)| filter.name).collect();
    format!("{} in order \"{}\" with filters {given:?}", listing.name, order.name)
}

fn encode<'q, T: Encode<'q, Postgres> + Type<Postgres>>(value: T) -> Given {
    Given::encode(value).unwrap_or_else(|error| panic!("a value that cannot be bound: {error}"))
}

fn fail<T>(error: impl std::fmt::Display) -> T {
    panic!("{error}")
}
