//! Existing rows are refused or skipped, and a batch is created whole or not at all.

use std::collections::BTreeSet;

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, Value};
use quire_proto::requests::max_elements;
use tonic::Code;
use uuid::Uuid;

use super::{
    answers::messages_of,
    method::Method,
    paths::{self, Leaf},
    run::{Run, is_id},
};

/// The maximum number of requests in a batch.
const MOST: usize = 1_000;

impl Run<'_> {
    /// Checks a method that creates rows: existing rows, and batches.
    pub async fn check_batches(&self, method: &Method) {
        if !method.creates(self.contract) {
            return;
        }
        let workspace = self.workspace_for(method).await;
        if let Some(elements) = method.elements() {
            self.check_sizes(&workspace, method, &elements).await;
            self.check_duplicates(&workspace, method, &elements).await;
            self.check_overlaps(method, &elements).await;
        }
        let made = self.call(&workspace, method, &method.request).await;
        self.hold_ok(&made, || format!("{}: its example", method.name()));
        self.check_existing(&workspace, method).await;
        if let Some(flag) = flag(method) {
            let mut request = method.request.clone();
            request.set_field(&flag, Value::Bool(true));
            self.check_skipped(&workspace, method, &request).await;
        } else if always_skips(method) {
            self.check_skipped(&workspace, method, &method.request).await;
        }
    }

    /// A batch has 1 to 1,000 requests. The answer can be read even if all of them are invalid.
    async fn check_sizes(&self, workspace: &str, method: &Method, field: &FieldDescriptor) {
        self.hold(max_elements(field) == MOST, || {
            format!("{}: the limit of {} in the proto", method.name(), field.name())
        });
        let fields = BTreeSet::from([field.name().to_owned()]);
        let before = self.rows(workspace).await;
        for count in [0, MOST + 1] {
            let answer = self.call(workspace, method, &self.sized(method, field, count)).await;
            let what = || format!("{} of {count}", method.name());
            self.hold_refused(&answer, &fields, "must be 1 to 1000", what);
        }
        let mut wrong = self.sized(method, field, MOST);
        for leaf in paths::leaves(&wrong) {
            if self.contract.is_unique(&leaf.path) {
                let value = format!("{}\0", leaf.path.element().unwrap_or_default());
                leaf.path.set(&mut wrong, Some(Value::String(value)));
            }
        }
        let answer = self.call(workspace, method, &wrong).await;
        self.hold_code(&answer, Code::InvalidArgument, || format!("{} of 1,000 that are wrong", method.name()));
        self.hold(self.rows(workspace).await == before, || format!("{}: a refused batch writes", method.name()));
        let other = self.workspace_for(method).await;
        let most = self.sized(method, field, MOST);
        let answer = self.call(&other, method, &most).await;
        self.hold_ok(&answer, || format!("{} of 1,000", method.name()));
        let Ok(answer) = answer else { return };
        self.hold_kept(&other, method, &most, &answer, &format!("{} of 1,000", method.name())).await;
    }

    /// The example with `count` distinct elements.
    pub fn sized(&self, method: &Method, field: &FieldDescriptor, count: usize) -> DynamicMessage {
        let mut request = method.request.clone();
        let elements = messages_of(&request.get_field(field)).into_iter().cycle().take(count);
        request.set_field(field, Value::List(elements.map(Value::Message).collect()));
        self.fresh(&request)
    }

    /// A batch must not repeat a value of a unique field.
    async fn check_duplicates(&self, workspace: &str, method: &Method, field: &FieldDescriptor) {
        if always_skips(method) {
            return;
        }
        let before = self.rows(workspace).await;
        for leaf in self.unique(method) {
            let mut request = self.sized(method, field, 3);
            let leaves = paths::leaves(&request);
            let same: Vec<_> = leaves.iter().filter(|other| other.path.key() == leaf.path.key()).collect();
            let value = same[0].path.get(&request);
            let nil = if is_id(&value) { Value::String(Uuid::nil().to_string()) } else { value.clone() };
            for (first, second) in [(&value, &value), (&value, &upper_case(&value)), (&nil, &nil)] {
                same[0].path.set(&mut request, Some(first.clone()));
                same[2].path.set(&mut request, Some(second.clone()));
                let fields = BTreeSet::from([same[2].path.to_string()]);
                let answer = self.call(workspace, method, &request).await;
                let what = || format!("{} {} twice", method.name(), leaf.path);
                self.hold_refused(&answer, &fields, "must not be repeated in the batch", what);
            }
        }
        self.hold(self.rows(workspace).await == before, || format!("{}: duplicates are written", method.name()));
    }

    /// The value of a unique field of an existing row is ALREADY_EXISTS, whatever the other fields are.
    async fn check_existing(&self, workspace: &str, method: &Method) {
        let before = self.rows(workspace).await;
        if !always_skips(method) {
            let again = self.call(workspace, method, &method.request).await;
            self.hold_about(&again, Code::AlreadyExists, &method.request, || format!("{} again", method.name()));
        }
        for leaf in self.unique(method) {
            let value = leaf.path.get(&method.request);
            for value in [value.clone(), upper_case(&value)] {
                let mut request = self.fresh(&method.request);
                leaf.path.set(&mut request, Some(value));
                if always_skips(method) {
                    // The valid values of other fields can depend on an enum.
                    let is_other = |(leaf, _): &(Leaf, _)| !matches!(leaf.path.field().kind(), Kind::Enum(_));
                    let Some((other, value)) = self.differences(method).into_iter().find(is_other) else { return };
                    other.path.set(&mut request, value);
                }
                let answer = self.call(workspace, method, &request).await;
                let what = || format!("{} {} that exists", method.name(), leaf.path);
                self.hold_about(&answer, Code::AlreadyExists, &request, what);
            }
        }
        self.hold(self.rows(workspace).await == before, || format!("{}: writes what exists", method.name()));
        self.check_alike(workspace, method).await;
    }

    /// Texts are compared byte by byte: a value that only looks like an existing one is a different value.
    async fn check_alike(&self, workspace: &str, method: &Method) {
        for leaf in self.unique(method) {
            let value = leaf.path.get(&method.request);
            let Some(text) = value.as_str().filter(|_| !is_id(&value)) else { continue };
            for alike in [text.to_uppercase(), format!("{text} "), format!("{text}é"), format!("{text}e\u{301}")] {
                let mut request = self.fresh(&method.request);
                leaf.path.set(&mut request, Some(Value::String(alike.clone())));
                let answer = self.call(workspace, method, &request).await;
                self.hold_ok(&answer, || format!("{} {} {alike:?} beside {text:?}", method.name(), leaf.path));
            }
        }
    }

    /// Identical existing records are skipped, and different ones are refused.
    async fn check_skipped(&self, workspace: &str, method: &Method, request: &DynamicMessage) {
        let before = self.rows(workspace).await;
        let again = self.call(workspace, method, request).await;
        self.hold_ok(&again, || format!("{}: skips what exists", method.name()));
        self.check_kept(workspace, method, request, &again, &format!("{} again", method.name())).await;
        self.check_reversed(workspace, method, request).await;
        let unique = self.unique(method);
        for leaf in unique.iter().filter(|leaf| is_id(&leaf.path.get(request)) && unique.len() > 1) {
            let mut request = request.clone();
            leaf.path.set(&mut request, None);
            let without = self.call(workspace, method, &request).await;
            let is_same = again.as_ref().ok() == without.as_ref().ok();
            self.hold(is_same, || format!("{} {}: the answer differs if it is omitted", method.name(), leaf.path));
        }
        for (leaf, value) in self.differences(method).into_iter().chain(self.mismatches(method)) {
            let mut request = self.fresh_but_last(request, &unique);
            leaf.path.set(&mut request, value);
            let answer = self.call(workspace, method, &request).await;
            let what = || format!("{} {} that differs", method.name(), leaf.path);
            self.hold_about(&answer, Code::AlreadyExists, &request, what);
        }
        for (leaf, value) in self.others(method, &|leaf| self.contract.volatile.contains(&leaf.path.key())) {
            let mut request = request.clone();
            leaf.path.set(&mut request, value);
            let answer = self.call(workspace, method, &request).await;
            self.hold_ok(&answer, || format!("{} {} that others change", method.name(), leaf.path));
        }
        self.hold(self.rows(workspace).await == before, || format!("{}: writes what it skips", method.name()));
        self.check_partly_skipped(workspace, method, request).await;
        self.check_repeated(workspace, method, request).await;
    }

    /// An element that repeats an earlier one of the batch is skipped, and one that differs from it is refused.
    async fn check_repeated(&self, workspace: &str, method: &Method, request: &DynamicMessage) {
        let before = self.rows(workspace).await;
        let mut request = self.fresh(request);
        if let Some(Value::List(elements)) = method.elements().map(|field| request.get_field_mut(&field)) {
            elements[0] = elements[elements.len() - 1].clone();
        }
        for (leaf, value) in self.differences(method) {
            let mut request = request.clone();
            leaf.path.set(&mut request, value);
            let answer = self.call(workspace, method, &request).await;
            let what = || format!("{} {} that differs from an earlier element", method.name(), leaf.path);
            self.hold_about(&answer, Code::AlreadyExists, &request, what);
        }
        self.hold(self.rows(workspace).await == before, || format!("{}: writes what differs", method.name()));
        let what = format!("{} with an element twice", method.name());
        let answer = self.call(workspace, method, &request).await;
        self.hold_ok(&answer, || what.clone());
        self.check_kept(workspace, method, &request, &answer, &what).await;
    }

    /// A batch in which only the last element exists.
    fn fresh_but_last(&self, request: &DynamicMessage, unique: &[Leaf]) -> DynamicMessage {
        let mut fresh = self.fresh(request);
        unique.iter().for_each(|leaf| leaf.path.set(&mut fresh, Some(leaf.path.get(request))));
        fresh
    }

    /// The answer is in the order of the requests.
    async fn check_reversed(&self, workspace: &str, method: &Method, request: &DynamicMessage) {
        let mut request = request.clone();
        if let Some(Value::List(elements)) = method.elements().map(|field| request.get_field_mut(&field)) {
            elements.reverse();
        }
        let answer = self.call(workspace, method, &request).await;
        self.hold_ok(&answer, || format!("{} in reverse", method.name()));
        self.check_kept(workspace, method, &request, &answer, &format!("{} in reverse", method.name())).await;
    }

    /// For rows with several unique fields: for each field, a new value and the value of another row.
    fn mismatches(&self, method: &Method) -> Vec<(Leaf, Option<Value>)> {
        let unique = self.unique(method);
        if unique.len() < 2 {
            return Vec::new();
        }
        let leaves = paths::leaves(&method.request);
        let of_first =
            |leaf: &Leaf| leaves.iter().find(|other| other.path.key() == leaf.path.key()).unwrap().path.clone();
        let values = |leaf: Leaf| {
            let other = of_first(&leaf).get(&method.request);
            [self.fresh_value(&other), other].map(|value| (leaf.clone(), Some(value)))
        };
        unique.into_iter().flat_map(values).collect()
    }

    /// Existing rows of a batch are skipped, and the others are created.
    async fn check_partly_skipped(&self, workspace: &str, method: &Method, request: &DynamicMessage) {
        let mut request = request.clone();
        for leaf in self.unique(method) {
            let value = self.fresh_value(&leaf.path.get(&request));
            leaf.path.set(&mut request, Some(value));
        }
        let answer = self.call(workspace, method, &request).await;
        self.hold_ok(&answer, || format!("{}: makes what does not exist", method.name()));
        self.check_kept(workspace, method, &request, &answer, &format!("{} in part", method.name())).await;
    }

    /// The unique leaves of the last element.
    fn unique(&self, method: &Method) -> Vec<Leaf> {
        method.leaves().into_iter().filter(|leaf| leaf.is_given && self.contract.is_unique(&leaf.path)).collect()
    }

    /// For each leaf that is not unique, a valid value that differs from the example.
    fn differences(&self, method: &Method) -> Vec<(Leaf, Option<Value>)> {
        let is_compared =
            |leaf: &Leaf| !self.contract.is_unique(&leaf.path) && !self.contract.volatile.contains(&leaf.path.key());
        self.others(method, &is_compared)
    }

    /// Valid values that differ from the example, for some leaves of the last element.
    fn others(&self, method: &Method, is_wanted: &dyn Fn(&Leaf) -> bool) -> Vec<(Leaf, Option<Value>)> {
        let leaves = method.leaves().into_iter();
        let leaves = leaves.filter(|leaf| leaf.is_given && leaf.path.element().is_some() && is_wanted(leaf));
        let other = |leaf: Leaf| {
            let current = leaf.path.get(&method.request);
            let right = self.contract.trials(method, &leaf).right;
            let value = right.into_iter().map(|trial| trial.value).find(|value| value.as_ref() != Some(&current))?;
            Some((leaf, value))
        };
        leaves.filter_map(other).collect()
    }
}

/// The field that asks for existing rows to be skipped.
pub fn flag(method: &Method) -> Option<FieldDescriptor> {
    method.elements()?;
    method.descriptor.input().fields().find(|field| field.kind() == Kind::Bool)
}

/// Whether the method always skips identical existing rows, without a flag.
pub fn always_skips(method: &Method) -> bool {
    method.elements().is_some() && flag(method).is_none()
}

/// An id in capitals is the same id.
fn upper_case(value: &Value) -> Value {
    if is_id(value) { Value::String(value.as_str().unwrap_or_default().to_uppercase()) } else { value.clone() }
}
