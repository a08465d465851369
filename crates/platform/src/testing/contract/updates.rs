//! An update changes the fields that its mask names and no others, as in AIP-134.

use std::collections::BTreeSet;

use prost_reflect::{DynamicMessage, ReflectMessage, Value};
use tonic::Code;

use super::{
    answers::messages,
    client::Answer,
    method::Method,
    paths::{self, Leaf},
    run::{Run, shorten},
};

impl Run<'_> {
    /// Checks the mask, the etag and the times of an update.
    pub async fn check_updates(&self, method: &Method) {
        if method.mask().is_none() {
            return;
        }
        for leaf in method.mutable() {
            self.check_mask(method, &[&leaf]).await;
            self.check_cleared(method, &leaf).await;
        }
        let all = method.mutable();
        self.check_mask(method, &all.iter().collect::<Vec<_>>()).await;
        self.check_masks_of_all(method).await;
        self.check_nothing_to_change(method).await;
        self.check_etag(method).await;
        self.check_taken(method).await;
    }

    /// A mask of some fields changes only these, even if the request also contains the other fields with invalid
    /// values. Without a mask, the update changes the fields that the request contains.
    async fn check_mask(&self, method: &Method, named: &[&Leaf]) {
        let names: Vec<_> = named.iter().map(|leaf| leaf.path.field().name()).collect();
        let is_named = |leaf: &Leaf| names.contains(&leaf.path.field().name());
        for has_mask in [true, false] {
            let mut request = method.request.clone();
            for leaf in method.mutable().iter().filter(|leaf| !is_named(leaf)) {
                let wrong = self.contract.trials(method, leaf).wrong.into_iter().find_map(|trial| trial.value);
                leaf.path.set(&mut request, wrong.filter(|_| has_mask));
            }
            if has_mask {
                method.set_mask(&mut request, &names);
            }
            let what = format!("{} of {names:?} {} a mask", method.name(), if has_mask { "with" } else { "without" });
            self.check_change(method, &request, &names, &what).await;
        }
    }

    /// `*` names all fields, alone or with other paths. A mask without paths is the same as no mask.
    async fn check_masks_of_all(&self, method: &Method) {
        let mutable = method.mutable();
        let names: Vec<_> = mutable.iter().map(|leaf| leaf.path.field().name()).collect();
        for mask in [vec!["*"], vec![names[0], "*"], vec![]] {
            let mut request = method.request.clone();
            method.set_mask(&mut request, &mask);
            self.check_change(method, &request, &names, &format!("{} by the mask {mask:?}", method.name())).await;
        }
    }

    /// A field that the mask names and the resource omits is cleared, or refused if it is required.
    async fn check_cleared(&self, method: &Method, leaf: &Leaf) {
        let name = leaf.path.field().name();
        let mut request = method.request.clone();
        leaf.path.set(&mut request, None);
        method.set_mask(&mut request, &[name]);
        let what = format!("{} clears {name}", method.name());
        if !self.contract.is_required(method, leaf) {
            self.check_change(method, &request, &[name], &what).await;
            return;
        }
        let answer = self.call(&self.workspace_for(method).await, method, &request).await;
        self.hold_refused(&answer, &BTreeSet::from([leaf.path.to_string()]), "must", || what.clone());
    }

    /// An update changes the fields with these names to the request's values, changes the etag, and sets a later update
    /// time.
    async fn check_change(&self, method: &Method, request: &DynamicMessage, names: &[&str], what: &str) {
        let workspace = self.workspace_for(method).await;
        let Some(before) = self.resource(&workspace, method).await else { return };
        // The update time does not go back if the clock does.
        self.hands.go_back(3_600);
        let answer = self.call(&workspace, method, request).await;
        self.hands.pass(3_600);
        self.hold_ok(&answer, || what.to_owned());
        let Some(after) = answer.ok().and_then(|answer| messages(&answer).into_iter().next()) else { return };
        let asked = messages(request).remove(0);
        for field in before.descriptor().fields() {
            let [old, new] = [&before, &after].map(|message| message.get_field(&field).into_owned());
            let is_right = match field.name() {
                name if names.contains(&name) => {
                    !asked.has_field(&field) || new == asked.get_field(&field).into_owned()
                }
                "etag" => new != old,
                "update_time" => nanoseconds(&new) > nanoseconds(&old),
                _ => new == old,
            };
            let change = || shorten(&format!("{old} becomes {new}"));
            self.hold(is_right, || format!("{what}: {} {}", field.name(), change()));
        }
        let kept = self.resource(&workspace, method).await;
        self.hold(kept.as_ref() == Some(&after), || format!("{what}: Get returns something else"));
    }

    async fn check_nothing_to_change(&self, method: &Method) {
        let workspace = self.workspace_for(method).await;
        let mut request = method.request.clone();
        method.mutable().iter().for_each(|leaf| leaf.path.set(&mut request, None));
        let fields = BTreeSet::from([method.mask().unwrap().name().to_owned()]);
        let what = || format!("{} of nothing", method.name());
        self.hold_refused(&self.call(&workspace, method, &request).await, &fields, "must name fields to change", what);
    }

    /// The etag in a request must be the current one.
    async fn check_etag(&self, method: &Method) {
        let workspace = self.workspace_for(method).await;
        let leaves = method.leaves();
        let Some(etag) = leaves.iter().find(|leaf| leaf.path.field().name() == "etag") else { return };
        let with = |value: Value| {
            let mut request = method.base();
            etag.path.set(&mut request, Some(value));
            request
        };
        let current = async || {
            let resource = self.resource(&workspace, method).await;
            resource.and_then(|found| Some(found.get_field_by_name("etag")?.into_owned())).unwrap_or(Value::Bool(false))
        };
        let first = current().await;
        let what = |what: &str| format!("{} with {what} etag", method.name());
        self.hold_ok(&self.call(&workspace, method, &with(first.clone())).await, || what("the current"));
        // The same update again also changes the etag.
        let second = current().await;
        self.hold_ok(&self.call(&workspace, method, &with(second.clone())).await, || what("the next"));
        let before = self.rows(&workspace).await;
        let texts = ["x", " ", "01934f6e-8a3b-7c21-9d55-0242ac120002"].map(|text| Value::String(text.to_owned()));
        for stale in [first, second].into_iter().chain(texts) {
            let request = with(stale);
            let answer: Answer = self.call(&workspace, method, &request).await;
            self.hold_about(&answer, Code::Aborted, &request, || what("a stale"));
            let nowhere = self.call(&self.new_workspace(), method, &request).await;
            self.hold_about(&nowhere, Code::NotFound, &request, || what("an"));
        }
        self.hold(self.rows(&workspace).await == before, || what("a stale") + " writes");
    }

    /// The value of another row in a unique field is refused; the row's own value is accepted.
    async fn check_taken(&self, method: &Method) {
        let unique: Vec<_> = method.mutable().into_iter().filter(|leaf| self.contract.is_unique(&leaf.path)).collect();
        for leaf in unique {
            let workspace = self.workspace_for(method).await;
            let Some(own) = self.resource(&workspace, method).await else { return };
            let Some(other) = self.other_value(method, &leaf, &own) else { continue };
            let mut request = method.base();
            leaf.path.set(&mut request, Some(other));
            let before = self.rows(&workspace).await;
            let answer = self.call(&workspace, method, &request).await;
            let what = || format!("{} {} that is taken", method.name(), leaf.path);
            self.hold_about(&answer, Code::AlreadyExists, &request, what);
            self.hold(self.rows(&workspace).await == before, || what() + " writes");
            let own = own.get_field(leaf.path.field()).into_owned();
            leaf.path.set(&mut request, Some(own));
            let answer = self.call(&workspace, method, &request).await;
            self.hold_ok(&answer, || format!("{} {} to its own", method.name(), leaf.path));
        }
    }

    /// The value of this field in another row of the examples.
    fn other_value(&self, method: &Method, leaf: &Leaf, own: &DynamicMessage) -> Option<Value> {
        let own = own.get_field(leaf.path.field()).into_owned();
        let examples = &self.contract.examples[..method.place];
        let leaves = examples.iter().flat_map(|example| {
            paths::leaves(&example.request).into_iter().map(|leaf| (leaf.path.key(), leaf.path.get(&example.request)))
        });
        let other =
            leaves.filter(|(key, _)| *key == leaf.path.key()).map(|(_, value)| value).find(|value| *value != own);
        self.hold(other.is_some(), || format!("{}: the examples make only one row", method.name()));
        other
    }

    /// The current state of the resource that an update's example changes.
    async fn resource(&self, workspace: &str, method: &Method) -> Option<DynamicMessage> {
        let found = self.get(workspace, &messages(&method.request)[0]).await;
        self.hold(found.is_some(), || format!("{}: nothing reads its resource", method.name()));
        found
    }
}

fn nanoseconds(time: &Value) -> i128 {
    let part = |name: &str| time.as_message().and_then(|time| Some(time.get_field_by_name(name)?.into_owned()));
    let seconds = part("seconds").and_then(|value| value.as_i64()).unwrap_or(0);
    let nanos = part("nanos").and_then(|value| value.as_i32()).unwrap_or(0);
    i128::from(seconds) * 1_000_000_000 + i128::from(nanos)
}
