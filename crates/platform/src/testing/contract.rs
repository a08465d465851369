//! The contract kit: one call in a service's tests that checks each method against the rules of all methods.
//!
//! ```no_run
//! # use platform::testing::contract::Contract;
//! # async fn example(prompts: &'static platform::Service) {
//! Contract::of(prompts)
//!     .example("CreatePrompt", r#"{"prompt": {"id": "…", "name": "greeting"}, "version": {"content": "Hello"}}"#)
//!     .example("GetPrompt", r#"{"id": "…"}"#)
//!     // … one example or more of each method
//!     .unique("Prompt.id").unique("Prompt.name")
//!     .text("Prompt.name", 1..=256).text("PromptVersion.content", 1..=1 << 20)
//!     .check()
//!     .await;
//! # }
//! ```
//!
//! [`Many::assert_calls`](super::Many::assert_calls) checks that calls find their rows by an index.
//!
//! The kit finds the methods and their fields in the service's descriptor. It tests each method through a real socket,
//! in workspaces in which the examples before the method's own have been called:
//!
//! - `callers`: a call without a caller is `UNAUTHENTICATED`; a workspace must have a valid name.
//! - `refusals`: each field of each request refuses invalid values with an error that names the field; one error names
//!   everything that is wrong; nothing is written. Values at the limits are accepted. A field that the example omits is
//!   not read: its value has no effect.
//! - `answers`: the answer of a method matches its request, and a later Get or List returns the same.
//! - `isolation`: the answers in a workspace do not depend on other workspaces.
//! - `updates`: masks as in AIP-134, etags, and times that only move forward.
//! - `batches`: all or nothing, 1 to 1,000 requests, no duplicates; existing records are refused or skipped.
//! - `resources`: the fields that no creation reads are marked as output only.
//! - `tokens`: each filter has an effect, and a page token opens only for its own query.
#![expect(clippy::wildcard_enum_match_arm, reason = "the contract has no other types of values")]

mod answers;
mod batches;
mod callers;
mod client;
mod filters;
mod isolation;
mod method;
mod overlaps;
mod paths;
mod reads;
mod refusals;
mod resources;
mod run;
mod tokens;
mod updates;
mod values;
mod wrong;

use std::{collections::BTreeMap, ops::RangeInclusive};

use prost_reflect::ServiceDescriptor;

use self::{method::Method, paths::Path, run::Run};
use crate::Service;

/// A service under test, with the rules that are not in its descriptor.
#[derive(Debug, Clone)]
pub struct Contract {
    registration: &'static Service,
    service: ServiceDescriptor,
    examples: Vec<Method>,
    unique: Vec<String>,
    required: Vec<String>,
    volatile: Vec<String>,
    only_listed: Vec<String>,
    parameters: Vec<String>,
    texts: BTreeMap<String, RangeInclusive<usize>>,
    forms: BTreeMap<String, Form>,
    numbers: BTreeMap<String, RangeInclusive<f64>>,
    exceptions: Vec<(String, String)>,
}

/// Valid and invalid texts for a field, and the error for the invalid ones.
#[derive(Debug, Clone)]
struct Form {
    says: &'static str,
    right: Vec<String>,
    wrong: Vec<String>,
}

impl Contract {
    /// Begins the test of a service.
    pub fn of(service: &'static Service) -> Self {
        Self {
            registration: service,
            service: client::service(service.grpc_name),
            examples: Vec::new(),
            unique: Vec::new(),
            required: Vec::new(),
            volatile: Vec::new(),
            only_listed: Vec::new(),
            parameters: Vec::new(),
            texts: BTreeMap::new(),
            forms: BTreeMap::new(),
            numbers: BTreeMap::new(),
            exceptions: Vec::new(),
        }
    }

