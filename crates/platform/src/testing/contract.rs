//! The contract kit: one call in a service's tests that holds each of its methods to what all methods promise.
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
//! That calls find their rows by an index is for [`Many::assert_calls`](super::Many::assert_calls) to show.
//!
//! The kit reads the service's descriptor and finds by itself which methods there are and what their fields are. A method
//! is tested in workspaces in which the examples before its own have been called, through a real socket:
//!
//! - `callers`: a call without a caller is `UNAUTHENTICATED`; a workspace must have a valid name.
//! - `refusals`: each field of each request refuses each value that is wrong for its type, by its own name; all that is
//!   wrong is named at once; nothing is written. Values at the limits are accepted. A field that the example does not
//!   give is one that the method does not read: any value of it changes nothing.
//! - `answers`: what a method answers is what it was asked for, and what a later Get or List answers.
//! - `isolation`: whatever a workspace has, another workspace gets the answers that it would get without it.
//! - `updates`: masks as in AIP-134, etags, and times that only move forward.
//! - `batches`: all or nothing, 1 to 1,000 requests, no duplicates; existing records are refused or skipped.
//! - `tokens`: each filter takes effect, and a page token opens only for the query that it was made for.
#![expect(clippy::wildcard_enum_match_arm, reason = "a value that the kit does not know is no value of the contract")]

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
mod run;
mod tokens;
mod updates;
mod values;
mod wrong;

use std::{collections::BTreeMap, ops::RangeInclusive};

use prost_reflect::ServiceDescriptor;

use self::{method::Method, paths::Path, run::Run};
use crate::Service;

/// A service under test, with what its descriptor does not say.
#[derive(Debug, Clone)]
pub struct Contract {
    registration: &'static Service,
    service: ServiceDescriptor,
    examples: Vec<Method>,
    unique: Vec<String>,
    required: Vec<String>,
    volatile: Vec<String>,
    parameters: Vec<String>,
    texts: BTreeMap<String, RangeInclusive<usize>>,
    forms: BTreeMap<String, Form>,
    numbers: BTreeMap<String, RangeInclusive<f64>>,
    exceptions: Vec<(String, String)>,
}

/// Texts that are right and texts that are wrong for a field, and what a refusal says.
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
            parameters: Vec::new(),
            texts: BTreeMap::new(),
            forms: BTreeMap::new(),
            numbers: BTreeMap::new(),
            exceptions: Vec::new(),
        }
    }

    /// Gives a request of a method, in JSON, that succeeds once the examples before it have been called. It gives every
    /// field that the method reads (but `page`, `order_by`, `update_mask` and `etag`), with ids as UUIDs in lower case.
    /// Further examples of a method make rows: a list must find two with all of its filters.
    pub fn example(mut self, method: &str, json: &str) -> Self {
        let found = self.service.methods().find(|descriptor| descriptor.name() == method);
        let descriptor = found.unwrap_or_else(|| panic!("{} has no method {method}", self.service.name()));
        let request = client::request(&descriptor, json);
        self.examples.push(Method { descriptor, request, place: self.examples.len() });
        self
    }

    /// Names a field, as in `Prompt.name`, that no two rows of a workspace have in common. An id that is unique may be
    /// left out when a row is made.
    pub fn unique(mut self, field: &str) -> Self {
        self.unique.push(field.to_owned());
        self
    }

    /// Names a field that must be given, where neither its range nor its being an id says so: as in `Memory.scope`, or for
    /// one method as in `UpdateAgent agent.status`.
    pub fn required(mut self, field: &str) -> Self {
        self.required.push(field.to_owned());
        self
    }

    /// Names a field, as in `Agent.load`, that other calls change: a row that exists is as asked for whatever it is.
    pub fn volatile(mut self, field: &str) -> Self {
        self.volatile.push(field.to_owned());
        self
    }

    /// Names a field of a list's request that says what its rows are, and does not narrow them down.
    pub fn parameter(mut self, field: &str) -> Self {
        self.parameters.push(field.to_owned());
        self
    }

    /// Gives the range of a text's length in bytes.
    pub fn text(mut self, field: &str, bytes: RangeInclusive<usize>) -> Self {
        self.texts.insert(field.to_owned(), bytes);
        self
    }

    /// Gives texts that are right and texts that are wrong for a field whose texts have a form of their own, or for each
    /// element of a repeated field, and what a refusal says.
    pub fn form(mut self, field: &str, says: &'static str, right: &[&str], wrong: &[&str]) -> Self {
        let [right, wrong] = [right, wrong].map(|texts| texts.iter().map(|&text| text.to_owned()).collect());
        self.forms.insert(field.to_owned(), Form { says, right, wrong });
        self
    }

    /// Gives the range of a number, or of a duration in seconds.
    pub fn number(mut self, field: &str, range: RangeInclusive<f64>) -> Self {
        self.numbers.insert(field.to_owned(), range);
        self
    }

    /// Expects the problems whose report begins with this text, for a reason. That none is found is a problem as well.
    pub fn except(mut self, problem: &str, reason: &str) -> Self {
        self.exceptions.push((problem.to_owned(), reason.to_owned()));
        self
    }

    /// Tests the service, opened on a database of the test's own.
    ///
    /// # Panics
    ///
    /// When anything is not as it should be, with a report of all problems.
    pub async fn check(self) {
        let run = Run::new(&self).await;
        self.check_examples(&run);
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
