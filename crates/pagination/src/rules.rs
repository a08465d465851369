/// The page sizes of a list, and what its requests call the fields of a page.
///
/// A service whose requests have a `PageRequest page` uses [`PageRules::DEFAULT`]. Other services name their own:
///
/// ```
/// use pagination::{PageFields, PageRules};
///
/// const BOOKS: PageRules = PageRules {
///     default_size: 25,
///     max_size: 100,
///     fields: PageFields { page_size: "page_size", page_token: "page_token", ..PageFields::DEFAULT },
/// };
/// const _: () = assert!(BOOKS.check().is_ok());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageRules {
    /// The number of rows on a page if the request names none: 1 to [`max_size`](Self::max_size).
    pub default_size: u32,
    /// The maximum number of rows on a page: at most [`PageRules::MAX_SIZE`]. A larger page size is reduced to it.
    pub max_size: u32,
    /// The names of the fields.
    pub fields: PageFields,
}

/// What the errors of a list's requests call the fields of a page: each is the path of the field in the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageFields {
    /// The page size, as in `page_size` or `limit`.
    pub page_size: &'static str,
    /// The page token, as in `page_token` or `cursor`.
    pub page_token: &'static str,
    /// The kind of total.
    pub total_count: &'static str,
    /// The number of rows to skip.
    pub skip: &'static str,
}

impl PageRules {
    /// The highest [`max_size`](Self::max_size).
    pub const MAX_SIZE: u32 = 1_000;

    /// The rules of `pagination.v1`: pages of 50 rows by default and of at most 200, and [`PageFields::DEFAULT`].
    pub const DEFAULT: Self = Self { default_size: 50, max_size: 200, fields: PageFields::DEFAULT };

    /// Checks the page sizes. A `const` or a test can call it, and `keyset` does when it opens a list.
    ///
    /// # Errors
    ///
    /// What is wrong: a sentence without a full stop.
    pub const fn check(&self) -> Result<(), &'static str> {
        if self.default_size == 0 {
            Err("the default page size must be at least 1")
        } else if self.default_size > self.max_size {
            Err("the default page size must not be larger than the maximum page size")
        } else if self.max_size > Self::MAX_SIZE {
            Err("the maximum page size must be at most 1000")
        } else {
            Ok(())
        }
    }
}

impl PageFields {
    /// The fields of a request with a `PageRequest page`: `page.page_size`, `page.page_token`, `page.total_count` and
    /// `page.skip`.
    pub const DEFAULT: Self = Self {
        page_size: "page.page_size",
        page_token: "page.page_token",
        total_count: "page.total_count",
        skip: "page.skip",
    };
}
