//! The types of a listing's keys and filters.

use sqlx::{FromRow, PgConnection, Row, postgres::types::Oid};

use super::Fault;
use crate::{
    listing::{Listing, Test},
    statement::{Bounds, Selection, Statement, Types, or_true},
};

/// A type that values are compared as: for a domain, the type that it is over.
#[derive(Debug, Clone, FromRow)]
pub(super) struct ValueType {
    /// What a cast calls it.
    pub(super) name: String,
    /// The most bytes that its values have, where the type itself says so.
    pub(super) longest: Option<i32>,
    /// The modifier that a domain gives it, as in `varchar(40)`; -1 for none.
    pub(super) modifier: i32,
    /// Whether it is a row type, of which IS NULL asks about the fields.
    pub(super) is_row: bool,
}

impl ValueType {
    /// With the `-1` format_type leaves `bpchar` and `bit` without a length, of which a cast would make 1. An enum travels
    /// as its label, an address as at most 20 bytes, a range as two bounds behind their lengths and one byte of flags.
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
            base.typtype = 'c' as is_row
        from base
        left join pg_range r on r.rngtypid = base.oid
        left join pg_type bound on bound.oid = r.rngsubtype
        where base.typtype <> 'd'
        order by base.depth desc limit 1";
}

/// The types of a listing.
pub(super) struct FoundTypes {
    /// For each order, the type of each of its keys.
    pub(super) keys: Vec<Vec<ValueType>>,
    filters: Vec<Option<ValueType>>,
}

impl FoundTypes {
    pub(super) fn names(&self) -> Types {
        let names = |types: &Vec<ValueType>| types.iter().map(|found| found.name.clone()).collect();
        let filters =
            self.filters.iter().map(|found| found.as_ref().map(|found| found.name.clone()).unwrap_or_default());
        Types { keys: self.keys.iter().map(names).collect(), filters: filters.collect() }
    }
}

/// Has Postgres say what type each key is of, and the column of each filter that takes a set of values.
pub(super) async fn find(connection: &mut PgConnection, listing: &'static Listing) -> Result<FoundTypes, Fault> {
    let mut keys = Vec::new();
    for order in listing.orders {
        let mut types = Vec::new();
        for key in order.keys {
            types.push(find_one(connection, listing, key.expression).await?);
        }
        keys.push(types);
    }
    let mut filters = Vec::new();
    for filter in listing.filters {
        filters.push(match filter.test {
            Test::AnyOf(column) => Some(find_one(connection, listing, column).await?),
            Test::Equal(_) | Test::Prefix(_) | Test::AtLeast(_) | Test::LessThan(_) | Test::Condition(_) => None,
        });
    }
    Ok(FoundTypes { keys, filters })
}

async fn find_one(
    connection: &mut PgConnection,
    listing: &'static Listing,
    expression: &str,
) -> Result<ValueType, Fault> {
    let [order, ..] = listing.orders else { return Err("it must have an order".to_owned().into()) };
    let selection = Selection::of_names(listing, order, &[], &[], &[]);
    let mut statement = Statement::default();
    let source = selection.source(&mut statement, Bounds::Both, false);
    // A subquery that gives no row is null, and still has the type of its column.
    statement.text = format!(
        "select pg_typeof((select {expression} from {} where {} limit 0))::oid",
        source.from,
        or_true(&source.conditions)
    );
    let oid: Oid = statement.query().persistent(false).fetch_one(&mut *connection).await?.try_get(0)?;
    let found = sqlx::query_as(ValueType::SELECT).bind(oid).fetch_optional(&mut *connection).await?;
    found.ok_or_else(|| format!("{expression} has no type that rows can be ordered by").into())
}
