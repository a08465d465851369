use pagination::proto::PageRequest;

use crate::{Counter, List, Query};

/// What stands in `from` for the conditions of the scope and the filters.
pub(crate) const WHERE: &str = "{where}";

/// A list, as its author declares it: where its rows are, what may be asked of them, and in which orders they come.
///
/// It is written once, as a `static`. All of its text is SQL and none of it comes from a
/// request. Open it with [`Paging::open`](crate::Paging::open), which checks it against the database's catalogue.
///
/// ```
/// use keyset::{Filter, Listing, Order, asc, desc};
///
/// static BOOKS: Listing = Listing {
///     name: "books.v1.Books",
///     from: "books",
///     message: "books.v1.Book",
///     columns: "id, title, shelf, print_time",
///     scope: &["library_id"],
///     filters: &[Filter::equal("shelf", "shelf"), Filter::prefix("title_prefix", "title")],
///     orders: &[
///         Order { name: "print_time desc", keys: &[desc("print_time").nulls_last(), desc("id")], indexed: &[&["shelf"]] },
///         Order { name: "title", keys: &[asc("title"), asc("id")], indexed: &[] },
///     ],
///     ..Listing::DEFAULT
/// };
/// ```
#[derive(Debug)]
pub struct Listing {
    /// What the list is called in page tokens and in logs. Two lists must not have the same name, and a list keeps its
    /// name, or its tokens stop opening.
    pub name: &'static str,
    /// The name of a table, or a query in parentheses with its alias.
    ///
    /// In a query, `{where}` stands for the conditions of the scope and of all filters, where these belong inside it:
    /// before a GROUP BY, say. `{name}` stands for the value of a parameter. What the catalogue check can prove of a table it cannot prove of a
    /// query: that its keys are unique and never null is then the author's word, and the conformance kit's walk.
    pub from: &'static str,
    /// The full name of the message of its rows, such as `"books.v1.Book"`. Empty for a list that is only read by
    /// [`Query::fetch_rows`].
    pub message: &'static str,
    /// The columns of the row, as they stand behind SELECT. Each fills the field of its name: a column or any expression
    /// with an alias, `operation_type as "operation.type"` in a nested message.
    ///
    /// | column | field |
    /// | --- | --- |
    /// | text, varchar, char, name, citext, an enum | string, or an enum by the name of its value in lower case without the enum's prefix. A word that is none of these is the value 0 |
    /// | uuid, numeric | string: a numeric without zeros at the end of its fraction, or `NaN`, `Infinity`, `-Infinity` |
    /// | int2, int4 | int32, int64 and all other integers; unsigned ones hold no negative values |
    /// | int8 | int64 and all other integers of eight bytes |
    /// | float4, float8 | float, double; float4 also to double |
    /// | bool, bytea | bool, bytes |
    /// | timestamptz | `google.protobuf.Timestamp`: years 1 to 9999 |
    /// | interval | `google.protobuf.Duration`: days of 24 hours, and no months |
    /// | an array of any of these | repeated, with one dimension and no nulls |
    /// | json, jsonb | a map from string to string, bool, int64 or double |
    ///
    /// A null is a field that is absent, or has its type's default where it cannot be absent. A nested message is absent
    /// when all its columns are null. A value that has no place in its field makes the call INTERNAL, on each page that would
    /// have it: an infinite time, a null in an array, a value of another type in a JSON object. Let a CHECK keep such values out.
    pub columns: &'static str,
    /// Fields that no column fills, such as `"price"` or `"operation.data"`.
    pub unfilled: &'static [&'static str],
    /// Nested messages that are there even when all their columns are null.
    pub always_there: &'static [&'static str],
    /// Columns that must equal a value given by [`Query::scope`] in every query, such as the tenant's id or the parent's
    /// id. They lead every index of the list.
    pub scope: &'static [&'static str],
    /// The names of values that `from` takes in braces, given by [`Query::parameter`].
    pub parameters: &'static [&'static str],
    /// What a request can filter by.
    pub filters: &'static [Filter],
    /// The orders a request can ask for; the first is the default.
    pub orders: &'static [Order],
    /// The tables that exact totals are read from, instead of counting rows. The first that has a column for every filter
    /// of a request is read, so those with the fewest rows come first. Only for a list that is `from` a table. See
    /// [`Counter`] for what its table must be like, and how it is written.
    pub counters: &'static [Counter],
    /// The size of a row in bytes as an SQL expression, such as `"octet_length(content)"`, for rows so large that a
    /// page of them could outgrow [`MAX_PAGE_BYTES`](crate::MAX_PAGE_BYTES). Such a page ends early.
    pub weight: Option<&'static str>,
    /// How many index entries a page examines at most when a filter has no index: 1 to 100,000. The page may then come
    /// back short, with a token that goes on behind the last row examined.
    pub examined_rows: u32,
}

