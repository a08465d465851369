use std::sync::{
    Arc,
    atomic::{AtomicI32, Ordering},
};

/// How many rows a counter table has at most for the same values, each in a slot of its own: 0 to 15.
pub const COUNTER_SLOTS: i32 = 16;

/// A table that is kept to hold how many rows a list has, so that an exact total is read and not counted: it costs what a
/// page costs, however many rows there are.
///
/// Each of its rows says of how many of the list's rows the columns have these values. It has, never null,
///
/// - the columns of the scope and of [`Counter::filters`], with the names and types they have in the list's table,
/// - others, if it is to answer other questions too,
/// - `slot int4`, for up to [`COUNTER_SLOTS`] rows of the same values,
/// - `row_count int8`,
///
/// and a primary key, or another unique index, of all of them but `row_count`: the scope first, then the filters.
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
/// # How it is written
///
/// Whatever changes the list's rows changes the counts in the same statement, or at least in the same transaction, so that
/// whoever sees one sees the other. Books $2 on shelves $3 are added to the library $1:
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
/// To delete is the same with `-count(*)`. The book $2 that is moved to the shelf $3 is one less and one more; it is locked
/// before it is read, or it could have been moved meanwhile:
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
/// - **The slot is bound**, from [`CounterSlots`]. Writers at the same time then do not
///   wait for each other's commits behind one row. A row that was counted in one slot may be taken away in another, so a
///   slot alone may be negative; only the sum means something.
/// - **Rows of counts are written in the order of their key**, all slots of a statement being the same, and after the rows of
///   the list. Two writers that lock rows in different orders could deadlock. For the same reason a transaction of several
///   statements changes its counts last, and those of several tables always in the same order. Within a statement the second
///   table must then depend on all that the first returns, as by `where (select count(*) from counted) > 0`: Postgres runs a
///   part of a WITH no further than it is asked for, and the rest in the end.
///
/// These rows change often. While some transaction stays open for long, a backup say, Postgres keeps all their old versions,
/// and a total passes over them: 100,000 changes under one made a total take 5 ms.
///
/// Nothing but the writers keeps the counts right. The [conformance kit](crate::conformance) compares them with a full count,
/// so that a service whose writes forget them fails its tests.
#[derive(Debug)]
pub struct Counter {
    /// The name of the table.
    pub table: &'static str,
    /// The names of the list's filters that it has columns for, each of which tests a column by
    /// [`Test::Equal`](crate::Test::Equal) or [`Test::AnyOf`](crate::Test::AnyOf). It counts what requests match that have
    /// some of these filters or none, and no others.
    pub filters: &'static [&'static str],
}

/// The slots for statements that write to a [`Counter`]: each of 0 to 15 in turn. Clones share the turns.
///
/// In turn and not at random, since of sixteen writers at the same time some two would nearly always meet. So, two have the
/// same slot only where one is still at it when sixteen more have begun.
#[derive(Debug, Clone, Default)]
pub struct CounterSlots(Arc<AtomicI32>);

impl CounterSlots {
    /// The slot for the next statement.
    pub fn next_slot(&self) -> i32 {
        // Where the number wraps around, the slots go on in turn: there is a whole number of rounds.
        self.0.fetch_add(1, Ordering::Relaxed).rem_euclid(COUNTER_SLOTS)
    }
}
