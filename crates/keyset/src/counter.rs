use std::sync::{
    Arc,
    atomic::{AtomicI32, Ordering},
};

/// The most rows that a counter table has for the same values. Each has its own slot, 0 to 15.
pub const COUNTER_SLOTS: i32 = 16;

/// A table that holds the number of a list's rows, so that an exact total is read and not counted. It costs as much as
/// a page, however many rows there are.
///
/// Each row of the table holds how many of the list's rows have certain column values. Its columns, all NOT NULL, are
///
/// - the columns of the scope and of [`Counter::filters`], with the same names and types as in the list's table,
/// - other columns, if the table also answers other questions,
/// - `slot int4`, for up to [`COUNTER_SLOTS`] rows of the same values,
/// - `row_count int8`.
///
/// It has a primary key, or another unique index, on all of them but `row_count`: the scope first, then the filters.
///
/// ```sql
/// create table book_shelf_counts (
///     library_id int8 not null,
///     shelf text collate "C" not null,
///     slot int4 not null,
///     row_count int8 not null,
///     primary key (library_id, shelf, slot)
/// );
/// ```
///
/// # How to write to it
///
/// Every statement that changes the list's rows also changes the counts, or at least its transaction does, so that both
/// changes become visible together. This adds the books $2 on the shelves $3 to the library $1:
///
/// ```sql
/// with inserted as (
///     insert into books (library_id, id, shelf)
///     select $1, id, shelf from unnest($2::int8[], $3::text[]) as added (id, shelf)
///     returning shelf
/// )
/// insert into book_shelf_counts as counts (library_id, shelf, slot, row_count)
/// select $1, shelf, $4, count(*) from inserted group by shelf order by shelf
/// on conflict (library_id, shelf, slot) do update set row_count = counts.row_count + excluded.row_count
/// ```
///
/// To delete books, use `-count(*)`. To move the book $2 to the shelf $3, subtract one and add one. The book is locked
/// before it is read, because another transaction could move it in between:
///
/// ```sql
/// with before as (
///     select id, shelf from books where library_id = $1 and id = $2 for update
/// ), moved as (
///     update books set shelf = $3 from before where library_id = $1 and books.id = before.id
///     returning before.shelf as old_shelf, books.shelf as new_shelf
/// ), changes as (
///     select old_shelf as shelf, -1 as change from moved union all select new_shelf, 1 from moved
/// )
/// insert into book_shelf_counts as counts (library_id, shelf, slot, row_count)
/// select $1, shelf, $4, sum(change) from changes group by shelf having sum(change) <> 0 order by shelf
/// on conflict (library_id, shelf, slot) do update set row_count = counts.row_count + excluded.row_count
/// ```
///
/// - **Bind the slot**, from [`CounterSlots`], so that concurrent writers do not wait for each other's commits on one
///   row. A row may be added in one slot and subtracted in another, so the count of one slot may be negative. Only the
///   sum has a meaning.
/// - **Write the counts in the order of their key**, with one slot in the whole statement, and after the rows of the
///   list. Two writers that lock rows in different orders could deadlock. For the same reason, a transaction of several
///   statements changes its counts last, and always changes several counter tables in the same order. If one statement
///   writes to two counter tables, the write to the second must depend on all rows that the first returns, as by
///   `where (select count(*) from counted) > 0`: CTEs run lazily, and writing CTEs that nothing reads run last.
///
/// The rows of a counter change often. While a long transaction is open, such as a backup, Postgres keeps all their old
/// versions, and a total has to skip them. After 100,000 changes during one transaction, a total took 5 ms.
///
/// Only the writers keep the counts right. The [conformance kit](crate::conformance) compares them with a full count,
/// so a service that forgets to update them fails its tests.
#[derive(Debug)]
pub struct Counter {
    /// The name of the table.
    pub table: &'static str,
    /// The names of the list's filters that the table has columns for. Each of them tests a column by
    /// [`Test::Equal`](crate::Test::Equal) or [`Test::AnyOf`](crate::Test::AnyOf). The counter serves requests that
    /// have no other filters than these.
    pub filters: &'static [&'static str],
}

/// Slots for statements that write to a [`Counter`]: 0 to 15 in turn. Clones share one sequence.
///
/// With random slots, two of sixteen concurrent writers would nearly always share one. In turn, two writers share a
/// slot only if one is still running after sixteen more have begun.
#[derive(Debug, Clone, Default)]
pub struct CounterSlots(Arc<AtomicI32>);

impl CounterSlots {
    /// The slot for the next statement.
    pub fn next_slot(&self) -> i32 {
        // When the number wraps around, the sequence continues: the number of slots divides 2^32.
        self.0.fetch_add(1, Ordering::Relaxed).rem_euclid(COUNTER_SLOTS)
    }
}
