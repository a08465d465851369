//! Checks that the keys of an order fit in a page token.

use std::collections::HashMap;

use pagination::MAX_KEY_BYTES;
use sqlx::PgConnection;

use super::{Check, Expression, Fault, Listing, Order, advise_check, is_impossible, named};
use crate::catalogue::types::definition;

/// The bytes of a key in a token besides its value.
const OVERHEAD: usize = 8;

pub(super) async fn check(check: &mut Check<'_>, expressions: &[Expression]) -> sqlx::Result<()> {
    let listing = check.listing;
    let lengths = lengths(check, expressions).await?;
    // An expression has one bound, which suits every order that has it as a key.
    let mut wanted: Vec<(&Order, &Expression, usize)> = Vec::new();
    for order in listing.orders {
        let keys: Option<Vec<_>> = order.keys.iter().map(|key| named(expressions, key.expression)).collect();
        let Some(keys) = keys else { continue };
        let known: Vec<_> = keys.iter().map(|key| lengths.get(key.text).copied().flatten()).collect();
        let length: usize = known.iter().map(|length| length.unwrap_or_default() + OVERHEAD).sum();
        let unknown = known.iter().filter(|length| length.is_none()).count();
        if length > MAX_KEY_BYTES {
            check.report(format!(
                "the order \"{}\": its keys can take {length} bytes, but a page token holds {MAX_KEY_BYTES}",
                order.name
            ));
            continue;
        }
        let share = (MAX_KEY_BYTES - length) / unknown.max(1);
        for (key, _) in keys.into_iter().zip(&known).filter(|(_, length)| length.is_none()) {
            match wanted.iter_mut().find(|(_, other, _)| other.text == key.text) {
                Some((_, _, least)) => *least = share.min(*least),
                None => wanted.push((order, key, share)),
            }
        }
    }
    for (order, expression, share) in wanted {
        advise(check, order, expression, share);
    }
    Ok(())
}

/// The most bytes of each key; `None` if they have no bound.
async fn lengths(
    check: &mut Check<'_>,
    expressions: &[Expression],
) -> sqlx::Result<HashMap<&'static str, Option<usize>>> {
    let mut lengths = HashMap::new();
    let keys: Vec<_> = check.listing.orders.iter().flat_map(|order| order.keys).map(|key| key.expression).collect();
    for text in keys {
        let Some(expression) = named(expressions, text) else { continue };
        if !lengths.contains_key(text) {
            check.begin().await?;
            let length = longest(check.connection, check.listing, expression).await;
            // A key whose length cannot be asked for has its problem already.
            lengths.insert(text, check.end(text, length).await?.unwrap_or(Some(0)));
        }
    }
    Ok(lengths)
}

fn advise(check: &mut Check<'_>, order: &Order, Expression { text, value_type, .. }: &Expression, share: usize) {
    let what = format!(
        "the order \"{}\": the length of {text} has no bound, so it may not fit in a page token; any bound up to this one \
         will do",
        order.name
    );
    let (measure, most) = if Measure::of(&value_type.name) == Measure::Text {
        // See `longest_as_text`.
        (format!("octet_length(({text})::text)"), share.saturating_sub(64) / 16)
    } else {
        (format!("octet_length({text})"), share)
    };
    let steps = STEPS.iter().filter(|step| **step <= most && **step <= 1_024);
    match steps.max() {
        Some(step) => advise_check(check, &what, "length", &format!("{measure} <= {step}")),
        None => check.report(format!(
            "the order \"{}\": the other keys leave no room for {text} in a page token, which holds {MAX_KEY_BYTES} bytes",
            order.name
        )),
    }
}

const STEPS: [usize; 8] = [16, 32, 64, 128, 256, 512, 1_024, 2_048];

/// How the length of a type is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Measure {
    Characters,
    Bytes,
    Text,
}

