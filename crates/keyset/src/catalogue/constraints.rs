//! What the rows of a table are sure to be: unique by the keys of an order, never null where that is declared, and short
//! enough for a page token. A row that violates the declaration is asked for; where the planner can prove from the
//! table's constraints that there is none, its plan does not read the table.

use pagination::MAX_KEY_BYTES;
use sqlx::{AssertSqlSafe, PgConnection};

use super::{
    Fault, plain,
    types::{Expression, ValueType},
};
use crate::{
    listing::{Key, Listing, Nulls, Order},
    plan,
};

pub(super) async fn check(
    connection: &mut PgConnection,
    listing: &Listing,
    order: &Order,
    expressions: &[Expression],
) -> Result<(), Fault> {
    let name = order.name;
    let mut length = 0;
    for key in order.keys {
        let expression = key.expression;
        let Some(Expression { value_type, .. }) = expressions.iter().find(|found| found.text == expression) else {
            continue;
        };
        if key.nulls == Nulls::Never && !is_never_null(connection, listing, key).await? {
            return Err(format!(
                "order \"{name}\" declares that {expression} is never null, which the table does not: make it NOT NULL, \
                 add check ({expression} is not null), or declare where its nulls come"
            )
            .into());
        }
        if key.nulls != Nulls::Never && value_type.is_row {
            return Err(format!("order \"{name}\": {expression} is of a row type and must never be null").into());
        }
        let Some(longest) = longest(connection, listing, key, value_type).await? else {
            return Err(format!(
                "order \"{name}\": nothing bounds the length of {expression}, so a page token may not hold it: add \
                 check (octet_length({expression}) <= 1024) or less for text or bytea, or \
                 check (octet_length({expression}::text) <= 128) or less for another type"
            )
            .into());
        };
        length += longest + 8;
    }
    if length > MAX_KEY_BYTES {
        return Err(
            format!("order \"{name}\": its keys can have {length} bytes, a page token holds {MAX_KEY_BYTES}").into()
        );
    }
    check_unique(connection, listing, order).await
}

async fn is_never_null(connection: &mut PgConnection, listing: &Listing, key: &Key) -> Result<bool, Fault> {
    let column = "select true from pg_attribute \
        where attrelid = $1::regclass and quote_ident(attname) = $2 and attnotnull";
    let column = sqlx::query(column).bind(listing.from).bind(key.expression).fetch_optional(&mut *connection).await?;
    let is_null = format!("({}) is null", key.expression);
    Ok(column.is_some() || is_impossible(connection, listing, &is_null).await?)
}

/// Whether the table's constraints rule out every row of which the condition is true.
async fn is_impossible(connection: &mut PgConnection, listing: &Listing, condition: &str) -> Result<bool, Fault> {
    let explain = format!("explain (format json) select from {} where {condition}", listing.from);
    let explained = sqlx::query_scalar(AssertSqlSafe(explain)).persistent(false).fetch_one(connection).await?;
    Ok(!plan::nodes(&explained).iter().any(plan::Node::is_scan))
}

/// The most bytes that a key's value has, as it travels: as its type says, or a constraint.
async fn longest(
    connection: &mut PgConnection,
    listing: &Listing,
    key: &Key,
    value_type: &ValueType,
) -> Result<Option<usize>, Fault> {
    const STEPS: [usize; 8] = [16, 32, 64, 128, 256, 512, 1_024, 2_048];

    if let Some(longest) = value_type.longest {
        return Ok(usize::try_from(longest).ok());
    }
    if let Some(longest) = longest_by_modifier(connection, listing, key, value_type).await? {
        return Ok(Some(longest));
    }
    let expression = key.expression;
    for step in STEPS {
        let conditions = match value_type.name.as_str() {
            "text" | "character varying" | "bpchar" | "citext" => vec![
                format!("octet_length({expression}) > {step}"),
                format!("char_length({expression}) > {}", step / 4),
                format!("length({expression}) > {}", step / 4),
            ],
            "bytea" => vec![format!("octet_length({expression}) > {step}"), format!("length({expression}) > {step}")],
            _ => return longest_as_text(connection, listing, expression).await,
        };
        for condition in conditions {
            if is_impossible(connection, listing, &condition).await? {
                return Ok(Some(step));
            }
        }
    }
    Ok(None)
}

