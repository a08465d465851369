//! The statement of a page, read from pg_stat_activity.

use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection, Row, types::Uuid};

use crate::{
    Result,
    client::{Client, PAGE},
    database::Database,
};

/// The statement that the server sends for a page, and its values for one page.
pub(crate) struct PageStatement {
    /// The text with placeholders, such as `$1`.
    pub(crate) text: String,
    pub(crate) values: Vec<String>,
    /// Postgres's plan for the statement, with actual row counts.
    pub(crate) plan: String,
}

impl PageStatement {
    /// Finds the statement for the page of 50 rows at this token, which begins after the row with this id.
    ///
    /// The statement is run once, and must return the rows of the page.
    pub(crate) async fn of_page(database: &Database, client: &mut Client, token: &str, behind: &str) -> Result<Self> {
        // Postgres shows only the last statement of a connection, so there is one call, and no other activity.
        let page = client.full_page(token).await?;
        let text = last_statement(database).await?;

        let mut connection = database.options_for_pages().connect().await?;
        sqlx::raw_sql(AssertSqlSafe(format!("prepare page as {text}"))).execute(&mut connection).await?;
        let values = values(&mut connection, behind).await?;
        let literals: Vec<String> = values.iter().map(|value| format!("'{value}'")).collect();
        let execute = format!("execute page ({})", literals.join(", "));

        let rows = sqlx::raw_sql(AssertSqlSafe(execute.clone())).fetch_all(&mut connection).await?;
        let ids: Vec<String> =
            rows.iter().map(|row| Ok(row.try_get::<Uuid, _>("id")?.to_string())).collect::<Result<_>>()?;
        // It fetches one more row than the page has, to see whether there is a next page.
        if !page.prompts.iter().map(|prompt| &prompt.id).eq(ids.iter().take(PAGE)) {
            return Err("the statement with these values gives other rows than the page".into());
        }

        let explain = format!("explain (analyze, buffers) {execute}");
        let plan = sqlx::raw_sql(AssertSqlSafe(explain)).fetch_all(&mut connection).await?;
        let plan: Vec<String> = plan.iter().map(|row| row.try_get(0)).collect::<sqlx::Result<_>>()?;
        connection.close().await?;
        Ok(Self { text, values, plan: plan.join("\n") })
    }
}

/// The last statement of the server on the list's table. The server also has connections that run other statements, or
/// none.
async fn last_statement(database: &Database) -> Result<String> {
    let mut connection = database.connect().await?;
    let sql = "
        select query from pg_stat_activity
        where application_name = 'quire' and datname = current_database() and query like '%from prompts%'
        order by query_start desc limit 1";
    let text = sqlx::query_scalar(sql).fetch_one(&mut connection).await?;
    connection.close().await?;
    Ok(text)
}

/// The values for the statement that is prepared as `page`. Each follows from the parameter's type, because parameters
/// with different meanings have different types.
async fn values(connection: &mut PgConnection, behind: &str) -> Result<Vec<String>> {
    let sql = "select parameter_types::text[] from pg_prepared_statements where name = 'page'";
    let types: Vec<String> = sqlx::query_scalar(sql).fetch_one(&mut *connection).await?;
    let sql = "select create_time::text from prompts where workspace_id = 'default' and id = $1::text::uuid";
    let create_time: String = sqlx::query_scalar(sql).bind(behind).fetch_one(&mut *connection).await?;
    let value = |name: &String| match name.as_str() {
        "text" => Ok("default".to_owned()),
        "timestamp with time zone" => Ok(create_time.clone()),
        "uuid" => Ok(behind.to_owned()),
        "bigint" => Ok((PAGE + 1).to_string()),
        _ => Err(format!("the statement has a parameter of type {name}, for which there is no value").into()),
    };
    types.iter().map(value).collect()
}
