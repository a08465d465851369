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

/// The maximum number of rows that one call creates.
pub const MAX_BATCH: usize = 1_000;

const ETAG_BYTES: RangeInclusive<usize> = 0..=256;
pub(crate) const MAX_WORDS: usize = 32;
const WORD_BYTES: RangeInclusive<usize> = 1..=64;
const MAX_METADATA_ENTRIES: usize = 64;
const MAX_METADATA_BYTES: usize = 8 << 10;
const MAX_KEY_BYTES: usize = 64;
const MAX_VALUE_BYTES: usize = 1_024;
/// How far a client's clock may be ahead of this server's.
const MAX_AHEAD: Duration = Duration::hours(1);

/// Collects everything that is wrong with a request, so that one answer reports all of it.
#[derive(Debug, Default)]
pub struct Violations(Vec<FieldViolation>);

impl Violations {
    /// Reports a violation: what `field` must be. Neither argument repeats the value that the caller sent, because it
    /// can be long.
    pub fn add(&mut self, field: impl Display, description: impl Into<String>) {
        self.0.push(FieldViolation::new(field.to_string(), description));
    }

    /// Requires a text to have its length in bytes in this range, and no NUL, which Postgres cannot store.
    pub fn text(&mut self, field: impl Display, text: &str, bytes: RangeInclusive<usize>) {
        if !bytes.contains(&text.len()) {
            let (least, most) = (bytes.start(), bytes.end());
            self.add(&field, format!("must have {least} to {most} bytes; it has {}", text.len()));
        }
        if text.contains('\0') {
            self.add(&field, "must not contain NUL");
        }
    }

    /// Requires a text to be a UUID with hyphens. Returns the nil UUID if it is not.
    pub fn id(&mut self, field: impl Display, text: &str) -> Uuid {
        text.parse::<Hyphenated>().map(Uuid::from).unwrap_or_else(|_: uuid::Error| {
            self.add(field, "must be a UUID, as in 01934f6e-8a3b-7c21-9d55-0242ac120002");
            Uuid::nil()
        })
    }

    /// Parses a text as an id, or creates an id if the text is empty.
    pub fn id_or_new(&mut self, field: impl Display, text: &str, ids: &Ids) -> Uuid {
        if text.is_empty() { ids.next() } else { self.id(field, text) }
    }

    /// Requires the etag of a request to have at most 256 bytes. It can be any text.
    pub fn etag(&mut self, field: impl Display, text: &str) {
        self.text(field, text, ETAG_BYTES);
    }

    /// Requires a number to be that of a named enum value. Returns the name.
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

    /// Reports what is wrong with the fields of a message. `path` is the message's path in the request with a trailing
    /// dot, as in `requests[3].agent.`; empty for the request itself.
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

