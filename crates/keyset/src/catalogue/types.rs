//! How Postgres reads a listing's expressions.

use sqlx::{
    AssertSqlSafe, Executor, FromRow, PgConnection, Row, SqlSafeStr, Statement,
    postgres::{PgColumn, PgRow, types::Oid},
    raw_sql,
};

use super::{Check, Fault};
use crate::{
    listing::{Filter, Listing, WHERE},
    plan,
    selection::{KeyType, Types},
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
    /// Whether it is a column of the table, with the column's own collation.
    pub(super) is_column: bool,
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
pub(super) async fn find(check: &mut Check<'_>) -> sqlx::Result<Vec<Expression>> {
    let listing = check.listing;
    let keys = listing.orders.iter().flat_map(|order| order.keys).map(|key| key.expression);
    let filters = listing.filters.iter().filter_map(|filter| filter.equal_column().or(filter.bounded_column()));
    // Columns that `from` uses inside the query need not exist outside.
    let inside = listing.scope.iter().copied().chain(filters).filter(|_| !listing.places_conditions());
    let mut found: Vec<Expression> = Vec::new();
    for text in keys.chain(inside).collect::<Vec<_>>() {
        if named(&found, text).is_none() {
            check.begin().await?;
            let expression = find_one(check.connection, listing, text).await;
            found.extend(check.end(text, expression).await?);
        }
    }
    Ok(found)
}

/// The columns of a row.
pub(super) async fn columns(connection: &mut PgConnection, listing: &'static Listing) -> Result<Vec<PgColumn>, Fault> {
    // A pooler may have prepared the same text before the table was changed, so the text is different each time.
    let time = "select clock_timestamp()::text";
    let time: String = sqlx::query_scalar(time).fetch_one(&mut *connection).await?;
    let columns = format!("select {} from {} limit 0 -- at {time}", listing.columns, from(listing, "true"));
    let prepared = connection.prepare(AssertSqlSafe(columns).into_sql_str()).await?;
    Ok(prepared.columns().to_vec())
}

/// Stands for the names, types and collations of all columns of a table; empty for a query.
pub(super) async fn tag(check: &mut Check<'_>) -> sqlx::Result<String> {
    if !check.listing.is_table() {
        return Ok(String::new());
    }
    let tag = "select left(md5(string_agg(concat_ws(' ', attname, atttypid, atttypmod, attcollation), ',' order by attnum)), 8)
        from pg_attribute where attrelid = $1::regclass and attnum > 0 and not attisdropped";
    sqlx::query_scalar(tag).bind(check.listing.from).fetch_one(&mut *check.connection).await
}

/// Makes Postgres parse the condition of every row and the weight of a row. Returns whether it accepts the condition.
pub(super) async fn check_conditions(check: &mut Check<'_>) -> sqlx::Result<bool> {
    let listing = check.listing;
    let mut is_condition_right = true;
    if let Some(condition) = listing.condition {
        check.begin().await?;
        let types = parameter_types(check.connection, listing, condition).await;
        is_condition_right = check.end(&format!("the condition {condition}"), types).await?.is_some();
    }
    if let Some(weight) = listing.weight {
        check.begin().await?;
        // The page adds weights to each other.
        let is_weight = format!("(select sum({weight}) from {}) > 0", from(listing, "true"));
        let prepare = format!("prepare keyset_types as select {is_weight}; deallocate keyset_types");
        let prepared = raw_sql(AssertSqlSafe(prepare)).execute(&mut *check.connection).await;
        check.end(&format!("the weight {weight}"), prepared.map_err(Fault::from)).await?;
    }
    Ok(is_condition_right)
}

/// The types that a listing's statements cast to; `None` if there are problems.
pub(super) async fn of(check: &mut Check<'_>, expressions: &[Expression]) -> sqlx::Result<Option<Types>> {
    let listing = check.listing;
    let key = |text: &str| {
        let found = named(expressions, text)?;
        Some(KeyType { name: found.value_type.name.clone(), collation: found.collation.clone() })
    };
    let keys: Option<Vec<Vec<KeyType>>> =
        listing.orders.iter().map(|order| order.keys.iter().map(|of| key(of.expression)).collect()).collect();
    check.begin().await?;
    let parameters = parameters(check.connection, listing).await;
    let parameters = check.end("from", parameters).await?;
    let (mut scope, mut filters) = (Some(Vec::new()), Some(Vec::new()));
    for column in listing.scope {
        check.begin().await?;
        let target = column_target(check.connection, listing, expressions, column).await;
        scope = scope.zip(check.end(column, target).await?).map(added);
    }
    for filter in listing.filters {
        check.begin().await?;
        let target = filter_target(check.connection, listing, expressions, filter).await;
        filters = filters.zip(check.end(&format!("the filter {}", filter.name), target).await?).map(added);
    }
    let (Some(keys), Some(scope), Some(parameters), Some(filters)) = (keys, scope, parameters, filters) else {
        return Ok(None);
    };
    Ok(Some(Types { keys, scope, parameters, filters, tag: String::new() }))
}

fn added((mut targets, target): (Vec<Target>, Target)) -> Vec<Target> {
    targets.push(target);
    targets
}

async fn filter_target(
    connection: &mut PgConnection,
    listing: &'static Listing,
    expressions: &[Expression],
    filter: &Filter,
) -> Result<Target, Fault> {
    if let Some(problem) = without_marker(filter) {
        return Err(problem.into());
    }
    let Some(column) = filter.equal_column().or(filter.bounded_column()) else {
        let (_, condition) = filter.test.parts();
        let oid = inferred(connection, listing, condition, &filter.marker()).await?;
        return target(connection, oid, None).await;
    };
    let target = column_target(connection, listing, expressions, column).await?;
    if filter.takes_set() && target.is_array {
        let name = filter.name;
        return Err(format!(
            "the filter {name}: Postgres has no arrays of arrays; use a condition, as in x && {{{name}}}"
        )
        .into());
    }
    Ok(if filter.takes_set() { target.array() } else { target })
}

/// The problem that the filter's value does not stand in its condition, if that is so.
pub(super) fn without_marker(filter: &Filter) -> Option<String> {
    let (_, condition) = filter.test.parts();
    let (name, marker) = (filter.name, filter.marker());
    let is_column = filter.equal_column().or(filter.bounded_column()).is_some();
    (!is_column && !condition.contains(&marker))
        .then(|| format!("the filter {name}: the condition {condition} does not contain the value {marker}"))
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
    if !listing.places_conditions() {
        return Err(Fault::Reported);
    }
    // The column exists only inside the query.
    let inside = inferred(connection, listing, &format!("({column}) = {{}}"), "{}").await?;
    Ok(target(connection, inside, None).await?.of_column())
}

/// The types of the parameters of `from`.
async fn parameters(connection: &mut PgConnection, listing: &'static Listing) -> Result<Vec<Target>, Fault> {
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
    let mut statement = format!("select from {}", from(listing, condition));
    if !listing.places_conditions() {
        statement = format!("{statement} where ({condition})");
    }
    let prepare = format!("prepare keyset_types as {statement}");
    raw_sql(AssertSqlSafe(prepare)).execute(&mut *connection).await?;
    let types = "select parameter_types::oid[] from pg_prepared_statements where name = 'keyset_types'";
    let types: Vec<Oid> = sqlx::query_scalar(types).fetch_one(&mut *connection).await?;
    raw_sql("deallocate keyset_types").execute(connection).await?;
    Ok(types)
}

/// The listing's `from` with a number for each parameter, and with this condition where conditions go.
pub(super) fn from(listing: &Listing, condition: &str) -> String {
    let mut from = listing.from.to_owned();
    for (place, name) in listing.parameters.iter().enumerate() {
        from = from.replace(&format!("{{{name}}}"), &format!("(${})", place + 1));
    }
    from.replace(WHERE, &format!("({condition})"))
}

/// The statement with nulls as its parameters, run by the simple protocol: sqlx would look the types up that a database
/// defines, which replaces the unnamed statement.
pub(super) fn with_nulls(listing: &Listing, statement: &str) -> String {
    let nulls = vec!["null"; listing.parameters.len()].join(", ");
    let nulls = if nulls.is_empty() { nulls } else { format!("({nulls})") };
    format!("prepare keyset_types as {statement}; execute keyset_types{nulls}; deallocate keyset_types")
}

async fn find_one(
    connection: &mut PgConnection,
    listing: &'static Listing,
    text: &'static str,
) -> Result<Expression, Fault> {
    let oid: Oid = ask(connection, listing, text, "pg_typeof(it)::oid").await?.try_get(0)?;
    let value_type = ValueType::of(connection, oid).await?;
    let value_type = value_type.ok_or_else(|| format!("{text} has no type that rows can be ordered by"))?;
    let collation = if value_type.has_collation {
        ask(connection, listing, text, "pg_collation_for(it)").await?.try_get(0)?
    } else {
        None
    };
    if !listing.is_table() {
        return Ok(Expression { text, definition: String::new(), collation, value_type, is_column: false });
    }
    let definition = definition(connection, listing, text).await?;
    let is_column = "select exists (
        select from pg_attribute where attrelid = to_regclass($1) and attnum > 0 and quote_ident(attname) = $2
            and nullif(attcollation, 0)::regcollation::text is not distinct from $3
    )";
    let is_column = sqlx::query_scalar(is_column).bind(listing.from).bind(&definition).bind(&collation);
    let is_column = is_column.fetch_one(connection).await?;
    Ok(Expression { text, definition, collation, value_type, is_column })
}

/// Asks something about an expression: a subquery without rows is null, but has the type and the collation of its column.
async fn ask(connection: &mut PgConnection, listing: &Listing, text: &str, what: &str) -> sqlx::Result<PgRow> {
    let from = from(listing, "true");
    let ask = format!("select {what} from (select (select ({text}) from {from} limit 0) as it) as one");
    raw_sql(AssertSqlSafe(with_nulls(listing, &ask))).fetch_one(connection).await
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
    // Postgres writes a column after the name of its table, in quotes if that needs them.
    let quoted = format!("\"{}\".", alias.replace('"', "\"\""));
    let alias = if output.contains(&quoted) { quoted } else { format!("{alias}.") };
    let is_part_of_name = |before: &str| before.ends_with(|last: char| last.is_alphanumeric() || "_$\"".contains(last));
    let parts = output.split(alias.as_str());
    Ok(parts.fold(String::new(), |whole, part| {
        let separator = if is_part_of_name(&whole) { alias.as_str() } else { "" };
        whole + separator + part
    }))
}
