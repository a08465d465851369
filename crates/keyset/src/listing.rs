use pagination::{PageRules, proto::PageRequest};

use crate::{Counter, List, Query};

/// The marker in `from` that the conditions of the scope and the filters replace.
pub(crate) const WHERE: &str = "{where}";

/// A list as its author declares it: where its rows are, and how requests can filter and order them.
///
/// It is written once, as a `static`. All of its text is SQL, and none of it comes from a request. Open it with
/// [`Paging::open`](crate::Paging::open), which checks it against the database's catalogue.
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
#[derive(Debug, Clone, Copy)]
pub struct Listing {
    /// The list's name in page tokens and logs. It must be unique and must not change: tokens of a renamed list are
    /// refused.
    pub name: &'static str,
    /// The name of a table, or a query in parentheses with an alias.
    ///
    /// In a query, `{where}` marks where the conditions of the scope and of all filters go, if they belong inside the
    /// query: before a GROUP BY, for example. `{name}` stands for the value of a parameter. The catalogue check cannot
    /// prove that the keys of a query are unique and never null. The author has to make sure of it, and the conformance
    /// kit tests it with walks.
    pub from: &'static str,
    /// The full name of the message of its rows, such as `"books.v1.Book"`. Empty for a list that is read only by
    /// [`Query::fetch_rows`].
    pub message: &'static str,
    /// The columns of a row, as written after SELECT. Each fills the field of the same name. A column may be any
    /// expression with an alias; `operation_type as "operation.type"` fills a field of a nested message.
    ///
    /// | column | field |
    /// | --- | --- |
    /// | text, varchar, char, name, citext, an enum | string; or an enum, by the name of its value in lower case without the enum's prefix. An unknown name becomes the value 0 |
    /// | uuid, numeric | string. A numeric has no trailing zeros in its fraction, or is `NaN`, `Infinity` or `-Infinity` |
    /// | int2, int4 | int32, int64 and all other integer types. An unsigned field accepts no negative value |
    /// | int8 | int64 and all other integer types of eight bytes |
    /// | float4 | float, double |
    /// | float8 | double |
    /// | bool, bytea | bool, bytes |
    /// | timestamptz | `google.protobuf.Timestamp`: years 1 to 9999 |
    /// | interval | `google.protobuf.Duration`: a day has 24 hours, and months are not allowed |
    /// | an array of any of these | repeated. The array has one dimension and no nulls |
    /// | json, jsonb | a map from string to string, bool, int64 or double |
    ///
    /// A null leaves its field absent, or at the type's default if the field cannot be absent. A nested message is
    /// absent if all its columns are null. A value that does not fit its field, such as an infinite time, a null in an
    /// array or a JSON value of another type, makes every page that contains it fail with INTERNAL. Use a CHECK to keep
    /// such values out.
    pub columns: &'static str,
    /// Fields that no column fills, such as `"price"` or `"operation.data"`.
    pub unfilled: &'static [&'static str],
    /// Nested messages that are present even if all their columns are null.
    pub always_there: &'static [&'static str],
    /// A condition that every row of the list meets, such as `"delete_time is null"`. A partial index serves the list if the
    /// condition implies that of the index.
    pub condition: Option<&'static str>,
    /// Columns that every query fixes to a value given by [`Query::scope`], such as the id of the tenant or of the
    /// parent. Every index of the list begins with them.
    pub scope: &'static [&'static str],
    /// What fixes the columns of the scope.
    pub scope_by: ScopeBy,
    /// The names of the values that `from` contains in braces, given by [`Query::parameter`].
    pub parameters: &'static [&'static str],
    /// The filters that a request can use.
    pub filters: &'static [Filter],
    /// The orders that a request can choose. The first is the default.
    pub orders: &'static [Order],
    /// Tables that exact totals are read from, instead of counting rows. A total is read from the first one that has a
    /// column for every filter of the request, so put those with the fewest rows first. Only for a list that is `from`
    /// a table. [`Counter`] describes the table and how to write to it.
    pub counters: &'static [Counter],
    /// The size of a row in bytes as an SQL expression, such as `"octet_length(content)"`. Needed if the rows of a page
    /// can exceed [`MAX_PAGE_BYTES`](crate::MAX_PAGE_BYTES) together. Such a page ends early.
    pub weight: Option<&'static str>,
    /// What a page does with a row that no message can carry.
    pub unfit_rows: UnfitRows,
    /// The default and the largest page size, and the names of the paging fields in errors.
    pub page: PageRules,
    /// The most index entries that a page examines when a filter has no index: 1 to 100,000. Default 2,000. The page
    /// may then be short, and its token continues after the last row examined.
    pub examined_rows: u32,
}

