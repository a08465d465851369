//! That an index serves an order: one that begins with the scope and the filters, in any order, and goes on with the keys
//! as they sort, or all of them reversed. Which index Postgres would take is not asked here: that depends on what is in
//! the table, and the conformance kit looks at it with enough in there.

use sqlx::{FromRow, PgConnection};

use super::{Fault, plain, types::Expression};
use crate::listing::{Filter, Key, Listing, Nulls, Order, Sort, Test};

/// A column of an index.
#[derive(Debug, FromRow)]
pub(super) struct IndexColumn {
    index: String,
    definition: String,
    collation: Option<String>,
    is_descending: bool,
    is_nulls_first: bool,
}

impl IndexColumn {
    /// The columns, in order, of the complete B-trees with the default way to compare.
    const SELECT: &str = "
        select i.indexrelid::regclass::text as index,
            pg_get_indexdef(i.indexrelid, place, true) as definition,
            nullif(i.indcollation[place - 1], 0)::regcollation::text as collation,
            i.indoption[place - 1] & 1 > 0 as is_descending,
            i.indoption[place - 1] & 2 > 0 as is_nulls_first
        from pg_index i
        join pg_class c on c.oid = i.indexrelid
        join pg_am a on a.oid = c.relam
        cross join generate_series(1, i.indnkeyatts) as place
        join pg_opclass o on o.oid = i.indclass[place - 1]
        where i.indrelid = $1::regclass and i.indisvalid and i.indpred is null and a.amname = 'btree' and o.opcdefault
        order by i.indexrelid, place";

    pub(super) async fn all(connection: &mut PgConnection, listing: &Listing) -> Result<Vec<Self>, Fault> {
        Ok(sqlx::query_as(Self::SELECT).bind(listing.from).fetch_all(connection).await?)
    }

    fn is(&self, expression: &Expression) -> bool {
        plain(&self.definition) == plain(&expression.definition) && self.collation == expression.collation
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

/// Looks for the index of an order under each set of filters that it names.
pub(super) fn check(
    listing: &Listing,
    order: &Order,
    expressions: &[Expression],
    indexes: &[IndexColumn],
) -> Result<(), Fault> {
    for filters in std::iter::once(&[][..]).chain(order.indexed.iter().copied()) {
        let leading = leading_columns(listing, filters);
        let serves = |index: &[IndexColumn]| serves(index, &leading, order, expressions).unwrap_or(false);
        if !indexes.chunk_by(|a, b| a.index == b.index).any(serves) {
            return Err(missing(listing, order, filters, &leading).into());
        }
    }
    Ok(())
}

/// Whether an index has the leading columns first and then the keys; nothing when it has too few columns.
fn serves(index: &[IndexColumn], leading: &[&str], order: &Order, expressions: &[Expression]) -> Option<bool> {
    let find = |text: &str| expressions.iter().find(|expression| expression.text == text);
    let (head, tail) = index.split_at_checked(leading.len())?;
    let leads = |column: &&str| find(column).is_some_and(|expression| head.iter().any(|found| found.is(expression)));
    // A key that a condition fixes to one value sorts nothing.
    let keys: Vec<&Key> = order.keys.iter().filter(|key| !leading.contains(&key.expression)).collect();
    let tail = tail.get(..keys.len())?;
    let pairs = || tail.iter().zip(&keys);
    let is_same = pairs().all(|(column, key)| find(key.expression).is_some_and(|expression| column.is(expression)));
    let sorts = pairs().all(|(column, key)| column.sorts_as(key));
    let sorts_reversed = pairs().all(|(column, key)| column.sorts_as(&key.reversed()));
    Some(leading.iter().all(leads) && is_same && (sorts || sorts_reversed))
}

fn leading_columns(listing: &Listing, filters: &[&str]) -> Vec<&'static str> {
    let named = |name: &&str| listing.filters.iter().find(|filter| filter.name == *name).and_then(equal_column);
    listing.scope.iter().copied().chain(filters.iter().filter_map(named)).collect()
}

/// The column of which a filter fixes the value.
pub(super) fn equal_column(filter: &Filter) -> Option<&'static str> {
    match filter.test {
        Test::Equal(column) | Test::AnyOf(column) => Some(column),
        Test::Prefix(_) | Test::AtLeast(_) | Test::LessThan(_) | Test::Condition(_) => None,
    }
}

fn missing(listing: &Listing, order: &Order, filters: &[&str], leading: &[&str]) -> String {
    let under = if filters.is_empty() { String::new() } else { format!(" with {}", filters.join(" and ")) };
    let parenthesized = |expression: &str| {
        let is_column = expression.chars().all(|char| char.is_alphanumeric() || matches!(char, '_' | '"'));
        if is_column { expression.to_owned() } else { format!("({expression})") }
    };
    let keys = order.keys.iter().filter(|key| !leading.contains(&key.expression));
    let keys = keys.map(|key| key.order_by(&parenthesized(key.expression)));
    let columns = leading.iter().copied().map(parenthesized).chain(keys).collect::<Vec<_>>().join(", ");
    format!("no index serves the order \"{}\"{under}: create index on {} ({columns})", order.name, listing.from)
}
