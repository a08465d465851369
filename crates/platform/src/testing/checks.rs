use std::ops::RangeInclusive;

use sqlx::{AssertSqlSafe, PgPool};

use super::pool;
use crate::{Field, Platform, Rule, validation::MAX_WORDS};

/// Asserts that the rules of a message's fields and the CHECK constraints of the table agree: each constraint accepts
/// the limits of the column's rule, and refuses the values just beyond them.
///
/// Metadata, and fields that a service checks itself, have no constraint.
pub async fn assert_checks(platform: &Platform, table: &str, fields: &[Field<'_>]) {
    let pool = pool(platform);
    for field in fields {
        let column = field.column;
        let Some((allowed, refused)) = values(&field.rule) else { continue };
        let checks = checks(&pool, table, column).await;
        assert!(!checks.is_empty(), "{table}.{column} has no CHECK");
        for (value, expected) in
            allowed.iter().map(|value| (value, true)).chain(refused.iter().map(|value| (value, false)))
        {
            let sql = format!("select {checks} from (select {value} as {column}) as row");
            let passes: bool = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&pool).await.unwrap();
            assert_eq!(passes, expected, "{table}.{column} of {value}: {checks}");
        }
    }
}

/// The constraints on this column only, as one expression.
async fn checks(pool: &PgPool, table: &str, column: &str) -> String {
    let sql = "
        select coalesce(string_agg(pg_get_expr(conbin, conrelid), ' and '), '') from pg_constraint
        where contype = 'c' and conrelid = $1::regclass and conkey = array[(
            select attnum from pg_attribute where attrelid = $1::regclass and attname = $2
        )]";
    sqlx::query_scalar(sql).bind(table).bind(column).fetch_one(pool).await.unwrap()
}

/// SQL expressions for the values at the limits of a rule, and for the values just beyond them.
fn values(rule: &Rule) -> Option<(Vec<String>, Vec<String>)> {
    match rule {
        Rule::Bytes(bytes) => Some(beyond(bytes, |bytes| format!("repeat('x', {bytes})"))),
        Rule::Words(least) => {
            Some(beyond(&(*least..=MAX_WORDS), |count| format!("array_fill('x'::text, array[{count}])")))
        }
        Rule::Integer(range) => {
            let text = |number: i64| format!("{number}::int8");
            let refused = [range.start().checked_sub(1), range.end().checked_add(1)];
            // No value beyond the maximum int4 fits in the column.
            let refused = refused
                .into_iter()
                .flatten()
                .filter(|number| *number <= i64::from(i32::MAX) || *range.end() > i64::from(i32::MAX));
            Some((vec![text(*range.start()), text(*range.end())], refused.map(text).collect()))
        }
        Rule::Float(range) => {
            let text = |number: f64| format!("'{number}'::float8");
            let refused = [range.start() - 0.001, range.end() + 0.001, f64::NAN, f64::INFINITY];
            Some((vec![text(*range.start()), text(*range.end())], refused.map(text).to_vec()))
        }
        Rule::OneOf(names) => {
            let text = |name: &str| format!("'{name}'::text");
            Some((names.in_service().into_iter().map(text).collect(), vec![text(""), text("another")]))
        }
        Rule::Metadata | Rule::Custom(_) => None,
    }
}

fn beyond(range: &RangeInclusive<usize>, text: impl Fn(usize) -> String) -> (Vec<String>, Vec<String>) {
    let refused = [range.start().checked_sub(1), range.end().checked_add(1)];
    (vec![text(*range.start()), text(*range.end())], refused.into_iter().flatten().map(text).collect())
}
