//! How Postgres reads a listing's expressions.

use std::sync::Arc;

use sqlx::{
    AssertSqlSafe, Executor, FromRow, PgConnection, Row, SqlSafeStr, Statement,
    postgres::{PgColumn, types::Oid},
    raw_sql,
};

use super::Fault;
use crate::{
    listing::{Filter, Listing, Test, WHERE},
    plan,
    selection::{Bound, Extent, KeyType, Selection, Types},
    shape::Draft,
    source::{Reading, Source, or_true},
    target::Target,
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
    oid: Oid,
    /// Its name in a cast, which for a domain is not the name of the base type.
    declared: String,
    /// Whether its binary format is text.
    is_text: bool,
    /// The type of its elements, if it is an array.
    element: Option<Oid>,
    /// Whether no value can be bound as this type, as with `record`.
    is_pseudo: bool,
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
            base.typcollation <> 0 as has_collation,
            base.oid,
            format_type($1, -1) as declared,
            base.typtype = 'e' or base.typcategory = 'S' and base.typname <> 'char' as is_text,
            case when base.typcategory = 'A' and base.typlen = -1 then base.typelem end as element,
            base.typtype = 'p' as is_pseudo
        from base
        left join pg_range r on r.rngtypid = base.oid
        left join pg_type bound on bound.oid = r.rngsubtype
        where base.typtype <> 'd'
        order by base.depth desc limit 1";

    async fn of(connection: &mut PgConnection, oid: Oid) -> sqlx::Result<Option<Self>> {
        sqlx::query_as(Self::SELECT).bind(oid).fetch_optional(connection).await
    }

    /// The type of values that are bound as this type.
    fn target(self, collation: Option<String>) -> Target {
        let Self { name, oid, declared, is_text, .. } = self;
        Target { name, oid: oid.0, base: oid.0, declared, is_text, is_array: false, collation }
    }
}

/// The type of values that are bound as the type with this OID.
async fn target(connection: &mut PgConnection, oid: Oid, collation: Option<String>) -> Result<Target, Fault> {
    let missing = || Fault::from(format!("the type {} does not exist", oid.0));
    let found = ValueType::of(connection, oid).await?.ok_or_else(missing)?;
    if found.is_pseudo {
        return Err(
            format!("Postgres takes a value to be of the type {}: cast it, as in {{name}}::type", found.name).into()
        );
    }
    let Some(element) = found.element else { return Ok(found.target(collation)) };
    let found = ValueType::of(connection, element).await?.ok_or_else(missing)?;
    let declared = found.declared.clone();
    Ok(Target { name: declared, oid: element.0, ..found.target(collation) }.array())
}

/// Finds the columns that a listing compares: those of the scope and the filters, and the keys of its orders.
pub(super) async fn find(connection: &mut PgConnection, listing: &'static Listing) -> Result<Vec<Expression>, Fault> {
    let keys = listing.orders.iter().flat_map(|order| order.keys).map(|key| key.expression);
    let filters = listing.filters.iter().filter_map(|filter| filter.equal_column().or(filter.bounded_column()));
    // Columns that `from` uses inside the query need not exist outside.
    let inside = listing.scope.iter().copied().chain(filters).filter(|_| !listing.places_conditions());
    let mut found: Vec<Expression> = Vec::new();
    for text in keys.chain(inside).collect::<Vec<_>>() {
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
        Test::Condition(condition) | Test::Search(condition) => {
            Some(format!("({})", condition.replace(&format!("{{{}}}", filter.name), "null")))
        }
        Test::Equal(_) | Test::AnyOf(_) | Test::Prefix(_) | Test::AtLeast(_) | Test::LessThan(_) => None,
    });
    let conditions = conditions.filter(|_| !listing.places_conditions());
    let selected = listing.weight.map(str::to_owned).into_iter().chain(conditions).collect::<Vec<_>>().join(", ");
    let statement = select(listing, |from| format!("select {selected} {from} limit 0"));
    statement.statement().query()?.persistent(false).fetch_all(connection).await?;
    Ok(())
}

