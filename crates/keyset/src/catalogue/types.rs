//! How Postgres reads a listing's expressions.

use std::sync::Arc;

use sqlx::{
    AssertSqlSafe, Executor, FromRow, PgConnection, Row, SqlSafeStr, Statement,
    postgres::{PgColumn, types::Oid},
};

use super::Fault;
use crate::{
    listing::{Filter, Listing, Test},
    plan,
    selection::{Bound, Extent, Selection, SetType, Types},
    shape::Draft,
    source::{Reading, Source, or_true},
};

/// An expression of a listing.
#[derive(Debug, Clone)]
pub(super) struct Expression {
    /// As the listing writes it.
    pub(super) text: &'static str,
    /// As Postgres writes it.
    pub(super) definition: String,
    /// The collation that compares its values, if its type has one.
    pub(super) collation: Option<String>,
    pub(super) value_type: ValueType,
}

/// The expression with this text.
pub(super) fn named<'a>(expressions: &'a [Expression], text: &str) -> Option<&'a Expression> {
    expressions.iter().find(|expression| expression.text == text)
}

/// A type that values are compared as. For a domain, this is its base type.
#[derive(Debug, Clone, FromRow)]
pub(super) struct ValueType {
    /// Its name in a cast.
    pub(super) name: String,
    /// The most bytes of a value, if the type bounds them.
    pub(super) longest: Option<i32>,
    /// The type modifier that a domain sets, as in `varchar(40)`; -1 for none.
    pub(super) modifier: i32,
    /// Whether it is a row type, for which IS NULL tests the fields.
    pub(super) is_row: bool,
    /// Whether a collation compares its values.
    has_collation: bool,
}

impl ValueType {
    /// With `-1`, format_type writes `bpchar` and `bit` so that a cast does not shorten them to a length of 1. An enum
    /// is sent as its label, an address as at most 20 bytes, and a range as a byte of flags and two bounds with their
    /// lengths.
    const SELECT: &str = "
        with recursive base as (
            select t.*, 0 as depth, -1 as modifier from pg_type t where t.oid = $1
            union all
            select t.*, base.depth + 1, base.typtypmod from base join pg_type t on t.oid = base.typbasetype
            where base.typtype = 'd'
        )
        select format_type(base.oid, -1) as name,
            case
                when base.typtype = 'e' then 63
                when base.typname in ('inet', 'cidr') then 20
                when bound.typlen > 0 then 2 * (4 + bound.typlen) + 1
                when base.typlen > 0 then base.typlen
            end::int4 as longest,
            base.modifier,
            base.typtype = 'c' as is_row,
            base.typcollation <> 0 as has_collation
        from base
        left join pg_range r on r.rngtypid = base.oid
        left join pg_type bound on bound.oid = r.rngsubtype
        where base.typtype <> 'd'
        order by base.depth desc limit 1";
}

/// Finds the columns that a listing compares: those of the scope and the filters, and the keys of its orders.
pub(super) async fn find(connection: &mut PgConnection, listing: &'static Listing) -> Result<Vec<Expression>, Fault> {
    let keys = listing.orders.iter().flat_map(|order| order.keys).map(|key| key.expression);
    let filters = listing.filters.iter().filter_map(|filter| filter.equal_column().or(filter.bounded_column()));
    // Columns that `from` uses inside the query need not exist outside.
    let inside = listing.scope.iter().copied().chain(filters).filter(|_| !listing.places_conditions());
    let mut found: Vec<Expression> = Vec::new();
    for text in keys.chain(inside) {
        if named(&found, text).is_none() {
            found.push(find_one(connection, listing, text).await?);
        }
    }
    Ok(found)
}

/// The columns of a row.
pub(super) async fn columns(connection: &mut PgConnection, listing: &'static Listing) -> Result<Vec<PgColumn>, Fault> {
    let columns = select(listing, |from| format!("select {} {from} limit 0", listing.columns));
    let prepared = connection.prepare(AssertSqlSafe(columns.shape.sql.clone()).into_sql_str()).await?;
    Ok(prepared.columns().to_vec())
}