impl Listing {
    /// A list of nothing, to fill the fields that a declaration leaves out.
    pub const DEFAULT: Self = Self {
        name: "",
        from: "",
        message: "",
        columns: "",
        unfilled: &[],
        always_there: &[],
        scope: &[],
        parameters: &[],
        filters: &[],
        orders: &[],
        counters: &[],
        weight: None,
        examined_rows: 2_000,
    };

    /// The filter with this name.
    pub(crate) fn filter(&self, name: &str) -> Option<&Filter> {
        self.filters.iter().find(|filter| filter.name == name)
    }

    /// Whether `from` says itself where the conditions of the scope and the filters belong.
    pub(crate) fn places_conditions(&self) -> bool {
        self.from.contains(WHERE)
    }

    /// Whether `from` is the name of a table, so that the catalogue can say what is true of it.
    pub(crate) fn is_table(&self) -> bool {
        !self.from.contains(char::is_whitespace) && !self.from.contains('(')
    }
}

/// One order of a list.
#[derive(Debug, Clone, Copy)]
pub struct Order {
    /// What `order_by` calls it, written as AIP-132 does: `"create_time desc"`.
    pub name: &'static str,
    /// One to four keys that together are unique within the scope: end with the primary key. Where they sort in different
    /// directions, or may be null, a page behind a token asks for those that have the first key's value. That column is then
    /// to be set to have many distinct values, as those of filters below are.
    pub keys: &'static [Key],
    /// For each index that serves this order under filters, the names of those filters. An index of `(scope…, columns
    /// of the filters…, keys…)` must exist for each, and each of these columns must be set to have many distinct values:
    /// `alter table books alter column shelf set (n_distinct = 1000)`. Postgres guesses what an index is worth from the
    /// values that it has seen. While it has seen one only, it takes the index that has the keys alone for as good, and for
    /// another value that means to pass over every row. Filters of a request that none of them covers are tested row by row
    /// instead, over at most [`Listing::examined_rows`]. Prefixes and bounds of the first key's column are always served
    /// by the order's own index and are not named here.
    pub indexed: &'static [&'static [&'static str]],
}

/// One key of an order: an expression and how its values are sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// A column or another expression, the same in the index, in ORDER BY and in the seek.
    pub expression: &'static str,
    /// Ascending or descending.
    pub sort: Sort,
    /// Where its nulls come.
    pub nulls: Nulls,
}

/// Which way a key sorts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    /// The smallest value first.
    Ascending,
    /// The largest value first.
    Descending,
}

/// Where the nulls of a key come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nulls {
    /// It has none.
    Never,
    /// Before every value.
    First,
    /// After every value.
    Last,
}

/// An ascending key that is never null.
pub const fn asc(expression: &'static str) -> Key {
    Key { expression, sort: Sort::Ascending, nulls: Nulls::Never }
}

/// A descending key that is never null.
pub const fn desc(expression: &'static str) -> Key {
    Key { expression, sort: Sort::Descending, nulls: Nulls::Never }
}

impl Key {
    /// The key, with nulls that come before every value.
    pub const fn nulls_first(self) -> Self {
        Self { nulls: Nulls::First, ..self }
    }

    /// The key, with nulls that come after every value.
    pub const fn nulls_last(self) -> Self {
        Self { nulls: Nulls::Last, ..self }
    }