    /// Like [`one_of`](Self::one_of), for a number that can be omitted.
    pub fn one_of_if_given<E: Copy + Default + Into<i32> + Debug + Sync>(
        &mut self,
        field: impl Display,
        number: i32,
        names: &Names<E>,
    ) -> Option<&'static str> {
        if number == UNSPECIFIED { None } else { self.one_of(field, number, names) }
    }

    /// Requires a number to be at least `least`.
    pub fn at_least(&mut self, field: impl Display, number: i32, least: i32) {
        if number < least {
            self.add(field, format!("must be at least {least}"));
        }
    }

    /// Requires at most 32 words, such as tags, of 1 to 64 bytes each, without duplicates.
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

    /// Requires metadata to have at most 64 entries, with keys of 1 to 64 bytes, values of at most 1,024 bytes, and at
    /// most 8 KiB in total.
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

    /// Requires a time to be in the years 1 to 9999, and truncates it to microseconds. Returns the Unix epoch if it is
    /// invalid.
    pub fn time(&mut self, field: impl Display, Timestamp { seconds, nanos }: Timestamp) -> OffsetDateTime {
        let time = OffsetDateTime::from_unix_timestamp(seconds).ok().filter(|time| (1..=9999).contains(&time.year()));
        let time = time.filter(|_| (0..1_000_000_000).contains(&nanos));
        let Some(time) = time else {
            self.add(field, "must be a time in the years 1 to 9999");
            return OffsetDateTime::UNIX_EPOCH;
        };
        time + Duration::microseconds(i64::from(nanos / 1_000))
    }

    /// Requires the time of an event to be at most an hour after `now`, because clocks differ. Returns `now` if the
    /// time is omitted.
    pub fn occur_time(&mut self, field: impl Display, time: Option<Timestamp>, now: OffsetDateTime) -> OffsetDateTime {
        let Some(time) = time else { return now };
        let time = self.time(&field, time);
        if time > now + MAX_AHEAD {
            self.add(field, "must be at most an hour in the future");
        }
        time
    }

    /// Requires a time range not to end before it starts. Each argument is the field of an end, and its time if given.
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

    /// Requires the requests of a batch to have different values in a field. Empty values are ignored.
    fn unique(&mut self, batch: &str, field: &str, values: impl Iterator<Item = Option<String>>) {
        let mut seen = HashSet::new();
        for (place, value) in values.enumerate() {
            if value.is_some_and(|value| !value.is_empty() && !seen.insert(value)) {
                let field = format_args!("{batch}[{place}].{field}");
                self.add(field, "must not be repeated in the batch");
            }
        }
    }

    /// Succeeds if nothing was reported.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] with all violations.
    pub fn check(self) -> Result<(), Error> {
        if self.0.is_empty() { Ok(()) } else { Err(InvalidArgument::Fields(self.0).into()) }
    }
}

/// A half-open time range: the start is included, the end is excluded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeRange {
    /// The start; `None` if it is open.
    pub start: Option<OffsetDateTime>,
    /// The end; `None` if it is open.
    pub end: Option<OffsetDateTime>,
}

/// Parses the id in a field.
///
/// # Errors
///
/// [`Error::InvalidArgument`] when the text is not a UUID.
pub fn parse_id(field: &str, text: &str) -> Result<Uuid, Error> {
    let mut violations = Violations::default();
    let id = violations.id(field, text);
    violations.check()?;
    Ok(id)
}

/// Converts one request to a row. `read` reports what is wrong; its path argument, which prefixes the names of fields,
/// is empty.
///
/// # Errors
///
/// [`Error::InvalidArgument`] with everything that `read` reports.
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

/// A field that is unique in a batch: its path in a request, and a function that returns its value. Values are compared
/// byte by byte.
pub type UniqueField<Q> = (&'static str, fn(&Q) -> Option<String>);

/// Converts the requests of a batch, 1 to [`MAX_BATCH`] of them, to rows. `field` is the repeated field that contains
/// the requests; the path argument of `read` is as in `requests[3].`. The values of each `unique` field must differ,
/// unless the batch `may_repeat` them.
///
/// # Errors
///
/// [`Error::InvalidArgument`] with everything that is wrong with any request.
pub fn read_batch<Q, N>(
    platform: &Platform,
    field: &str,
    requests: Vec<Q>,
    may_repeat: bool,
    unique: &[UniqueField<Q>],
    read: impl Fn(&mut Violations, String, Q, &Ids, OffsetDateTime) -> N,
) -> Result<Vec<N>, Error> {
    if !(1..=MAX_BATCH).contains(&requests.len()) {
        let description = format!("must be 1 to {MAX_BATCH}; there are {}", requests.len());
        return Err(InvalidArgument::field(field, description).into());
    }
    let mut violations = Violations::default();
    for (name, value) in unique.iter().filter(|_| !may_repeat) {
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

/// Requires the answer to a batch to be no larger than a page, so that every client can read it.
///
/// # Errors
///
/// [`Error::InvalidArgument`] when the answer is larger.
pub fn check_batch_bytes<M: Message>(what: &str, made: impl Iterator<Item = M>) -> Result<(), Error> {
    let bytes: usize = made.map(|made| made.encoded_len()).sum();
    if bytes <= MAX_PAGE_BYTES as usize {
        return Ok(());
    }
    Err(InvalidArgument::field("requests", format!("{what} must have at most {MAX_PAGE_BYTES} bytes in all")).into())
}
