//! Every field refuses invalid values with an error that names the field, and accepts the values at its limits.

use std::collections::BTreeSet;

use pagination::MAX_VIOLATIONS;
use prost::encoding;
use prost_reflect::{DynamicMessage, FieldDescriptor, MessageDescriptor, Value};
use quire_proto::requests::max_request_bytes;
use tonic::{Code, Status};

use super::{
    client::Answer,
    method::Method,
    paths::{self, Leaf, has_fields, message_of},
    run::{Run, is_id, named_field},
    values::garbage,
    wrong::Trial,
};

impl Run<'_> {
    /// Checks the type and the range of each field of a method's request.
    pub async fn check_refusals(&self, method: &Method) {
        let workspace = self.workspace_for(method).await;
        let before = self.rows(&workspace).await;
        for leaf in method.leaves().iter().filter(|leaf| leaf.is_given) {
            self.check_wrong(&workspace, method, leaf).await;
            self.check_missing(&workspace, method, leaf).await;
        }
        self.check_everything_wrong(&workspace, method).await;
        self.check_left_out(&workspace, method).await;
        self.check_page(&workspace, method).await;
        self.check_size(&workspace, method).await;
        let is_same = self.rows(&workspace).await == before;
        self.hold(is_same, || format!("{}: a refused call has written", method.name()));
        self.check_right(&workspace, method).await;
        for number in [-7, 77] {
            self.check_not_read(&self.workspace_for(method).await, method, number).await;
        }
    }

    async fn check_wrong(&self, workspace: &str, method: &Method, leaf: &Leaf) {
        let trials = self.contract.trials(method, leaf);
        if let Some(missing) = trials.missing {
            self.hold(false, || format!("{} {}: {missing}", method.name(), leaf.path));
        }
        for Trial { what, value, at, says } in trials.wrong {
            let mut request = method.base();
            leaf.path.set(&mut request, value);
            let answer = self.call(workspace, method, &request).await;
            let fields = BTreeSet::from([format!("{}{at}", leaf.path)]);
            self.hold_refused(&answer, &fields, &says, || format!("{} {} {what}", method.name(), leaf.path));
        }
    }

    /// An unknown id is NOT_FOUND, unless the method creates rows with it or filters by it.
    async fn check_missing(&self, workspace: &str, method: &Method, leaf: &Leaf) {
        let value = leaf.path.get(&method.request);
        let is_filter = method.page().is_some() && leaf.path.field().supports_presence();
        if !is_id(&value) || is_filter || method.creates(self.contract) && self.contract.is_unique(&leaf.path) {
            return;
        }
        let mut request = method.base();
        leaf.path.set(&mut request, Some(self.fresh_value(&value)));
        let answer = self.call(workspace, method, &request).await;
        self.hold_about(&answer, Code::NotFound, &request, || format!("{} {} of nothing", method.name(), leaf.path));
    }

    /// One answer names everything that is wrong, up to a limited number of violations.
    async fn check_everything_wrong(&self, workspace: &str, method: &Method) {
        let leaves: Vec<_> = method.leaves().into_iter().filter(|leaf| leaf.is_given).collect();
        for leaves in leaves.chunks(MAX_VIOLATIONS) {
            let (mut request, mut fields) = (method.base(), BTreeSet::new());
            for leaf in leaves {
                let Some(trial) = self.contract.trials(method, leaf).wrong.into_iter().next() else { continue };
                if method.mask().as_ref() == Some(leaf.path.field()) {
                    let mutable = method.mutable();
                    let names = mutable.iter().map(|leaf| leaf.path.field().name()).chain(["nonsense"]);
                    method.set_mask(&mut request, &names.collect::<Vec<_>>());
                } else {
                    leaf.path.set(&mut request, trial.value);
                }
                fields.insert(format!("{}{}", leaf.path, trial.at));
            }
            self.check_all_wrong(workspace, method, &request, &fields).await;
        }
    }

    /// A list may stop at the first violation.
    async fn check_all_wrong(
        &self,
        workspace: &str,
        method: &Method,
        request: &DynamicMessage,
        fields: &BTreeSet<String>,
    ) {
        if fields.is_empty() {
            return;
        }
        let answer = self.call(workspace, method, request).await;
        let what = || format!("{}: all of {fields:?} wrong", method.name());
        if method.page().is_some() {
            self.hold_code(&answer, Code::InvalidArgument, what);
        } else {
            self.hold_refused(&answer, fields, "", what);
        }
    }

    /// A request without its messages is refused, and the error names the required fields of these messages.
    async fn check_left_out(&self, workspace: &str, method: &Method) {
        if method.elements().is_some() || method.page().is_some() {
            return;
        }
        let leaves = method.leaves();
        let required = |is_in: &dyn Fn(&Leaf) -> bool| -> BTreeSet<String> {
            let leaves = leaves.iter().filter(|leaf| is_in(leaf) && self.contract.is_required(method, leaf));
            leaves.map(|leaf| leaf.path.to_string()).collect()
        };
        let is_message = |field: &FieldDescriptor| message_of(field).is_some_and(|message| has_fields(&message));
        for field in method.descriptor.input().fields().filter(is_message) {
            let mut request = method.base();
            request.clear_field(&field);
            let fields = required(&|leaf| leaf.path.is_in(&field));
            self.check_all_required(workspace, method, &request, &fields, field.name()).await;
        }
        let mut fields = required(&|_| true);
        if let Some(mask) = method.mask() {
            fields.retain(|field| field.ends_with(".id"));
            fields.insert(mask.name().to_owned());
        }
        let nothing = DynamicMessage::new(method.descriptor.input());
        self.check_all_required(workspace, method, &nothing, &fields, "everything").await;
    }

    async fn check_all_required(
        &self,
        workspace: &str,
        method: &Method,
        request: &DynamicMessage,
        fields: &BTreeSet<String>,
        what: &str,
    ) {
        if !fields.is_empty() {
            let answer = self.call(workspace, method, request).await;
            self.hold_refused(&answer, fields, "must", || format!("{}: {what} left out", method.name()));
        }
    }

    async fn check_page(&self, workspace: &str, method: &Method) {
        let Some(page) = method.page() else { return };
        let ask = async |given: &[(&str, Value)]| -> Answer {
            let mut request = method.base();
            let wanted = request.get_field_mut(&page).as_message_mut().unwrap();
            given.iter().for_each(|(name, value)| wanted.set_field_by_name(name, value.clone()));
            self.call(workspace, method, &request).await
        };
        let wrong = [
            ("page_size", Value::I32(-1), "must not be negative"),
            ("page_size", Value::I32(i32::MIN), "must not be negative"),
            ("skip", Value::I32(-1), "must be"),
            ("skip", Value::I32(10_001), "must be"),
            ("total_count", Value::EnumNumber(4), "must be one of"),
            ("total_count", Value::EnumNumber(-1), "must be one of"),
            ("page_token", Value::String("x".to_owned()), "is not a page token"),
            ("page_token", Value::String("A".repeat(50_000)), "is not a page token"),
        ];
        for (name, value, says) in &wrong {
            let answer = ask(&[(name, value.clone())]).await;
            let fields = BTreeSet::from([format!("page.{name}")]);
            self.hold_refused(&answer, &fields, says, || format!("{} page.{name} {value:.40}", method.name()));
        }
        let all = [&wrong[0], &wrong[2], &wrong[4]].map(|(name, value, _)| (*name, value.clone()));
        let fields = all.iter().map(|(name, _)| format!("page.{name}")).collect();
        self.hold_refused(&ask(&all).await, &fields, "", || format!("{} page: all wrong", method.name()));
        for (name, value) in [("page_size", Value::I32(i32::MAX)), ("total_count", Value::EnumNumber(3))] {
            self.hold_ok(&ask(&[(name, value)]).await, || format!("{} page.{name} at its limit", method.name()));
        }
    }

    /// A request of the maximum size is read. The program refuses larger ones.
    async fn check_size(&self, workspace: &str, method: &Method) {
        let descriptor = &method.descriptor;
        let path = format!("/{}/{}", descriptor.parent_service().full_name(), method.name());
        let most = max_request_bytes(&path).unwrap();
        let answer = self.call(workspace, method, &unknown(&descriptor.input(), most)).await;
        let is_read = answer.as_ref().map_or_else(|status| status.code() != Code::OutOfRange, |_| true);
        self.hold(is_read, || format!("{} of {most} bytes: {answer:.300?}", method.name()));
    }

    /// Values at the limits are accepted and stored.
    async fn check_right(&self, workspace: &str, method: &Method) {
        // The effect of a method that adds to a row can depend on what was added before.
        let adds = !method.only_reads() && !method.creates(self.contract) && method.mask().is_none();
        for leaf in method.leaves().iter().filter(|leaf| leaf.is_given) {
            for Trial { what, value, .. } in self.contract.trials(method, leaf).right {
                let own_workspace = if adds { Some(self.workspace_for(method).await) } else { None };
                let workspace = own_workspace.as_deref().unwrap_or(workspace);
                let mut request = method.base();
                if method.creates(self.contract) {
                    request = self.fresh(&request);
                }
                leaf.path.set(&mut request, value);
                let answer = self.call(workspace, method, &request).await;
                let what = || format!("{} {} {what}", method.name(), leaf.path);
                // The value may name something that does not exist.
                let is_nothing = |status: &Status| {
                    status.code() == Code::NotFound
                        && (method.only_reads() || named_field(status) == leaf.path.to_string())
                };
                if answer.as_ref().is_err_and(is_nothing) {
                    self.hold_about(&answer, Code::NotFound, &request, what);
                } else {
                    self.hold_ok(&answer, what);
                    self.check_kept(workspace, method, &request, &answer, &what()).await;
                }
            }
        }
    }

    /// A field that the example omits is not read, whatever its value is.
    async fn check_not_read(&self, workspace: &str, method: &Method, number: i32) {
        let (mut request, mut not_read) = (method.base(), Vec::new());
        for leaf in method.leaves().into_iter().filter(|leaf| !leaf.is_given) {
            let value = garbage(leaf.path.field(), number);
            let is_filter = method.page().is_some() || value.is_none();
            self.hold(!is_filter, || format!("{} {}: the example does not give it", method.name(), leaf.path));
            if !is_filter {
                leaf.path.set(&mut request, value);
                not_read.push(leaf);
            }
        }
        if not_read.is_empty() {
            return;
        }
        let answer = self.call(workspace, method, &request).await;
        self.hold_ok(&answer, || format!("{}: with values that are not read", method.name()));
        let Ok(answer) = answer else { return };
        for (given, kept) in self.kept(workspace, method, &request, &answer).await {
            for leaf in paths::leaves(&given) {
                let value = leaf.path.get(&given);
                let is_kept = !self.is_read(method, &leaf) && leaf.is_given && leaf.path.get(&kept) == value;
                self.hold(!is_kept, || format!("{} {}: {value} is kept", method.name(), leaf.path));
            }
        }
    }

    /// Whether the example of a method contains this field.
    fn is_read(&self, method: &Method, leaf: &Leaf) -> bool {
        method.leaves().iter().any(|read| read.is_given && read.path.key() == leaf.path.key())
    }
}

/// A message of this size, with an unknown field and no other.
fn unknown(message: &MessageDescriptor, bytes: usize) -> DynamicMessage {
    let number = 1_000;
    let content = bytes - encoding::key_len(number) - encoding::encoded_len_varint(bytes as u64);
    let mut encoded = Vec::new();
    encoding::bytes::encode(number, &vec![0; content], &mut encoded);
    assert_eq!(encoded.len(), bytes);
    DynamicMessage::decode(message.clone(), encoded.as_slice()).unwrap()
}