    /// The key seen from the other end of the list.
    pub(crate) fn reversed(self) -> Self {
        let sort = match self.sort {
            Sort::Ascending => Sort::Descending,
            Sort::Descending => Sort::Ascending,
        };
        let nulls = match self.nulls {
            Nulls::Never => Nulls::Never,
            Nulls::First => Nulls::Last,
            Nulls::Last => Nulls::First,
        };
        Self { sort, nulls, ..self }
    }

    /// `expression` sorted as this key is, as it stands behind ORDER BY. A key that is never null leaves the place of
    /// nulls to Postgres, so that an index of either notation serves it.
    pub(crate) fn order_by(&self, expression: &str) -> String {
        let sort = match self.sort {
            Sort::Ascending => "",
            Sort::Descending => " desc",
        };
        let nulls = match self.nulls {
            Nulls::Never => "",
            Nulls::First => " nulls first",
            Nulls::Last => " nulls last",
        };
        format!("{expression}{sort}{nulls}")
    }
}

/// Something that a request can filter by.
#[derive(Debug)]
pub struct Filter {
    /// The name of its field in the List request.
    pub name: &'static str,
    /// What it tests.
    pub test: Test,
}

/// What a filter tests. A column may be any expression.
#[derive(Debug)]
pub enum Test {
    /// The column equals the value.
    Equal(&'static str),
    /// The column equals one of the values of an array, of which there are at most [`MAX_VALUES`](crate::MAX_VALUES).
    AnyOf(&'static str),
    /// The text column begins with the value. The column has the collation `"C"`.
    Prefix(&'static str),
    /// The column is the value or greater.
    AtLeast(&'static str),
    /// The column is less than the value.
    LessThan(&'static str),
    /// Any condition, in which the filter's name in braces stands for the value. It is never served by an index.
    Condition(&'static str),
}

impl Filter {
    /// Rows whose column equals the value.
    pub const fn equal(name: &'static str, column: &'static str) -> Self {
        Self { name, test: Test::Equal(column) }
    }

    /// Rows whose column equals one of the values.
    pub const fn any_of(name: &'static str, column: &'static str) -> Self {
        Self { name, test: Test::AnyOf(column) }
    }

    /// Rows whose text column begins with the value.
    pub const fn prefix(name: &'static str, column: &'static str) -> Self {
        Self { name, test: Test::Prefix(column) }
    }

    /// Rows whose column is the value or greater.
    pub const fn at_least(name: &'static str, column: &'static str) -> Self {
        Self { name, test: Test::AtLeast(column) }
    }

    /// Rows whose column is less than the value.
    pub const fn less_than(name: &'static str, column: &'static str) -> Self {
        Self { name, test: Test::LessThan(column) }
    }

    /// Rows of which the condition is true; `{name}` in it stands for the value.
    pub const fn condition(name: &'static str, condition: &'static str) -> Self {
        Self { name, test: Test::Condition(condition) }
    }

    /// Whether the value is an array.
    pub(crate) fn takes_set(&self) -> bool {
        matches!(self.test, Test::AnyOf(_))
    }

    /// The column of which this filter fixes the value, if that is what it does.
    pub(crate) fn equal_column(&self) -> Option<&'static str> {
        match self.test {
            Test::Equal(column) | Test::AnyOf(column) => Some(column),
            Test::Prefix(_) | Test::AtLeast(_) | Test::LessThan(_) | Test::Condition(_) => None,
        }
    }

    /// The column whose values this filter bounds, if that is what it does.
    pub(crate) fn bounded_column(&self) -> Option<&'static str> {
        match self.test {
            Test::Prefix(column) | Test::AtLeast(column) | Test::LessThan(column) => Some(column),
            Test::Equal(_) | Test::AnyOf(_) | Test::Condition(_) => None,
        }
    }
}

impl List {
    /// Begins the query for one page: what the request says of the page, and its `order_by`.
    pub fn page(&self, request: Option<PageRequest>, order_by: &str) -> Query<'_> {
        Query::new(self, request.unwrap_or_default(), order_by)
    }
}
