use crate::{
    FieldViolation, InvalidArgument,
    proto::{PageRequest, TotalCount},
};

/// The default page size.
pub const DEFAULT_PAGE_SIZE: u32 = 50;
/// The maximum page size. A larger size is reduced to it.
pub const MAX_PAGE_SIZE: u32 = 200;
/// The maximum number of rows that a request can skip.
pub const MAX_SKIP: u32 = 10_000;

/// A [`PageRequest`] with the contract's defaults and limits applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageParameters {
    /// The maximum number of rows on the page: 1 to [`MAX_PAGE_SIZE`].
    pub size: u32,
    /// The page token of the request; empty for the first page.
    pub token: String,
    /// Which total to return.
    pub total_count: TotalCount,
    /// How many rows to skip: 0 to [`MAX_SKIP`].
    pub skip: u32,
}

impl TryFrom<PageRequest> for PageParameters {
    type Error = InvalidArgument;

    /// Returns all violations of `page.page_size`, `page.total_count` and `page.skip` in one error.
    fn try_from(request: PageRequest) -> Result<Self, InvalidArgument> {
        let size = u32::try_from(request.page_size);
        let skip = u32::try_from(request.skip).ok().filter(|skip| *skip <= MAX_SKIP);
        let total_count = TotalCount::try_from(request.total_count);
        if let (Ok(size), Some(skip), Ok(total_count)) = (size, skip, total_count) {
            let size = if size == 0 { DEFAULT_PAGE_SIZE } else { size.min(MAX_PAGE_SIZE) };
            return Ok(Self { size, token: request.page_token, total_count, skip });
        }

        let mut violations = Vec::new();
        if size.is_err() {
            violations.push(FieldViolation::new("page.page_size", "must not be negative; 0 means 50"));
        }
        if total_count.is_err() {
            let names = (0..).map_while(|number| TotalCount::try_from(number).ok()).map(|value| value.as_str_name());
            let names = names.collect::<Vec<_>>().join(", ");
            violations.push(FieldViolation::new("page.total_count", format!("must be one of {names}")));
        }
        if skip.is_none() {
            let description = format!("must be 0 to {MAX_SKIP}; to go further, follow the page tokens");
            violations.push(FieldViolation::new("page.skip", description));
        }
        Err(InvalidArgument::Fields(violations))
    }
}