/// The most bytes of a value of a type whose only common measure is its text. Turning a value into text is not immutable,
/// so the planner proves nothing about it, and the constraint is read instead.
async fn longest_as_text(
    connection: &mut PgConnection,
    listing: &Listing,
    expression: &str,
) -> Result<Option<usize>, Fault> {
    let constraints = "select pg_get_constraintdef(oid) from pg_constraint \
        where conrelid = $1::regclass and contype = 'c' and convalidated";
    let constraints: Vec<String> =
        sqlx::query_scalar(constraints).bind(listing.from).fetch_all(&mut *connection).await?;
    let bound = plain(&format!("check octet_length({expression}::text) <="));
    let lengths = constraints.iter().filter_map(|check| plain(check).strip_prefix(&bound)?.parse::<usize>().ok());
    // One character of text, such as a comma between two numbers or the fields of a row, may stand for a header of eight
    // bytes and a number of eight.
    Ok(lengths.min().map(|length| 64 + 16 * length))
}

/// The most bytes of a value whose column or domain has a modifier, as in `varchar(40)` or `numeric(12, 2)`.
async fn longest_by_modifier(
    connection: &mut PgConnection,
    listing: &Listing,
    key: &Key,
    value_type: &ValueType,
) -> Result<Option<usize>, Fault> {
    let column = "select atttypmod from pg_attribute where attrelid = $1::regclass and quote_ident(attname) = $2";
    let column: Option<i32> =
        sqlx::query_scalar(column).bind(listing.from).bind(key.expression).fetch_optional(connection).await?;
    let modifier = column.filter(|modifier| *modifier >= 0).unwrap_or(value_type.modifier);
    let Ok(modifier) = usize::try_from(modifier) else { return Ok(None) };
    Ok(match value_type.name.as_str() {
        // The number of characters, of at most four bytes, and four.
        "character varying" | "bpchar" => Some(modifier.saturating_sub(4) * 4),
        "bit" | "\"bit\"" | "bit varying" => Some(modifier / 8 + 5),
        // Two bytes for each four decimal digits, with up to one group more on either side of the point, and eight. The
        // precision is in the upper half of the modifier.
        "numeric" => Some((modifier >> 16) / 2 + 16),
        _ => None,
    })
}

/// Whether some unique index has no columns but those of the scope and the keys, and none of its columns is ever null.
async fn check_unique(connection: &mut PgConnection, listing: &Listing, order: &Order) -> Result<(), Fault> {
    let unique = "
        select array_agg(quote_ident(a.attname))
        from pg_index i
        join pg_attribute a on a.attrelid = i.indrelid and a.attnum = any((i.indkey::int2[])[0:i.indnkeyatts - 1])
        where i.indrelid = $1::regclass and i.indisunique and i.indisvalid and i.indimmediate
            and i.indpred is null and i.indexprs is null
        group by i.indexrelid having bool_and(a.attnotnull)";
    let unique: Vec<Vec<String>> = sqlx::query_scalar(unique).bind(listing.from).fetch_all(connection).await?;
    let fixed = listing.scope.iter().copied().chain(order.keys.iter().map(|key| key.expression));
    let fixed: Vec<_> = fixed.collect();
    if unique.iter().any(|columns| columns.iter().all(|column| fixed.contains(&column.as_str()))) {
        return Ok(());
    }
    Err(format!(
        "order \"{}\" is not unique: no unique index of columns that are NOT NULL lies within ({}); end the order with \
         the primary key",
        order.name,
        fixed.join(", ")
    )
    .into())
}