/// Makes Postgres parse the weight of a row and the conditions of the filters.
pub(super) async fn check_conditions(connection: &mut PgConnection, listing: &'static Listing) -> Result<(), Fault> {
    let conditions = listing.filters.iter().filter_map(|filter| match filter.test {
        Test::Condition(condition) => Some(format!("({})", condition.replace(&format!("{{{}}}", filter.name), "null"))),
        Test::Equal(_) | Test::AnyOf(_) | Test::Prefix(_) | Test::AtLeast(_) | Test::LessThan(_) => None,
    });
    let conditions = conditions.filter(|_| !listing.places_conditions());
    let selected = listing.weight.map(str::to_owned).into_iter().chain(conditions).collect::<Vec<_>>().join(", ");
    let statement = select(listing, |from| format!("select {selected} {from} limit 0"));
    statement.statement().query()?.persistent(false).fetch_all(connection).await?;
    Ok(())
}

/// The types that a listing's statements cast to.
pub(super) fn of(listing: &Listing, expressions: &[Expression]) -> Types {
    let name =
        |text: &str| named(expressions, text).map(|expression| expression.value_type.name.clone()).unwrap_or_default();
    let keys = |order: &crate::Order| order.keys.iter().map(|key| name(key.expression)).collect();
    let set = |filter: &Filter| {
        let found = filter.equal_column().and_then(|column| named(expressions, column));
        found.map(|found| SetType { name: found.value_type.name.clone(), collation: found.collation.clone() })
    };
    Types {
        keys: listing.orders.iter().map(keys).collect(),
        sets: listing.filters.iter().map(|filter| set(filter).unwrap_or_default()).collect(),
    }
}

async fn find_one(
    connection: &mut PgConnection,
    listing: &'static Listing,
    text: &'static str,
) -> Result<Expression, Fault> {
    // A subquery without rows is null, but has the type and the collation of its column.
    let about = |what: &str| {
        let ask = |from: String| format!("select {what} from (select (select {text} {from} limit 0) as it) as one");
        select(listing, ask).statement()
    };
    let oid = about("pg_typeof(it)::oid").query()?.persistent(false).fetch_one(&mut *connection).await?;
    let oid: Oid = oid.try_get(0)?;
    let value_type = sqlx::query_as(ValueType::SELECT).bind(oid).fetch_optional(&mut *connection).await?;
    let value_type: ValueType = value_type.ok_or_else(|| format!("{text} has no type that rows can be ordered by"))?;
    let collation = if value_type.has_collation {
        about("pg_collation_for(it)").query()?.persistent(false).fetch_one(&mut *connection).await?.try_get(0)?
    } else {
        None
    };
    let definition = if listing.is_table() { definition(connection, listing, text).await? } else { String::new() };
    Ok(Expression { text, definition, collation, value_type })
}

/// An expression of a table as Postgres writes it after parsing, so that equal expressions have equal text.
pub(super) async fn definition(
    connection: &mut PgConnection,
    listing: &'static Listing,
    text: &str,
) -> Result<String, Fault> {
    let explain = format!("explain (verbose, format json) select {text} from {}", listing.from);
    let explained = sqlx::query_scalar(AssertSqlSafe(explain)).persistent(false).fetch_one(connection).await?;
    let explained: serde_json::Value = explained;
    let scans: Vec<_> = plan::nodes(&explained).into_iter().filter(plan::Node::is_scan).collect();
    let (output, alias) = match scans.first() {
        Some(scan) => (scan.first_output(), scan.text("Alias")),
        None => ("", ""),
    };
    // Postgres writes a column after the name of its table.
    let alias = format!("{alias}.");
    let is_part_of_name = |before: &str| before.ends_with(|last: char| last.is_alphanumeric() || "_$\"".contains(last));
    let parts = output.split(alias.as_str());
    Ok(parts.fold(String::new(), |whole, part| {
        let separator = if is_part_of_name(&whole) { alias.as_str() } else { "" };
        whole + separator + part
    }))
}

/// A statement about the listing's FROM that returns no rows.
fn select(listing: &'static Listing, text: impl FnOnce(String) -> String) -> Bound {
    let selection = Selection::of_nulls(listing);
    let mut draft = Draft::default();
    let source = Source::new(&selection, &mut draft, Reading::All);
    let shape = draft.finish(text(format!("from {} where {}", source.from, or_true(&source.conditions))));
    selection.fill(Arc::new(shape), &[], Extent::default())
}
