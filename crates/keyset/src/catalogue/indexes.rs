//! Checks that an index serves each order. The index begins with the scope and the filters, in any order, and continues
//! with the keys, sorted as declared or all reversed. Which index Postgres chooses under filters is not checked here.
//! That depends on the rows in the table, so the conformance kit checks it with enough of them.

use std::collections::BTreeSet;

use sqlx::FromRow;

use super::{
    Check, constraints,
    types::{Expression, definition, named},
};
use crate::listing::{Key, Listing, Nulls, Order, Sort};

/// An index of the table that compares in the default way, and holds every row of the list.
struct Index {
    /// Its name, as a statement writes it.
    name: String,
    is_usable: bool,
    columns: Vec<IndexColumn>,
}

/// A column of an index.
#[derive(Debug, FromRow)]
struct IndexColumn {
    index: String,
    is_usable: bool,
    predicate: Option<String>,
    definition: String,
    collation: Option<String>,
    /// Whether it compares in the default way.
    is_default: bool,
    is_descending: bool,
    is_nulls_first: bool,
}

impl Index {
    /// The columns, in order, of all B-trees. The columns that are only included are left out.
    const COLUMNS: &str = "
        select i.indexrelid::regclass::text as index,
            i.indisvalid and i.indisready as is_usable,
            pg_get_expr(i.indpred, i.indrelid) as predicate,
            pg_get_indexdef(i.indexrelid, place, true) as definition,
            nullif(i.indcollation[place - 1], 0)::regcollation::text as collation,
            o.opcdefault as is_default,
            i.indoption[place - 1] & 1 > 0 as is_descending,
            i.indoption[place - 1] & 2 > 0 as is_nulls_first
        from pg_index i
        join pg_class c on c.oid = i.indexrelid
        join pg_am a on a.oid = c.relam
        cross join generate_series(1, i.indnkeyatts) as place
        join pg_opclass o on o.oid = i.indclass[place - 1]
        where i.indrelid = $1::regclass and i.indislive and a.amname = 'btree'
        order by i.indexrelid, place";

    async fn all(check: &mut Check<'_>) -> sqlx::Result<Vec<Self>> {
        let listing = check.listing;
        let columns: Vec<IndexColumn> =
            sqlx::query_as(Self::COLUMNS).bind(listing.from).fetch_all(&mut *check.connection).await?;
        let mut indexes: Vec<Self> = Vec::new();
        for mut column in columns {
            check.begin().await?;
            // Normalized like the listing's expressions, so that constants are written alike.
            let definition = definition(check.connection, listing, &column.definition).await;
            column.definition = check.end(&column.index, definition).await?.unwrap_or_default();
            match indexes.last_mut().filter(|index| index.name == column.index) {
                Some(index) => index.columns.push(column),
                None => {
                    indexes.push(Self {
                        name: column.index.clone(),
                        is_usable: column.is_usable,
                        columns: vec![column],
                    });
                }
            }
        }
        let mut whole = Vec::new();
        for index in indexes {
            check.begin().await?;
            let predicate = index.columns.first().and_then(|column| column.predicate.as_deref());
            let has_every_row = constraints::has_every_row(check.connection, listing, predicate).await;
            if check.end(&index.name, has_every_row).await? == Some(true) {
                whole.push(index);
            }
        }
        Ok(whole)
    }
}

impl IndexColumn {
    fn is(&self, expression: &Expression) -> bool {
        self.is_default && self.definition == expression.definition && self.collation == expression.collation
    }

    fn sorts_as(&self, key: &Key) -> bool {
        let nulls = match key.nulls {
            Nulls::Never => true,
            Nulls::First => self.is_nulls_first,
            Nulls::Last => !self.is_nulls_first,
        };
        nulls && self.is_descending == (key.sort == Sort::Descending)
    }
}