/// The types that a listing's statements cast to.
pub(super) async fn of(
    connection: &mut PgConnection,
    listing: &'static Listing,
    expressions: &[Expression],
) -> Result<Types, Fault> {
    let key = |text: &str| {
        let found = named(expressions, text);
        let key_type =
            found.map(|found| KeyType { name: found.value_type.name.clone(), collation: found.collation.clone() });
        key_type.unwrap_or_default()
    };
    let keys = |order: &crate::Order| order.keys.iter().map(|key_of| key(key_of.expression)).collect();
    let mut types = Types { keys: listing.orders.iter().map(keys).collect(), ..Types::default() };
    let inner = inner(connection, listing).await?;
    for column in listing.scope {
        types.scope.push(column_target(connection, listing, expressions, column).await?);
    }
    types.parameters = inner;
    for filter in listing.filters {
        let target = match filter.equal_column().or(filter.bounded_column()) {
            Some(column) => column_target(connection, listing, expressions, column).await?,
            None => condition_target(connection, listing, filter).await?,
        };
        if filter.takes_set() && target.is_array {
            let name = filter.name;
            return Err(format!(
                "the filter {name}: Postgres has no arrays of arrays; use a condition, as in x && {{{name}}}"
            )
            .into());
        }
        types.filters.push(if filter.takes_set() { target.array() } else { target });
    }
    Ok(types)
}

/// The type of values that are compared with a column.
async fn column_target(
    connection: &mut PgConnection,
    listing: &'static Listing,
    expressions: &[Expression],
    column: &'static str,
) -> Result<Target, Fault> {
    if let Some(found) = named(expressions, column) {
        return Ok(target(connection, found.value_type.oid, found.collation.clone()).await?.of_column());
    }
    // The column exists only inside the query.
    let inside = inferred(connection, listing, &format!("({column}) = {{}}"), "{}").await?;
    Ok(target(connection, inside, None).await?.of_column())
}

async fn condition_target(
    connection: &mut PgConnection,
    listing: &'static Listing,
    filter: &Filter,
) -> Result<Target, Fault> {
    let (_, condition) = filter.test.parts();
    let oid = inferred(connection, listing, condition, &format!("{{{}}}", filter.name)).await?;
    target(connection, oid, None).await
}

/// The types of the parameters of `from`.
async fn inner(connection: &mut PgConnection, listing: &'static Listing) -> Result<Vec<Target>, Fault> {
    let mut targets = Vec::new();
    for oid in parameter_types(connection, listing, "true").await? {
        targets.push(target(connection, oid, None).await?);
    }
    Ok(targets)
}

/// The type that Postgres infers for the value that `marker` stands for in a condition.
async fn inferred(
    connection: &mut PgConnection,
    listing: &'static Listing,
    condition: &str,
    marker: &str,
) -> Result<Oid, Fault> {
    let condition = condition.replace(marker, &format!("(${})", listing.parameters.len() + 1));
    let types = parameter_types(connection, listing, &condition).await?;
    types.last().copied().ok_or_else(|| format!("the condition {condition} does not contain {marker}").into())
}

/// The types that Postgres infers for the parameters of `from`, and for one in a condition after them.
async fn parameter_types(
    connection: &mut PgConnection,
    listing: &'static Listing,
    condition: &str,
) -> Result<Vec<Oid>, Fault> {
    let mut from = listing.from.to_owned();
    for (place, name) in listing.parameters.iter().enumerate() {
        from = from.replace(&format!("{{{name}}}"), &format!("(${})", place + 1));
    }
    let statement = if listing.places_conditions() {
        format!("select from {}", from.replace(WHERE, &format!("({condition})")))
    } else {
        format!("select from {from} where ({condition})")
    };
    let prepare = format!("prepare keyset_types as {statement}");
    raw_sql(AssertSqlSafe(prepare)).execute(&mut *connection).await?;
    let types = "select parameter_types::oid[] from pg_prepared_statements where name = 'keyset_types'";
    let types: Vec<Oid> = sqlx::query_scalar(types).fetch_one(&mut *connection).await?;
    raw_sql("deallocate keyset_types").execute(connection).await?;
    Ok(types)
}

async fn find_one(
    connection: &mut PgConnection,
    listing: &'static Listing,
    text: &'static str,
) -> Result<Expression, Fault> {
    // A subquery without rows is null, but has the type and the collation of its column.
    let about = |what: &str| {
        let ask = |from: String| format!("select {what} from (select (select ({text}) {from} limit 0) as it) as one");
        select(listing, ask).statement()
    };
    let oid = about("pg_typeof(it)::oid").query()?.persistent(false).fetch_one(&mut *connection).await?;
    let oid: Oid = oid.try_get(0)?;
    let value_type = ValueType::of(connection, oid).await?;
    let value_type = value_type.ok_or_else(|| format!("{text} has no type that rows can be ordered by"))?;
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
    let explain = format!("explain (verbose, format json) select ({text}) from {}", listing.from);
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
