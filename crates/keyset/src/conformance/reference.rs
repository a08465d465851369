//! The rows of a list by one plain statement, which shares no text with the statements that it is compared with.
//!
//! A subquery first computes each expression of the declaration as a column of its own, where it cannot run into what
//! stands beside it. Values are literals.

use sqlx::{AssertSqlSafe, FromRow, Row, postgres::PgRow};

use super::{Conformance, Filters, fail, walk::KeyRow};
use crate::{
    array::Array,
    listing::{Filter, Order, Test, WHERE},
    select::key_column,
    selection::Selection,
    shape::Slot,
    source::or_true,
    target::Target,
    value::Value,
};

/// A plain statement while it is written.
#[derive(Default)]
struct Reference {
    /// What the subquery computes, with the names.
    columns: Vec<String>,
    conditions: Vec<String>,
}

impl Reference {
    /// Computes an expression, and returns the name of its column.
    fn column(&mut self, expression: &str) -> String {
        let name = format!("reference_{}", self.columns.len() + 1);
        self.columns.push(format!("{expression} as {name}"));
        name
    }
}

impl Conformance<'_> {
    /// The keys of all matching rows, in order.
    pub(super) async fn expected(&self, order: &Order, filters: &Filters) -> Vec<KeyRow> {
        let keys: Vec<_> = (0..order.keys.len()).map(key_column).collect();
        let rows = self.reference(order, filters, &keys.join(", "), "").await;
        rows.iter().map(|row| KeyRow::from_row(row).unwrap_or_else(fail)).collect()
    }

    /// These columns of all matching rows, in order. A column is one of the list, or a key.
    pub(super) async fn reference(&self, order: &Order, filters: &Filters, columns: &str, end: &str) -> Vec<PgRow> {
        let selection = self.selection(order, filters);
        let listing = selection.listing;
        let mut reference = Reference { columns: vec![listing.columns.to_owned()], conditions: Vec::new() };
        let mut from = listing.from.to_owned();
        for (place, (name, value)) in listing.parameters.iter().zip(&selection.parameters).enumerate() {
            from = from.replace(&format!("{{{name}}}"), &self.literal(&selection, Slot::Parameter(place), value).await);
        }
        let conditions = self.conditions(&selection, &mut reference).await;
        if listing.places_conditions() {
            from = from.replace(WHERE, &or_true(&conditions));
        } else {
            reference.conditions = conditions;
        }
        let keys = order.keys.iter().enumerate();
        reference.columns.extend(keys.map(|(place, key)| format!("{} as {}", key.expression, key_column(place))));
        let sort: Vec<_> = order.keys.iter().enumerate().map(|(place, key)| key.order_by(&key_column(place))).collect();
        let Reference { columns: computed, conditions } = reference;
        let condition = or_true(&conditions);
        let (computed, sort) = (computed.join(", "), sort.join(", "));
        // OFFSET 0 keeps Postgres from merging the subquery into the query around it.
        let sql = format!(
            "select {columns} from (select {computed} from {from} offset 0) as reference where {condition} order by {sort} {end}"
        );
        let mut connection = self.list.paging.connections.connection().await.unwrap_or_else(fail);
        sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut **connection).await.unwrap_or_else(fail)
    }

    /// The conditions of the scope and the filters. Outside `from`, they are about columns of the subquery.
    async fn conditions(&self, selection: &Selection, reference: &mut Reference) -> Vec<String> {
        let listing = selection.listing;
        let mut name = |expression: &str| match listing.places_conditions() {
            true => format!("({expression})"),
            false => reference.column(expression),
        };
        let mut conditions: Vec<String> = listing.condition.map(&mut name).into_iter().collect();
        for (place, (column, value)) in listing.conditioned_scope().iter().zip(&selection.scope).enumerate() {
            let value = self.literal(selection, Slot::Scope(place), value).await;
            conditions.push(format!("{} = {value}", name(column)));
        }
        for (place, filter, value) in selection.given() {
            let slot = Slot::Filter(place);
            let literal = self.literal(selection, slot, value).await;
            conditions.push(match filter.test {
                Test::Equal(column) => format!("{} = {literal}", name(column)),
                Test::AtLeast(column) => format!("{} >= {literal}", name(column)),
                Test::LessThan(column) => format!("{} < {literal}", name(column)),
                Test::Prefix(column) => format!("starts_with({}::text, {literal}::text)", name(column)),
                Test::Condition(condition) | Test::Search(condition) => {
                    name(&condition.replace(&filter.marker(), &literal))
                }
                Test::AnyOf(column) => {
                    let column = name(column);
                    let values = self.elements(selection, filter, slot, value).await;
                    let each: Vec<_> = values.iter().map(|value| format!("{column} = {value}")).collect();
                    format!("({})", each.join(" or "))
                }
            });
        }
        conditions
    }

    /// A value as a literal of its type.
    async fn literal(&self, selection: &Selection, slot: Slot, value: &Value) -> String {
        let Some(target) = selection.target(slot) else { return "null".to_owned() };
        let text = self.text(&selection.transport(slot, value), value).await;
        format!("({text}::{}{})", target.name, target.brackets())
    }

    /// The values of a set as literals.
    async fn elements(&self, selection: &Selection, filter: &Filter, slot: Slot, value: &Value) -> Vec<String> {
        let target = selection.target(slot).cloned().unwrap_or_default();
        let element = Target { is_array: false, ..target };
        let array = value.bytes.as_deref().and_then(Array::decode);
        let array = array.unwrap_or_else(|| fail(format!("the filter {} has no array", filter.name)));
        let mut literals = Vec::new();
        for bytes in array.elements.into_iter().flatten() {
            let value = Value { bytes: Some(bytes.into_owned()), is_text: value.is_text };
            let transport = if value.is_text { "text" } else { &element.name };
            literals.push(format!("({}::{})", self.text(transport, &value).await, element.name));
        }
        literals
    }

    /// A value that is bound as this type, as a quoted text.
    pub(super) async fn text(&self, transport: &str, value: &Value) -> String {
        let sql = format!("select quote_nullable(($1::{transport})::text)");
        let mut connection = self.list.paging.connections.connection().await.unwrap_or_else(fail);
        let quoted = sqlx::query(AssertSqlSafe(sql)).bind(value).fetch_one(&mut **connection).await;
        quoted.unwrap_or_else(fail).try_get(0).unwrap_or_else(fail)
    }
}
