use crate::{
    FieldViolation, InvalidArgument, PageRules,
    proto::{PageRequest, TotalCount},
};

/// The maximum number of rows that a request can skip.
pub const MAX_SKIP: u32 = 10_000;

/// A [`PageRequest`] with the defaults and limits of a list applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageParameters {
    /// The maximum number of rows on the page: 1 to [`PageRules::max_size`].
    pub size: u32,
    /// The page token of the request; empty for the first page.
    pub token: String,
    /// Which total to return.
    pub total_count: TotalCount,
    /// How many rows to skip: 0 to [`MAX_SKIP`].
    pub skip: u32,
}

impl PageParameters {
    /// Applies the rules of a list to a request. The rules must pass their [`check`](PageRules::check).
    ///
    /// # Errors
    ///
    /// All violations of the page size, the kind of total and the number of rows to skip, in one error.
    pub fn new(request: PageRequest, rules: &PageRules) -> Result<Self, InvalidArgument> {
        let PageRules { default_size, max_size, fields } = *rules;
        let size = u32::try_from(request.page_size);
        let skip = u32::try_from(request.skip).ok().filter(|skip| *skip <= MAX_SKIP);
        let total_count = TotalCount::try_from(request.total_count);
        if let (Ok(size), Some(skip), Ok(total_count)) = (size, skip, total_count) {
            let size = if size == 0 { default_size } else { size.min(max_size) };
            return Ok(Self { size, token: request.page_token, total_count, skip });
        }

        let mut violations = Vec::new();
        if size.is_err() {
            let description = format!("must not be negative; 0 means {default_size}");
            violations.push(FieldViolation::new(fields.page_size, description));
        }
        if total_count.is_err() {
            let names = (0..).map_while(|number| TotalCount::try_from(number).ok()).map(|value| value.as_str_name());
            let names = names.collect::<Vec<_>>().join(", ");
            violations.push(FieldViolation::new(fields.total_count, format!("must be one of {names}")));
        }
        if skip.is_none() {
            let description = format!("must be 0 to {MAX_SKIP}; to go further, follow the page tokens");
            violations.push(FieldViolation::new(fields.skip, description));
        }
        Err(InvalidArgument::Fields(violations))
    }
}
