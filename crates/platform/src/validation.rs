use std::{
    collections::{BTreeMap, HashSet},
    fmt::{Debug, Display},
    ops::RangeInclusive,
};

use keyset::MAX_PAGE_BYTES;
use pagination::{FieldViolation, InvalidArgument};
use prost::Message;
use prost_types::Timestamp;
use time::{Duration, OffsetDateTime};
use uuid::{Uuid, fmt::Hyphenated};

use crate::{Error, Field, Ids, Names, Platform, UNSPECIFIED, field::EnumNames, now};

/// The most rows that one call makes.
pub const MAX_BATCH: usize = 1_000;

const ETAG_BYTES: RangeInclusive<usize> = 0..=256;
pub(crate) const MAX_WORDS: usize = 32;
const WORD_BYTES: RangeInclusive<usize> = 1..=64;
const MAX_METADATA_ENTRIES: usize = 64;
const MAX_METADATA_BYTES: usize = 8 << 10;
const MAX_KEY_BYTES: usize = 64;
const MAX_VALUE_BYTES: usize = 1_024;
/// How far ahead of this server's clock another may be.
const MAX_AHEAD: Duration = Duration::hours(1);

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

    /// The id that a text is, or a new one if it is empty.
    pub fn id_or_new(&mut self, field: impl Display, text: &str, ids: &Ids) -> Uuid {
        if text.is_empty() { ids.next() } else { self.id(field, text) }
    }

    /// Requires an etag to compare with, which may be any text, to have at most 256 bytes.
    pub fn etag(&mut self, field: impl Display, text: &str) {
        self.text(field, text, ETAG_BYTES);
    }

    /// Requires a number to be that of a value that has a name. The name, if it is.
    pub fn one_of<E: Copy + Default + Into<i32> + Debug + Sync>(
        &mut self,
        field: impl Display,
        number: i32,
        names: &Names<E>,
    ) -> Option<&'static str> {
        let name = names.name(number);
        if name.is_none() {
            self.one_of_names(field, names);
        }
        name
    }

    pub(crate) fn one_of_names(&mut self, field: impl Display, names: &dyn EnumNames) {
        self.add(field, format!("must be one of {}", names.in_contract().join(", ")));
    }

    /// Reports what is wrong with the fields of a message. `path` is where the message stands in the request, with a dot
    /// behind it, as in `requests[3].agent.`; empty for the request itself.
    pub fn fields(&mut self, path: &str, fields: &[Field<'_>]) {
        fields.iter().for_each(|field| field.check(path, self));
    }

    pub(crate) fn integer(&mut self, field: impl Display, number: i64, range: &RangeInclusive<i64>) {
        if !range.contains(&number) {
            let (least, most) = (range.start(), range.end());
            let description = match *most {
                most if most == i64::from(i32::MAX) => format!("must be at least {least}"),
                most => format!("must be {least} to {most}"),
            };
            self.add(field, description);
        }
    }

    /// The same of a number that may be left out.
    pub fn one_of_if_given<E: Copy + Default + Into<i32> + Debug + Sync>(
        &mut self,
        field: impl Display,
        number: i32,
        names: &Names<E>,
    ) -> Option<&'static str> {
        if number == UNSPECIFIED { None } else { self.one_of(field, number, names) }
    }

    /// Requires a number to be so much or more.
    pub fn at_least(&mut self, field: impl Display, number: i32, least: i32) {
        if number < least {
            self.add(field, format!("must be at least {least}"));
        }
    }

    /// Requires words, such as tags, to be at most 32 of 1 to 64 bytes each, none of them twice.
    pub fn words(&mut self, field: impl Display, words: &[String]) {
        if words.len() > MAX_WORDS {
            self.add(field, format!("must be at most {MAX_WORDS}; there are {}", words.len()));
            return;
        }
        let mut seen = HashSet::new();
        for (place, word) in words.iter().enumerate() {
            self.text(format_args!("{field}[{place}]"), word, WORD_BYTES);
            if !seen.insert(word) {
                self.add(format_args!("{field}[{place}]"), "must not be given twice");
            }
        }
    }

    /// Requires metadata to have at most 64 entries, their keys 1 to 64 bytes, their values at most 1,024, and all of them
    /// together at most 8 KiB.
    pub fn metadata(&mut self, field: impl Display, metadata: &BTreeMap<String, String>) {
        if metadata.len() > MAX_METADATA_ENTRIES {
            self.add(field, format!("must have at most {MAX_METADATA_ENTRIES} entries; it has {}", metadata.len()));
            return;
        }
        let bytes: usize = metadata.iter().map(|(key, value)| key.len() + value.len()).sum();
        if bytes > MAX_METADATA_BYTES {
            self.add(&field, format!("must have at most {MAX_METADATA_BYTES} bytes in all; it has {bytes}"));
        }
        for (key, value) in metadata {
            if !(1..=MAX_KEY_BYTES).contains(&key.len()) {
                self.add(&field, format!("a key must have 1 to {MAX_KEY_BYTES} bytes; one has {}", key.len()));
            } else if value.len() > MAX_VALUE_BYTES {
                let description = format!("a value must have at most {MAX_VALUE_BYTES} bytes; one has {}", value.len());
                self.add(&field, description);
            }
            if key.contains('\0') || value.contains('\0') {
                self.add(&field, "must not contain NUL");
            }
        }
    }

    /// Requires a time to be one of the years 1 to 9999, and cuts what is finer than a microsecond. It is the epoch when it
    /// is not one.
    pub fn time(&mut self, field: impl Display, Timestamp { seconds, nanos }: Timestamp) -> OffsetDateTime {
        let time = OffsetDateTime::from_unix_timestamp(seconds).ok().filter(|time| (1..=9999).contains(&time.year()));
        let time = time.filter(|_| (0..1_000_000_000).contains(&nanos));
        let Some(time) = time else {
            self.add(field, "must be a time of the years 1 to 9999");
            return OffsetDateTime::UNIX_EPOCH;
        };
        time + Duration::microseconds(i64::from(nanos / 1_000))
    }

    /// Requires the time that something occurred at to be no more than an hour ahead of `now`, since clocks differ. Left
    /// out, it is now.
    pub fn occur_time(&mut self, field: impl Display, time: Option<Timestamp>, now: OffsetDateTime) -> OffsetDateTime {
        let Some(time) = time else { return now };
        let time = self.time(&field, time);
        if time > now + MAX_AHEAD {
            self.add(field, "must be at most an hour in the future");
        }
        time
    }

    /// Requires a time range not to end before it begins: for each of its ends the field, and the time if it is given.
    pub fn time_range(
        &mut self,
        (start_field, start): (&str, Option<Timestamp>),
        (end_field, end): (&str, Option<Timestamp>),
    ) -> TimeRange {
        let range = TimeRange {
            start: start.map(|time| self.time(start_field, time)),
            end: end.map(|time| self.time(end_field, time)),
        };
        if range.start.zip(range.end).is_some_and(|(start, end)| end < start) {
            self.add(end_field, format!("must not be before {start_field}"));
        }
        range
    }

    /// Requires the requests of a batch to give different values for a field. Empty values are not compared.
    fn unique(&mut self, batch: &str, field: &str, values: impl Iterator<Item = Option<String>>) {
        let mut seen = HashSet::new();
        for (place, value) in values.enumerate() {
            if value.is_some_and(|value| !value.is_empty() && !seen.insert(value)) {
                let field = format_args!("{batch}[{place}].{field}");
                self.add(field, "must not be that of another request of the batch");
            }
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

/// A range of time, from its start on and before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeRange {
    /// Where it begins.
    pub start: Option<OffsetDateTime>,
    /// Where it ends.
    pub end: Option<OffsetDateTime>,
}

/// The id that a field names.
///
/// # Errors
///
/// [`Error::InvalidArgument`] when it is not a UUID.
pub fn parse_id(field: &str, text: &str) -> Result<Uuid, Error> {
    let mut violations = Violations::default();
    let id = violations.id(field, text);
    violations.check()?;
    Ok(id)
}

/// Reads one request into a row. `read` reports what is wrong, and takes the path of the request with a dot behind it, which
/// is empty here.
///
/// # Errors
///
/// [`Error::InvalidArgument`] with all that `read` reports.
pub fn read_one<Q, N>(
    platform: &Platform,
    request: Q,
    read: impl FnOnce(&mut Violations, String, Q, &Ids, OffsetDateTime) -> N,
) -> Result<N, Error> {
    let mut violations = Violations::default();
    let new = read(&mut violations, String::new(), request, &platform.ids, now(&platform.clock));
    violations.check()?;
    Ok(new)
}

/// The path of a field in the requests of a batch, and its value in one of them. Values are compared as they are.
pub type UniqueField<Q> = (&'static str, fn(&Q) -> Option<String>);

/// Reads the requests of a batch, 1 to [`MAX_BATCH`] of them, as [`read_one`] reads one. `field` is the repeated field that
/// holds them. No two may have the same value for one of the `unique` fields.
///
/// # Errors
///
/// [`Error::InvalidArgument`] with all that is wrong with any of them.
pub fn read_batch<Q, N>(
    platform: &Platform,
    field: &str,
    requests: Vec<Q>,
    unique: &[UniqueField<Q>],
    read: impl Fn(&mut Violations, String, Q, &Ids, OffsetDateTime) -> N,
) -> Result<Vec<N>, Error> {
    if !(1..=MAX_BATCH).contains(&requests.len()) {
        let description = format!("must be 1 to {MAX_BATCH}; there are {}", requests.len());
        return Err(InvalidArgument::field(field, description).into());
    }
    let mut violations = Violations::default();
    for (name, value) in unique {
        violations.unique(field, name, requests.iter().map(value));
    }
    let time = now(&platform.clock);
    let requests = requests.into_iter().enumerate();
    let new = requests
        .map(|(place, request)| read(&mut violations, format!("{field}[{place}]."), request, &platform.ids, time))
        .collect();
    violations.check()?;
    Ok(new)
}

/// Requires what a batch makes, and is answered with, to have no more bytes than a page: every client can read it.
///
/// # Errors
///
/// [`Error::InvalidArgument`] when it has more.
pub fn check_batch_bytes<M: Message>(what: &str, made: impl Iterator<Item = M>) -> Result<(), Error> {
    let bytes: usize = made.map(|made| made.encoded_len()).sum();
    if bytes <= MAX_PAGE_BYTES as usize {
        return Ok(());
    }
    Err(InvalidArgument::field("requests", format!("{what} must have at most {MAX_PAGE_BYTES} bytes in all")).into())
}
