use keyset::Statement;

use crate::{Field, field::Value};

/// Rows to insert, each as the list of its fields: a CTE of their values, and the INSERT that reads it.
///
/// Each column is bound as one array, so the statement is the same for any number of rows. `$1` is the workspace.
#[derive(Debug)]
pub struct Rows<'m> {
    rows: Vec<Vec<Field<'m>>>,
    /// The number of the first parameter.
    first: usize,
}

impl<'m> Rows<'m> {
    /// Rows with the same columns. Their parameters begin with `$2`.
    pub fn new(rows: impl Iterator<Item = Vec<Field<'m>>>) -> Self {
        Self { rows: rows.collect(), first: 2 }
    }

    /// Numbers the parameters after those of other rows in the same statement.
    #[must_use]
    pub fn after(self, others: &Rows<'_>) -> Self {
        Self { first: others.next_parameter(), ..self }
    }

    /// The number of the first parameter after these rows.
    pub fn next_parameter(&self) -> usize {
        self.first + self.columns().len()
    }

    fn columns(&self) -> &[Field<'m>] {
        self.rows.first().map(Vec::as_slice).unwrap_or_default()
    }

    /// `unnest(…) as given (…)`: the rows as a table.
    pub fn given(&self) -> String {
        let arrays = self.columns().iter().zip(self.first..);
        let arrays = arrays.map(|(field, number)| format!("${number}::{}[]", field.value.element_type()));
        format!("unnest({}) as given ({})", join(arrays), self.names())
    }

    /// `insert into … select … from given order by …`, without the columns that the service fills by SQL.
    ///
    /// `order_by` is a unique key. Two calls with the same rows then insert them in the same order, and do not
    /// deadlock. With a second unique key, rows that pair the keys differently can still deadlock.
    pub fn insert_into(&self, table: &str, order_by: &str) -> String {
        let values = self.columns().iter().map(|field| match field.value {
            Value::TextArray(_) => format!("array(select jsonb_array_elements_text({}))", field.column),
            Value::Tsvector(_) => format!("{}::tsvector", field.column),
            Value::Text(_)
            | Value::Jsonb(_)
            | Value::Bool(_)
            | Value::Int4(_)
            | Value::Int8(_)
            | Value::Float8(_)
            | Value::Numeric(_)
            | Value::Timestamptz(_)
            | Value::Uuid(_)
            | Value::Bytea(_) => field.column.to_owned(),
        });
        let (names, values, given) = (self.names(), join(values), self.given());
        format!("insert into {table} (workspace_id, {names}) select $1, {values} from {given} order by {order_by}")
    }

    /// Binds the columns.
    pub fn bind(&self, statement: Statement) -> Statement {
        let values = self.rows.iter().flatten().map(|field| field.value);
        let statement = statement.reserve(values.map(|value| value.bytes()).sum());
        (0..self.columns().len()).fold(statement, |statement, place| {
            let column: Vec<_> = self.rows.iter().filter_map(|row| Some(row.get(place)?.value)).collect();
            Value::bind_column(&column, statement)
        })
    }

    /// The complete statement that inserts the rows of a workspace into a table.
    pub fn insert(&self, workspace: &str, table: &str, order_by: &str) -> Statement {
        self.bind(Statement::built(self.insert_into(table, order_by).into()).bind(workspace))
    }

    fn names(&self) -> String {
        join(self.columns().iter().map(|field| field.column.to_owned()))
    }
}

fn join(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(", ")
}