impl Listing {
    /// Defaults for the fields that a declaration leaves out. The list itself is empty.
    pub const DEFAULT: Self = Self {
        name: "",
        from: "",
        message: "",
        columns: "",
        unfilled: &[],
        always_there: &[],
        condition: None,
        scope: &[],
        scope_by: ScopeBy::Condition,
        parameters: &[],
        filters: &[],
        orders: &[],
        counters: &[],
        weight: None,
        unfit_rows: UnfitRows::Error,
        page: PageRules::DEFAULT,
        examined_rows: 2_000,
    };

    /// The filter with this name.
    pub(crate) fn filter(&self, name: &str) -> Option<&Filter> {
        self.filters.iter().find(|filter| filter.name == name)
    }

    /// The columns of the scope that the statements have conditions for.
    pub(crate) fn conditioned_scope(&self) -> &'static [&'static str] {
        match self.scope_by {
            ScopeBy::Condition => self.scope,
            ScopeBy::Policy => &[],
        }
    }

    /// Whether `from` says where the conditions of the scope and the filters go.
    pub(crate) fn places_conditions(&self) -> bool {
        self.from.contains(WHERE)
    }

    /// Whether `from` is the name of a table, so that the catalogue can be checked.
    pub(crate) fn is_table(&self) -> bool {
        !self.from.starts_with('(')
    }
}

/// What fixes the columns of a list's scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScopeBy {
    /// A condition of each statement.
    Condition,
    /// A policy of [row-level security](https://www.postgresql.org/docs/current/ddl-rowsecurity.html). The statements have
    /// no condition, and the value that [`Query::scope`] gives is only part of the page token. Run each page in a
    /// transaction that begins with `set local`, by [`Query::on`], and open the list with
    /// [`Paging::open_on`](crate::Paging::open_on).
    ///
    /// Postgres tests a condition before the policy, and so by an index, only if its operators are `leakproof`. Measured on
    /// Postgres 15 with the policy `tenant = current_setting('app.tenant')`: a page reads a page if its keys are integers,
    /// floats, text, varchar, char, bytea, bool, uuid, inet, dates, times or intervals. With a numeric, an enum, citext, an
    /// array or jsonb among the keys, it reads all rows of the tenant before its position: 19,000 for 21, in 4 ms. Opening
    /// such a list fails if it is opened with the role of the service. A filter of such a type, or with an operator such as
    /// `@>`, is tested row by row, even if an index would serve it without the policy.
    Policy,
}

/// What a page does with a row that no message can carry: one whose message is larger than
/// [`MAX_ROW_BYTES`](crate::MAX_ROW_BYTES), or that has a value that does not fit its field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnfitRows {
    /// The page ends before the row, and the page that begins with it fails with [`Error::Row`](crate::Error::Row), which
    /// names the row by its keys and has the page token to continue behind it.
    Error,
    /// In place of the row is a message that has only the fields of its keys.
    Placeholder,
}

/// One order of a list.
#[derive(Debug, Clone, Copy)]
pub struct Order {
    /// Its name in `order_by`, in the notation of AIP-132: `"create_time desc"`.
    pub name: &'static str,
    /// One to four keys that together are unique within the scope: end with the primary key. If keys differ in
    /// direction or may be null, one branch of the seek fixes the first key to the token's value. Set the column of
    /// that key to have many distinct values, as described for [`Order::indexed`].
    pub keys: &'static [Key],
    /// For each index that serves this order under filters, the names of those filters. An index on
    /// `(scope…, columns of the filters…, keys…)` must exist for each entry, and each of these columns must be set to
    /// have many distinct values: `alter table books alter column shelf set (n_distinct = 1000)`.
    ///
    /// Postgres rates an index by the values that it has seen in the table. While it has seen only one value of the
    /// column, it rates the index of the keys alone as equally good. For another value, that index reads and discards
    /// every row.
    ///
    /// Filters of a request that no entry covers are tested row by row, over at most [`Listing::examined_rows`]. The
    /// order's own index always serves prefixes and bounds of the first key's column; they are not named here.
    pub indexed: &'static [&'static [&'static str]],
}

/// One key of an order: an expression and how its values are sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// A column or another expression. The index, ORDER BY and the seek use the same one.
    pub expression: &'static str,
    /// Ascending or descending.
    pub sort: Sort,
    /// Where its nulls sort.
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

/// Where the nulls of a key sort.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nulls {
    /// The key is never null.
    Never,
    /// Before every value.
    First,
    /// After every value.
    Last,
}