    /// Adds a request of a method, in JSON, that succeeds after the examples before it have been called. It must
    /// contain every field that the method reads, except `page`, `order_by`, `update_mask` and `etag`, with ids as
    /// UUIDs in lower case. Further examples of a method create more rows: a list must find two rows with all of its
    /// filters.
    pub fn example(mut self, method: &str, json: &str) -> Self {
        let found = self.service.methods().find(|descriptor| descriptor.name() == method);
        let descriptor = found.unwrap_or_else(|| panic!("{} has no method {method}", self.service.name()));
        let request = client::request(&descriptor, json);
        self.examples.push(Method { descriptor, request, place: self.examples.len() });
        self
    }

    /// Names a field that is unique in a workspace, as in `Prompt.name`. A unique id can be omitted when a row is
    /// created.
    pub fn unique(mut self, field: &str) -> Self {
        self.unique.push(field.to_owned());
        self
    }

    /// Names a required field, as in `Memory.scope`, or as in `UpdateAgent agent.status` for one method. Ids, and
    /// fields whose range excludes the empty value, are required anyway.
    pub fn required(mut self, field: &str) -> Self {
        self.required.push(field.to_owned());
        self
    }

    /// Names a field that other calls change, as in `Agent.load`. Existing rows that differ only in this field are
    /// identical.
    pub fn volatile(mut self, field: &str) -> Self {
        self.volatile.push(field.to_owned());
        self
    }

    /// Names a field that a list returns, and Get does not, as in `Prompt.latest`.
    pub fn only_listed(mut self, field: &str) -> Self {
        self.only_listed.push(field.to_owned());
        self
    }

    /// Names a field of a list's request that defines the rows instead of filtering them.
    pub fn parameter(mut self, field: &str) -> Self {
        self.parameters.push(field.to_owned());
        self
    }

    /// Sets the range of a text's length in bytes.
    pub fn text(mut self, field: &str, bytes: RangeInclusive<usize>) -> Self {
        self.texts.insert(field.to_owned(), bytes);
        self
    }

    /// Sets valid and invalid texts for a field with its own format, or for each element of a repeated field, and the
    /// error for the invalid ones.
    pub fn form(mut self, field: &str, says: &'static str, right: &[&str], wrong: &[&str]) -> Self {
        let [right, wrong] = [right, wrong].map(|texts| texts.iter().map(|&text| text.to_owned()).collect());
        self.forms.insert(field.to_owned(), Form { says, right, wrong });
        self
    }

    /// Sets the range of a number, or of a duration in seconds.
    pub fn number(mut self, field: &str, range: RangeInclusive<f64>) -> Self {
        self.numbers.insert(field.to_owned(), range);
        self
    }

    /// Expects the problems whose report begins with this text, for a reason. If none is found, that is a problem too.
    pub fn except(mut self, problem: &str, reason: &str) -> Self {
        self.exceptions.push((problem.to_owned(), reason.to_owned()));
        self
    }

    /// Tests the service on a new database.
    ///
    /// # Panics
    ///
    /// When there are problems, with a report of all of them.
    pub async fn check(self) {
        let run = Run::new(&self).await;
        self.check_examples(&run);
        self.check_output_only(&run);
        run.check_callers().await;
        run.check_isolation().await;
        for method in self.methods() {
            run.check_refusals(method).await;
            run.check_answers(method).await;
            run.check_deletes(method).await;
            run.check_updates(method).await;
            run.check_batches(method).await;
            run.check_tokens(method).await;
        }
        run.report();
    }

    /// The first example of each method.
    fn methods(&self) -> impl Iterator<Item = &Method> {
        let is_first = |method: &&Method| {
            !self.examples[..method.place].iter().any(|before| before.descriptor == method.descriptor)
        };
        self.examples.iter().filter(is_first)
    }

    fn check_examples(&self, run: &Run<'_>) {
        for descriptor in self.service.methods() {
            let has_example = self.methods().any(|method| method.descriptor == descriptor);
            run.hold(has_example, || format!("{}: no example is given", descriptor.name()));
        }
    }

    fn is_unique(&self, path: &Path) -> bool {
        self.unique.contains(&path.key())
    }
}
