//! Checks what the table's constraints guarantee about its rows: the keys of an order are unique, never null if
//! declared so, and short enough for a page token. Most checks explain a query for rows that violate the declaration.
//! If the planner can prove from the constraints that no such row exists, its plan does not read the table.

use pagination::MAX_KEY_BYTES;
use sqlx::{AssertSqlSafe, PgConnection};

use super::{
    Fault,
    types::{Expression, definition, named},
};
use crate::{
    listing::{Listing, Nulls, Order},
    plan,
};

pub(super) async fn check(
    connection: &mut PgConnection,
    listing: &'static Listing,
    order: &Order,
    expressions: &[Expression],
) -> Result<(), Fault> {
    let name = order.name;
    let mut length = 0;
    for key in order.keys {
        let text = key.expression;
        let Some(expression) = named(expressions, text) else { continue };
        if key.nulls == Nulls::Never && !is_never_null(connection, listing, expression).await? {
            return Err(format!(
                "order \"{name}\" declares {text} never null, but the table does not: make it NOT NULL, add \
                 check ({text} is not null), or declare nulls_first or nulls_last"
            )
            .into());
        }
        if key.nulls != Nulls::Never && expression.value_type.is_row {
            return Err(format!("order \"{name}\": {text} has a row type and must be declared never null").into());
        }
        let Some(longest) = longest(connection, listing, expression).await? else {
            return Err(format!(
                "order \"{name}\": the length of {text} has no bound, so it may not fit in a page token: add \
                 check (octet_length({text}) <= 1024) or less for text or bytea, or \
                 check (octet_length({text}::text) <= 128) or less for another type"
            )
            .into());
        };
        length += longest + 8;
    }
    if length > MAX_KEY_BYTES {
        return Err(format!(
            "order \"{name}\": its keys can take {length} bytes, but a page token holds {MAX_KEY_BYTES}"
        )
        .into());
    }
    check_unique(connection, listing, order, expressions).await
}

/// For a row type, IS NULL tests the fields, so the planner cannot prove it. The column's NOT NULL is checked instead.
async fn is_never_null(
    connection: &mut PgConnection,
    listing: &Listing,
    expression: &Expression,
) -> Result<bool, Fault> {
    let column = "select true from pg_attribute a
        where attrelid = $1::regclass and quote_ident(attname) = $2 and attnotnull and not exists (
            select from pg_constraint where conrelid = attrelid and contype = 'n' and conkey[1] = attnum and not convalidated
        )";
    if expression.value_type.is_row {
        let column = sqlx::query(column).bind(listing.from).bind(&expression.definition);
        return Ok(column.fetch_optional(connection).await?.is_some());
    }
    is_impossible(connection, listing, &format!("({}) is null", expression.text)).await
}

/// Whether the table's constraints rule out every row for which the condition is true.
async fn is_impossible(connection: &mut PgConnection, listing: &Listing, condition: &str) -> Result<bool, Fault> {
    let explain = format!("explain (format json) select from {} where {condition}", listing.from);
    let explained = sqlx::query_scalar(AssertSqlSafe(explain)).persistent(false).fetch_one(connection).await?;
    Ok(!plan::nodes(&explained).iter().any(plan::Node::is_scan))
}

/// The most bytes of a key's value in binary format, as bounded by its type or by a constraint.
async fn longest(
    connection: &mut PgConnection,
    listing: &'static Listing,
    expression: &Expression,
) -> Result<Option<usize>, Fault> {
    const STEPS: [usize; 8] = [16, 32, 64, 128, 256, 512, 1_024, 2_048];

    let Expression { text: key, value_type, .. } = expression;
    if let Some(longest) = value_type.longest {
        return Ok(usize::try_from(longest).ok());
    }
    if let Some(longest) = longest_by_modifier(connection, listing, expression).await? {
        return Ok(Some(longest));
    }
    for step in STEPS {
        let conditions = match value_type.name.as_str() {
            "text" | "character varying" | "bpchar" | "citext" => vec![
                format!("octet_length({key}) > {step}"),
                format!("char_length({key}) > {}", step / 4),
                format!("length({key}) > {}", step / 4),
            ],
            "bytea" => vec![format!("octet_length({key}) > {step}"), format!("length({key}) > {step}")],
            _ => return longest_as_text(connection, listing, key).await,
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

/// Checks that some unique index has only columns of the scope and the keys. [`unique`] says which indexes count.
async fn check_unique(
    connection: &mut PgConnection,
    listing: &Listing,
    order: &Order,
    expressions: &[Expression],
) -> Result<(), Fault> {
    let unique = unique(connection, listing.from).await?;
    let texts: Vec<_> = listing.scope.iter().copied().chain(order.keys.iter().map(|key| key.expression)).collect();
    let fixed: Vec<_> = expressions.iter().filter(|found| texts.contains(&found.text)).collect();
    let is_fixed = |column: &String| fixed.iter().any(|found| found.definition == *column);
    if unique.iter().any(|columns| columns.iter().all(is_fixed)) {
        return Ok(());
    }
    Err(format!(
        "order \"{}\" is not unique: no unique index has only NOT NULL columns from ({}); end the order with the primary \
         key",
        order.name,
        texts.join(", ")
    )
    .into())
}

/// The columns, in order, of each unique index whose columns are all NOT NULL and are compared as the table compares
/// them.
pub(super) async fn unique(connection: &mut PgConnection, table: &str) -> sqlx::Result<Vec<Vec<String>>> {
    let unique = "
        select array_agg(quote_ident(a.attname) order by place)
        from pg_index i
        cross join generate_series(1, i.indnkeyatts) as place
        join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[place - 1]
        join pg_opclass o on o.oid = i.indclass[place - 1]
        where i.indrelid = $1::regclass and i.indisunique and i.indisvalid and i.indimmediate
            and i.indpred is null and i.indexprs is null
        group by i.indexrelid
        having bool_and(a.attnotnull and i.indcollation[place - 1] = a.attcollation and o.opcdefault and not exists (
            select from pg_constraint c
            where c.conrelid = a.attrelid and c.contype = 'n' and c.conkey[1] = a.attnum and not c.convalidated
        ))";
    sqlx::query_scalar(unique).bind(table).fetch_all(connection).await
}