/// The orders by each of some columns, ascending and descending, for a list that can be sorted by many: `"title"` and
/// `"title desc"`. The primary key ends each order, in the same direction, so that one index serves both. Each order is
/// checked for its index like any other.
///
/// ```
/// use keyset::{Order, asc, orders};
///
/// static ORDERS: &[Order] = orders!["id"; "title", "price", "print_time"];
/// assert_eq!(ORDERS[3].name, "price desc");
/// ```
#[macro_export]
macro_rules! orders {
    [$id:literal; $($column:literal),+ $(,)?] => {
        const { &[$(
            $crate::Order { name: $column, keys: &[$crate::asc($column), $crate::asc($id)], indexed: &[] },
            $crate::Order { name: concat!($column, " desc"), keys: &[$crate::desc($column), $crate::desc($id)], indexed: &[] },
        )+] }
    };
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
    /// The key, with nulls before every value.
    pub const fn nulls_first(self) -> Self {
        Self { nulls: Nulls::First, ..self }
    }

    /// The key, with nulls after every value.
    pub const fn nulls_last(self) -> Self {
        Self { nulls: Nulls::Last, ..self }
    }

    /// The key in the reverse order of the list.
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

    /// `expression` with the sort of this key, as written after ORDER BY. For a key that is never null, the text does
    /// not say where nulls sort, so that an index with either placement serves it.
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

/// A filter of a list.
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
    /// The column equals one of the values of an array. The array has at most [`MAX_VALUES`](crate::MAX_VALUES) values.
    AnyOf(&'static str),
    /// The text column begins with the value. The column must have the collation `"C"`.
    Prefix(&'static str),
    /// The column is greater than or equal to the value.
    AtLeast(&'static str),
    /// The column is less than the value.
    LessThan(&'static str),
    /// Any condition, in which the filter's name in braces stands for the value. It is tested row by row.
    Condition(&'static str),
    /// A condition that an index of its own serves: see [`Filter::search`].
    Search(&'static str),
}

impl Test {
    /// What it does, and with which column or condition.
    pub(crate) fn parts(&self) -> (&'static str, &'static str) {
        match self {
            Self::Equal(column) => ("equal", column),
            Self::AnyOf(column) => ("any of", column),
            Self::Prefix(column) => ("prefix", column),
            Self::AtLeast(column) => ("at least", column),
            Self::LessThan(column) => ("less than", column),
            Self::Condition(condition) => ("condition", condition),
            Self::Search(condition) => ("search", condition),
        }
    }
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

    /// Rows whose column is greater than or equal to the value.
    pub const fn at_least(name: &'static str, column: &'static str) -> Self {
        Self { name, test: Test::AtLeast(column) }
    }

    /// Rows whose column is less than the value.
    pub const fn less_than(name: &'static str, column: &'static str) -> Self {
        Self { name, test: Test::LessThan(column) }
    }

    /// Rows for which the condition is true; `{name}` in it stands for the value.
    pub const fn condition(name: &'static str, condition: &'static str) -> Self {
        Self { name, test: Test::Condition(condition) }
    }

    /// Rows for which the condition is true; `{name}` in it stands for the value. An index of the condition's own finds
    /// them, in any order: a GIN index for `"tags @> array[{tag}]"` or for words, a B-tree for each side of
    /// `"author = {person} or editor = {person}"`.
    ///
    /// A page first tests rows one by one in the order of the list, as for [`Filter::condition`]. If that does not fill it,
    /// few rows match: the index finds them, and they are sorted, if there are at most [`Listing::examined_rows`]. So a page
    /// takes a few milliseconds whether all rows match or one in a million. Only for a list that is `from` a table. Opening
    /// the list checks that an index serves the condition.
    pub const fn search(name: &'static str, condition: &'static str) -> Self {
        Self { name, test: Test::Search(condition) }
    }

    /// The text that stands for the value in the condition.
    pub(crate) fn marker(&self) -> String {
        format!("{{{}}}", self.name)
    }

    /// Whether the value is an array.
    pub(crate) fn takes_set(&self) -> bool {
        matches!(self.test, Test::AnyOf(_))
    }

    /// The column that this filter fixes to a value, if it tests equality.
    pub(crate) fn equal_column(&self) -> Option<&'static str> {
        match self.test {
            Test::Equal(column) | Test::AnyOf(column) => Some(column),
            Test::Prefix(_) | Test::AtLeast(_) | Test::LessThan(_) | Test::Condition(_) | Test::Search(_) => None,
        }
    }

    /// The column that this filter bounds, if it tests a range.
    pub(crate) fn bounded_column(&self) -> Option<&'static str> {
        match self.test {
            Test::Prefix(column) | Test::AtLeast(column) | Test::LessThan(column) => Some(column),
            Test::Equal(_) | Test::AnyOf(_) | Test::Condition(_) | Test::Search(_) => None,
        }
    }
}

impl List {
    /// Begins the query for one page, from the request's `page` and `order_by`.
    pub fn page(&self, request: Option<PageRequest>, order_by: &str) -> Query<'_> {
        Query::new(self, request.unwrap_or_default(), order_by)
    }
}