impl Measure {
    fn of(type_name: &str) -> Self {
        match type_name {
            "text" | "character varying" | "bpchar" | "citext" => Self::Characters,
            "bytea" => Self::Bytes,
            _ => Self::Text,
        }
    }
}

/// The most bytes of a key's value in binary format, as bounded by its type or by a constraint.
async fn longest(
    connection: &mut PgConnection,
    listing: &'static Listing,
    expression: &Expression,
) -> Result<Option<usize>, Fault> {
    let Expression { text: key, value_type, .. } = expression;
    if let Some(longest) = value_type.longest {
        return Ok(usize::try_from(longest).ok());
    }
    if let Some(longest) = longest_by_modifier(connection, listing, expression).await? {
        return Ok(Some(longest));
    }
    let measure = Measure::of(&value_type.name);
    for step in STEPS {
        let conditions = match measure {
            Measure::Characters => vec![
                format!("octet_length({key}) > {step}"),
                format!("char_length({key}) > {}", step / 4),
                format!("length({key}) > {}", step / 4),
            ],
            Measure::Bytes => vec![format!("octet_length({key}) > {step}"), format!("length({key}) > {step}")],
            Measure::Text => return longest_as_text(connection, listing, key).await,
        };
        for condition in conditions {
            if is_impossible(connection, listing, &condition).await? {
                return Ok(Some(step));
            }
        }
    }
    Ok(None)
}

/// The most bytes of a value of a type that can be measured only as text. The cast to text is not immutable, so the
/// planner proves nothing about it, and the CHECK itself is read instead.
async fn longest_as_text(
    connection: &mut PgConnection,
    listing: &'static Listing,
    key: &str,
) -> Result<Option<usize>, Fault> {
    let constraints = "select pg_get_expr(conbin, conrelid) from pg_constraint \
        where conrelid = $1::regclass and contype = 'c' and convalidated";
    let constraints: Vec<String> =
        sqlx::query_scalar(constraints).bind(listing.from).fetch_all(&mut *connection).await?;
    let measure = definition(connection, listing, &format!("octet_length(({key})::text)")).await?;
    let mut lengths = Vec::new();
    for constraint in constraints {
        let constraint = definition(connection, listing, &constraint).await?;
        let length = constraint.strip_prefix(&format!("({measure} <= ")).and_then(|rest| rest.strip_suffix(')'));
        lengths.extend(length.and_then(|length| length.parse::<usize>().ok()));
    }
    // One character of text, such as the comma between two numbers or between the fields of a row, may stand for 16
    // bytes: a header of eight bytes and a number of eight.
    Ok(lengths.into_iter().min().map(|length| 64 + 16 * length))
}

/// The most bytes of a value whose column or domain has a type modifier, as in `varchar(40)` or `numeric(12, 2)`.
async fn longest_by_modifier(
    connection: &mut PgConnection,
    listing: &Listing,
    Expression { definition, value_type, .. }: &Expression,
) -> Result<Option<usize>, Fault> {
    let column = "select atttypmod from pg_attribute where attrelid = $1::regclass and quote_ident(attname) = $2";
    let column: Option<i32> =
        sqlx::query_scalar(column).bind(listing.from).bind(definition).fetch_optional(connection).await?;
    let modifier = column.filter(|modifier| *modifier >= 0).unwrap_or(value_type.modifier);
    let Ok(modifier) = usize::try_from(modifier) else { return Ok(None) };
    Ok(match value_type.name.as_str() {
        // The modifier is the number of characters plus four. A character has at most four bytes.
        "character varying" | "bpchar" => Some(modifier.saturating_sub(4) * 4),
        "bit" | "\"bit\"" | "bit varying" => Some(modifier / 8 + 5),
        // Two bytes for each four decimal digits, at most one more group on either side of the point, and a header of
        // eight bytes. The precision is in the upper half of the modifier.
        "numeric" => Some((modifier >> 16) / 2 + 16),
        _ => None,
    })
}
