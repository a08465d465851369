//! A running test of a service: its calls, the rows in the database, and the problems found.

use std::{
    collections::BTreeSet,
    sync::{
        Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use prost_reflect::{DynamicMessage, Value};
use sqlx::{AssertSqlSafe, PgPool};
use tonic::{Code, Status, transport::Channel};
use tonic_types::StatusExt;
use uuid::Uuid;

use super::{
    Contract,
    client::{self, Answer},
    method::Method,
    paths,
};
use crate::{
    Clock, Platform,
    testing::{self, Hands, told},
};

/// A running test of a service.
pub struct Run<'a> {
    pub contract: &'a Contract,
    pub hands: Hands,
    channel: Channel,
    pool: PgPool,
    numbers: AtomicU32,
    problems: Mutex<Vec<String>>,
}

impl<'a> Run<'a> {
    /// Opens the service on a new database.
    pub async fn new(contract: &'a Contract) -> Self {
        let hands = Hands::at_present();
        // More precise than the times in the database, so that an answer with an untruncated time differs from a later
        // answer.
        let seconds = hands.clock();
        let clock = Clock::new(move || seconds.now() + Duration::from_nanos(123_456_789));
        let platform = Platform { clock, ..testing::platform().await };
        Self {
            contract,
            hands,
            channel: testing::serve_on(&platform, contract.registration).await,
            pool: testing::pool(&platform),
            numbers: AtomicU32::new(0),
            problems: Mutex::default(),
        }
    }

    /// Requires a condition to hold; otherwise reports this problem.
    pub fn hold(&self, is_so: bool, problem: impl FnOnce() -> String) {
        if !is_so {
            self.problems.lock().unwrap().push(problem());
        }
    }

    /// Panics if there are unexpected problems, or if an expected problem was not found.
    pub fn report(&self) {
        let mut problems = self.problems.lock().unwrap().clone();
        for (expected, reason) in &self.contract.exceptions {
            let count = problems.len();
            problems.retain(|problem| !problem.starts_with(expected));
            if problems.len() == count {
                problems.push(format!("{expected}: this problem is expected ({reason}), but was not found"));
            }
        }
        assert!(problems.is_empty(), "{} problems:\n\n{}", problems.len(), problems.join("\n\n"));
    }

    fn number(&self) -> u32 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// The name of a new, empty workspace.
    pub fn new_workspace(&self) -> String {
        // The longest valid name.
        format!("{:->63}", self.number())
    }

    /// A workspace in which the examples before this one have been called.
    pub async fn workspace_for(&self, method: &Method) -> String {
        let workspace = self.new_workspace();
        self.fill(&workspace, &self.contract.examples[..method.place]).await;
        workspace
    }

    /// Calls examples one after the other.
    pub async fn fill(&self, workspace: &str, examples: &[Method]) {
        for example in examples {
            let answer = self.call(workspace, example, &example.request).await;
            self.hold_ok(&answer, || format!("{}: its example, in {workspace}", example.name()));
        }
    }

    /// Calls a method as a caller of a workspace.
    pub async fn call(&self, workspace: &str, method: &Method, request: &DynamicMessage) -> Answer {
        client::call(&self.channel, workspace, &method.descriptor, request).await
    }

    /// Requires an answer not to be an error.
    pub fn hold_ok(&self, answer: &Answer, what: impl FnOnce() -> String) {
        self.hold(answer.is_ok(), || format!("{}: {}", what(), describe(answer)));
    }

    /// Requires an answer to be this error.
    pub fn hold_code(&self, answer: &Answer, code: Code, what: impl FnOnce() -> String) {
        let is_so = answer.as_ref().is_err_and(|status| status.code() == code);
        self.hold(is_so, || format!("{}: is not {code:?} but {}", what(), describe(answer)));
    }

    /// Requires an answer to be INVALID_ARGUMENT with exactly these fields, each with this text in its description.
    pub fn hold_refused(&self, answer: &Answer, fields: &BTreeSet<String>, says: &str, what: impl Fn() -> String) {
        self.hold_code(answer, Code::InvalidArgument, &what);
        let Err(status) = answer else { return };
        let violations = status.get_error_details().bad_request().map(|bad| bad.field_violations.clone());
        let violations = violations.unwrap_or_default();
        let named: BTreeSet<_> = violations.iter().map(|violation| violation.field.clone()).collect();
        self.hold(named == *fields, || format!("{}: names {named:?}, not {fields:?}", what()));
        let is_said = violations.iter().any(|violation| violation.description.contains(says));
        self.hold(is_said, || format!("{}: does not say {says:?} but {}", what(), describe(answer)));
        let is_in_message = violations.iter().all(|violation| status.message().contains(&violation.description));
        self.hold(is_in_message, || format!("{}: the message does not say all of it: {}", what(), describe(answer)));
    }

    /// Requires an answer to be an error about a resource that has the resource's kind, and a field of the request with
    /// its value.
    pub fn hold_about(&self, answer: &Answer, code: Code, request: &DynamicMessage, what: impl Fn() -> String) {
        self.hold_code(answer, code, &what);
        let Err(status) = answer else { return };
        let details = status.get_error_details();
        let kind = details.resource_info().map(|info| info.resource_type.clone()).unwrap_or_default();
        let is_kind = self.contract.service.parent_pool().get_message_by_name(&kind).is_some();
        self.hold(is_kind, || format!("{}: does not name the kind of resource: {}", what(), describe(answer)));
        let name = details.resource_info().map(|info| info.resource_name.to_lowercase()).unwrap_or_default();
        let field = named_field(status);
        let mut leaves = paths::leaves(request).into_iter();
        let leaf = leaves.find(|leaf| leaf.path.to_string() == field);
        // An omitted value has a default, which is not in the request.
        let is_value = leaf.is_some_and(|leaf| !leaf.is_given || name.contains(&text(&leaf.path.get(request))));
        self.hold(is_value, || {
            format!("{}: the name does not say the value of {field:?}: {}", what(), describe(answer))
        });
    }

    /// All rows of a workspace, each with the transaction that wrote it.
    pub async fn rows(&self, workspace: &str) -> Vec<String> {
        let mut rows = Vec::new();
        for table in self.tables().await {
            let sql =
                format!("select '{table} ' || xmin || {table}::text from {table} where workspace_id = $1 order by 1");
            let query = sqlx::query_scalar::<_, String>(AssertSqlSafe(sql)).bind(workspace);
            rows.extend(query.fetch_all(&self.pool).await.unwrap());
        }
        rows
    }

    /// Deletes everything of every workspace.
    pub async fn clear(&self) {
        // Foreign keys are not checked, so that the order of the tables does not matter.
        let mut sql = "set session_replication_role = replica;".to_owned();
        self.tables().await.iter().for_each(|table| sql += &format!("delete from {table};"));
        sqlx::raw_sql(AssertSqlSafe(sql + "reset session_replication_role")).execute(&self.pool).await.unwrap();
    }

    async fn tables(&self) -> Vec<String> {
        let sql = "select quote_ident(relname) from pg_class join pg_attribute on attrelid = pg_class.oid
            where relkind = 'r' and attname = 'workspace_id' order by relname";
        sqlx::query_scalar(sql).fetch_all(&self.pool).await.unwrap()
    }

    /// The request with new values in all unique fields.
    pub fn fresh(&self, request: &DynamicMessage) -> DynamicMessage {
        let mut request = request.clone();
        for leaf in paths::leaves(&request) {
            if leaf.is_given && self.contract.is_unique(&leaf.path) {
                let value = self.fresh_value(&leaf.path.get(&request));
                leaf.path.set(&mut request, Some(value));
            }
        }
        request
    }

    /// A new id or text of the same form.
    pub fn fresh_value(&self, value: &Value) -> Value {
        let number = self.number();
        let id = Uuid::from_u128(0x0193_4f6e_8a3b_7c21_9d55_0000_0000_0000 + u128::from(number));
        Value::String(if is_id(value) { id.to_string() } else { format!("fresh {number}") })
    }
}

/// The field that an error about a resource names.
pub fn named_field(status: &Status) -> String {
    let info = status.get_error_details();
    info.error_info().and_then(|info| info.metadata.get("field").cloned()).unwrap_or_default()
}

/// Whether a value in an example is an id.
pub fn is_id(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.len() == 36 && text.parse::<Uuid>().is_ok())
}

/// A value as text in an error.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.to_lowercase(),
        value => value.to_string(),
    }
}

/// An answer as text in a report.
pub fn describe(answer: &Answer) -> String {
    match answer {
        Ok(message) => format!("OK {}", shorten(&message.to_string())),
        Err(status) => shorten(&told(status)),
    }
}

/// The beginning of a text, if it is long.
pub fn shorten(text: &str) -> String {
    text.chars().take(300).collect()
}
