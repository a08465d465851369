use std::{fmt::Display, ops::RangeInclusive};

use pagination::{FieldViolation, InvalidArgument};
use uuid::{Uuid, fmt::Hyphenated};

use crate::Error;

/// Gathers everything that is wrong with a request, so that one answer names all of it.
#[derive(Debug, Default)]
pub struct Violations(Vec<FieldViolation>);

impl Violations {
    /// Says that `field` must be as `description` says. Neither repeats what the caller sent, which may be long.
    pub fn add(&mut self, field: impl Display, description: impl Into<String>) {
        self.0.push(FieldViolation::new(field.to_string(), description));
    }

    /// Requires a text to have so many bytes and no NUL, which Postgres cannot keep.
    pub fn text(&mut self, field: impl Display, text: &str, bytes: RangeInclusive<usize>) {
        if !bytes.contains(&text.len()) {
            let (least, most) = (bytes.start(), bytes.end());
            self.add(&field, format!("must have {least} to {most} bytes; it has {}", text.len()));
        }
        if text.contains('\0') {
            self.add(&field, "must not contain NUL");
        }
    }

    /// Requires a text to be a UUID with hyphens. The id is nil when it is not one.
    pub fn id(&mut self, field: impl Display, text: &str) -> Uuid {
        text.parse::<Hyphenated>().map(Uuid::from).unwrap_or_else(|_: uuid::Error| {
            self.add(field, "must be a UUID, as in 01934f6e-8a3b-7c21-9d55-0242ac120002");
            Uuid::nil()
        })
    }

    /// Requires a number to be so much or more.
    pub fn at_least(&mut self, field: impl Display, number: i32, least: i32) {
        if number < least {
            self.add(field, format!("must be at least {least}"));
        }
    }

    /// Nothing when all is well.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] with all that was found.
    pub fn check(self) -> Result<(), Error> {
        if self.0.is_empty() { Ok(()) } else { Err(InvalidArgument::Fields(self.0).into()) }
    }
}
