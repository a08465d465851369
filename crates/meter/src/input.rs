//! Validates requests and converts them to rows.

use std::ops::RangeInclusive;

use platform::{Error, Ids, Platform, TimeRange, Violations, read_batch, timestamp};
use quire_proto::meter::v1::{ListUsageRequest, SummarizeUsageRequest, UsageRecord};
use rust_decimal::Decimal;
use time::OffsetDateTime;

use crate::lists::{
    DIMENSIONS,
    summaries::Dimensions,
    usage::{self, NewUsage},
};

/// The number of digits of a cost before the decimal point, and after it.
const WHOLE_DIGITS: RangeInclusive<usize> = 1..=9;
const FRACTION_DIGITS: RangeInclusive<usize> = 1..=12;

/// The records to insert. Several can have the same request_id.
pub(crate) fn new_usage(records: Vec<UsageRecord>, platform: &Platform) -> Result<Vec<NewUsage>, Error> {
    read_batch(platform, "records", records, true, &[], read)
}

/// The time range to filter by.
pub(crate) fn range(request: &ListUsageRequest) -> Result<TimeRange, Error> {
    let mut violations = Violations::default();
    let range = violations.time_range(("start_time", request.start_time), ("end_time", request.end_time));
    violations.check()?;
    Ok(range)
}

/// The dimensions to group by, the time range, and the other filters as a request of ListUsage.
pub(crate) fn summary(request: SummarizeUsageRequest) -> Result<(Dimensions, TimeRange, ListUsageRequest), Error> {
    let mut violations = Violations::default();
    let dimensions = read_dimensions(&mut violations, &request.group_by);
    for (field, time) in [("start_time", request.start_time), ("end_time", request.end_time)] {
        if time.is_none() {
            violations.add(field, "must be given");
        }
    }
    let range = violations.time_range(("start_time", request.start_time), ("end_time", request.end_time));
    violations.check()?;
    let usage = ListUsageRequest {
        page: request.page,
        order_by: request.order_by,
        agent_id: request.agent_id,
        team_id: request.team_id,
        model: request.model,
        event_type: request.event_type,
        provider: request.provider,
        start_time: request.start_time,
        end_time: request.end_time,
    };
    Ok((dimensions, range, usage))
}

fn read(
    violations: &mut Violations,
    path: String,
    record: UsageRecord,
    ids: &Ids,
    create_time: OffsetDateTime,
) -> NewUsage {
    violations.fields(&path, &usage::usage_fields(&record));
    let cost_usd = read_cost(violations, &path, &record.cost_usd);
    let occur_time = violations.occur_time(format_args!("{path}occur_time"), record.occur_time, create_time);
    let id = ids.next();
    let is_occur_time_given = record.occur_time.is_some();
    let record = UsageRecord {
        id: id.to_string(),
        cost_usd: cost_usd.to_string(),
        occur_time: Some(timestamp(occur_time)),
        create_time: Some(timestamp(create_time)),
        ..record
    };
    NewUsage { path, is_occur_time_given, id, cost_usd, occur_time, create_time, record }
}

/// Parses a cost. An empty text is 0.
fn read_cost(violations: &mut Violations, path: &str, text: &str) -> Decimal {
    if text.is_empty() {
        return Decimal::ZERO;
    }
    let cost = is_cost(text).then(|| Decimal::from_str_exact(text).ok()).flatten();
    cost.map(|cost| cost.normalize()).unwrap_or_else(|| {
        let description = "must be 1 to 9 digits, optionally followed by a point and 1 to 12 digits, as in 0.0125";
        violations.add(format_args!("{path}cost_usd"), description);
        Decimal::ZERO
    })
}

fn is_cost(text: &str) -> bool {
    let is_number = |digits: &str, lengths: RangeInclusive<usize>| {
        lengths.contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
    };
    match text.split_once('.') {
        Some((whole, fraction)) => is_number(whole, WHOLE_DIGITS) && is_number(fraction, FRACTION_DIGITS),
        None => is_number(text, WHOLE_DIGITS),
    }
}

fn read_dimensions(violations: &mut Violations, numbers: &[i32]) -> Dimensions {
    let most = DIMENSIONS.in_service.len();
    if numbers.len() > most {
        violations.add("group_by", format!("must be at most {most}; there are {}", numbers.len()));
        return Dimensions(Vec::new());
    }
    let mut parameters = Vec::new();
    for (place, &number) in numbers.iter().enumerate() {
        match violations.one_of(format_args!("group_by[{place}]"), number, &DIMENSIONS) {
            Some(parameter) if parameters.contains(&parameter) => {
                violations.add(format_args!("group_by[{place}]"), "must not be given twice");
            }
            Some(parameter) => parameters.push(parameter),
            None => {}
        }
    }
    Dimensions(parameters)
}
