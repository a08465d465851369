//! Checks that the types of a listing's expressions have the comparisons that it needs, and that an index can hold them.

use sqlx::{AssertSqlSafe, PgConnection, raw_sql};

use super::{
    Check, Fault, constraints,
    types::{self, Expression, named},
};
use crate::listing::Listing;

/// Removes the expressions that have a problem, so that they are not reported again.
pub(super) async fn check(check: &mut Check<'_>, expressions: &mut Vec<Expression>) -> sqlx::Result<()> {
    for Use { what, text, clause, lacks, is_indexed } in uses(check.listing) {
        let Some(found) = named(expressions, text).cloned() else { continue };
        check.begin().await?;
        let compared = compare(check.connection, check.listing, text, clause).await;
        let is_compared = compared.is_ok();
        let type_name = &found.value_type.name;
        let problem =
            format!("{what}: {text} has the type {type_name}, which has no {lacks}; use an expression of another type");
        let compared = compared.map_err(|fault| match fault {
            Fault::Database(error) if is_undefined(&error) => Fault::Declaration(problem),
            fault @ (Fault::Database(_) | Fault::Declaration(_) | Fault::Reported) => fault,
        });
        check.end(text, compared).await?;
        let is_usable = is_compared && (!is_indexed || can_be_indexed(check, &what, &found).await?);
        expressions.retain(|expression| is_usable || expression.text != text);
    }
    Ok(())
}

/// Whether the type has no such comparison.
fn is_undefined(error: &sqlx::Error) -> bool {
    const UNDEFINED_FUNCTION: &str = "42883";
    error.as_database_error().and_then(|error| error.code()).as_deref() == Some(UNDEFINED_FUNCTION)
}

/// What the listing does with an expression.
struct Use {
    what: String,
    text: &'static str,
    /// The clause that needs the comparison.
    clause: &'static str,
    lacks: &'static str,
    is_indexed: bool,
}

fn uses(listing: &'static Listing) -> Vec<Use> {
    const ORDER: (&str, &str) = ("order by it", "order");
    const EQUALITY: (&str, &str) = ("group by it", "equality");
    let new = |what: String, text, (clause, lacks), is_indexed| Use { what, text, clause, lacks, is_indexed };
    let is_table = listing.is_table();
    let keys = listing.orders.iter().flat_map(|order| {
        let of = move |text| new(format!("the order \"{}\"", order.name), text, ORDER, is_table);
        order.keys.iter().map(move |key| of(key.expression))
    });
    let scope = listing.scope.iter().map(|text| new("the scope".to_owned(), *text, EQUALITY, is_table));
    let filters = listing.filters.iter().filter_map(|filter| {
        let what = format!("the filter {}", filter.name);
        let equal = filter.equal_column().map(|column| (column, EQUALITY));
        let (column, needed) = equal.or(filter.bounded_column().map(|column| (column, ORDER)))?;
        Some(new(what, column, needed, false))
    });
    keys.chain(scope).chain(filters).collect()
}

async fn compare(connection: &mut PgConnection, listing: &Listing, text: &str, clause: &str) -> Result<(), Fault> {
    let from = types::from(listing, "true");
    let compare = format!(
        "prepare keyset_types as select from (select ({text}) as it from {from}) as one {clause}; deallocate keyset_types"
    );
    raw_sql(AssertSqlSafe(compare)).execute(connection).await?;
    Ok(())
}

/// Whether an index can hold the expression.
async fn can_be_indexed(check: &mut Check<'_>, what: &str, found: &Expression) -> sqlx::Result<bool> {
    // A row that is neither null nor not null exists.
    if found.value_type.is_row {
        return Ok(true);
    }
    let is_immutable = is_immutable(check, found.text).await?;
    if is_immutable == Some(false) {
        check.report(format!(
            "{what}: no index can hold {}, because its value depends on more than the row; use the column that it is \
             computed from, or store the value in a column",
            found.text
        ));
    }
    Ok(is_immutable == Some(true))
}

/// The planner proves contradictions of immutable expressions only. `None` if Postgres refuses the expression.
async fn is_immutable(check: &mut Check<'_>, text: &str) -> sqlx::Result<Option<bool>> {
    let contradiction = format!("({text}) is null and ({text}) is not null");
    check.begin().await?;
    let is_immutable = constraints::is_impossible(check.connection, check.listing, &contradiction).await;
    check.end(text, is_immutable).await
}

/// The condition of every row, if a partial index can have it.
pub(super) async fn predicate(check: &mut Check<'_>) -> sqlx::Result<Option<&'static str>> {
    let Some(condition) = check.listing.condition else { return Ok(None) };
    Ok((is_immutable(check, condition).await? == Some(true)).then_some(condition))
}