/// Checks that an index serves each order alone and under each set of filters that it names. Returns the names of the
/// orders that have all their indexes.
pub(super) async fn check(check: &mut Check<'_>, expressions: &[Expression]) -> sqlx::Result<Vec<&'static str>> {
    let listing = check.listing;
    let indexes = Index::all(check).await?;
    let mut missing: Vec<Wanted> = Vec::new();
    let mut served = Vec::new();
    for order in listing.orders {
        let mut is_served = true;
        for filters in std::iter::once(&[][..]).chain(order.indexed.iter().copied()) {
            let Some(wanted) = Wanted::new(listing, order, filters, expressions) else {
                is_served = false;
                continue;
            };
            let serves = |index: &&Index| wanted.is_served_by(&index.columns).unwrap_or(false);
            if indexes.iter().filter(|index| index.is_usable).any(|index| serves(&index)) {
                continue;
            }
            is_served = false;
            let invalid = indexes.iter().find(serves).map(|index| index.name.clone());
            Wanted { invalid, ..wanted }.add_to(&mut missing);
        }
        if is_served {
            served.push(order.name);
        }
    }
    for wanted in missing {
        wanted.advise(check);
    }
    Ok(served)
}

/// The index that an order needs.
#[derive(Debug, Clone)]
struct Wanted<'e> {
    /// Its first columns, in any sequence and with any sort.
    fixed: Vec<&'e Expression>,
    /// The columns after those, in this sequence and with this sort or its reverse.
    keys: Vec<(Key, &'e Expression)>,
    /// The orders that it serves, each with its filters.
    serves: Vec<String>,
    /// The name of an index that would serve if it were valid.
    invalid: Option<String>,
}

impl<'e> Wanted<'e> {
    /// `None` if an expression has a problem of its own.
    fn new(listing: &Listing, order: &Order, filters: &[&str], expressions: &'e [Expression]) -> Option<Self> {
        let column = |name: &&str| listing.filter(name)?.equal_column();
        let fixed = listing.scope.iter().copied().chain(filters.iter().filter_map(column));
        let mut wanted = Self { fixed: Vec::new(), keys: Vec::new(), serves: Vec::new(), invalid: None };
        for text in fixed {
            let found = named(expressions, text)?;
            if !wanted.fixed.iter().any(|fixed| fixed.text == text) {
                wanted.fixed.push(found);
            }
        }
        for key in order.keys {
            let found = named(expressions, key.expression)?;
            // A key that a condition or a key before it fixes to one value needs no sort.
            let is_fixed =
                wanted.fixed.iter().chain(wanted.keys.iter().map(|(_, key)| key)).any(|it| it.text == found.text);
            if !is_fixed {
                wanted.keys.push((*key, found));
            }
        }
        let under = if filters.is_empty() { String::new() } else { format!(" with {}", filters.join(" and ")) };
        wanted.serves.push(format!("the order \"{}\"{under}", order.name));
        Some(wanted)
    }

    /// Whether the index serves; `None` if it has too few columns.
    fn is_served_by(&self, index: &[IndexColumn]) -> Option<bool> {
        let (first, then) = index.split_at_checked(self.fixed.len())?;
        let then = then.get(..self.keys.len())?;
        let pairs = || then.iter().zip(&self.keys);
        let has_fixed = self.fixed.iter().all(|fixed| first.iter().any(|column| column.is(fixed)));
        let has_keys = pairs().all(|(column, (_, expression))| column.is(expression));
        let sorts = pairs().all(|(column, (key, _))| column.sorts_as(key));
        let sorts_reversed = pairs().all(|(column, (key, _))| column.sorts_as(&key.reversed()));
        Some(has_fixed && has_keys && (sorts || sorts_reversed))
    }

    /// Whether this index, if it existed, would also serve the other order.
    fn covers(&self, other: &Self) -> bool {
        let fixed = |wanted: &Self| wanted.fixed.iter().map(|fixed| fixed.text).collect::<BTreeSet<_>>();
        let begins = |keys: Vec<Key>| {
            let mut own = self.keys.iter().map(|(key, _)| *key);
            keys.into_iter().all(|key| own.next() == Some(key))
        };
        let keys = || other.keys.iter().map(|(key, _)| *key);
        fixed(self) == fixed(other) && (begins(keys().collect()) || begins(keys().map(Key::reversed).collect()))
    }

    /// Adds it to the missing indexes, unless one of them covers it.
    fn add_to(mut self, missing: &mut Vec<Self>) {
        if let Some(other) = missing.iter_mut().find(|other| other.covers(&self)) {
            other.serves.append(&mut self.serves);
        } else if let Some(other) = missing.iter_mut().find(|other| self.covers(other)) {
            other.serves.append(&mut self.serves);
            *other = Self { serves: std::mem::take(&mut other.serves), ..self };
        } else {
            missing.push(self);
        }
    }

    fn advise(&self, check: &mut Check<'_>) {
        let listing = check.listing;
        // Postgres cannot create an index of a partitioned table without blocking writes.
        let concurrently = if check.is_partitioned { "" } else { " concurrently" };
        let condition = check.predicate.map(|condition| format!(" where ({condition})")).unwrap_or_default();
        let create = format!("create index{concurrently} on {} ({self}){condition}", listing.from);
        let serves = self.serves.join(", nor ");
        match &self.invalid {
            Some(index) if check.is_partitioned => {
                check.advise(format!("the index {index} is INVALID, and no other serves {serves}"), &[create]);
            }
            Some(index) => check.advise(
                format!("the index {index} is INVALID, and no other serves {serves}"),
                &[format!("reindex index concurrently {index}")],
            ),
            None => check.advise(format!("no index serves {serves}"), &[create]),
        }
    }
}

/// The columns as CREATE INDEX writes them.
impl std::fmt::Display for Wanted<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let column = |expression: &Expression| match expression.is_column {
            true => expression.definition.clone(),
            false => format!("({})", expression.text),
        };
        let fixed = self.fixed.iter().map(|expression| column(expression));
        let keys = self.keys.iter().map(|(key, expression)| key.order_by(&column(expression)));
        formatter.write_str(&fixed.chain(keys).collect::<Vec<_>>().join(", "))
    }
}

/// Checks that the columns of indexed filters are set to have many distinct values: see [`Order::indexed`].
pub(super) async fn check_distinct(check: &mut Check<'_>, expressions: &[Expression]) -> sqlx::Result<()> {
    let listing = check.listing;
    let is_set = "
        select exists (
            select from pg_options_to_table(attoptions)
            where option_name = 'n_distinct' and (option_value::float8 >= 100 or option_value::float8 < 0)
        )
        from pg_attribute where attrelid = $1::regclass and quote_ident(attname) = $2";
    let names: Vec<_> = listing.orders.iter().flat_map(|order| order.indexed).copied().flatten().collect();
    for name in names {
        let column = listing.filter(name).and_then(|filter| filter.equal_column());
        let Some(Expression { definition, .. }) = column.and_then(|column| named(expressions, column)) else {
            continue;
        };
        let is_set = sqlx::query_scalar(is_set).bind(listing.from).bind(definition);
        match is_set.fetch_optional(&mut *check.connection).await? {
            Some(true) => {}
            Some(false) => check.advise(
                format!(
                    "Postgres may not use the index of the filter {name} while {definition} has few distinct values"
                ),
                &[
                    format!("alter table {} alter column {definition} set (n_distinct = 1000)", listing.from),
                    // Only then does the setting take effect.
                    format!("analyze {}", listing.from),
                ],
            ),
            None => check.report(format!(
                "the filter {name} is indexed, but {definition} is not a column: add a generated column for it"
            )),
        }
    }
    Ok(())
}
