//! The answer of a method matches its request, and a later Get or List returns the same.

use prost_reflect::{DynamicMessage, MessageDescriptor, ReflectMessage, Value};
use tonic::Code;
use uuid::Uuid;

use super::{
    client::Answer,
    method::Method,
    paths::{self, Leaf, message_of},
    run::{Run, is_id, shorten},
};

impl Run<'_> {
    /// Calls the example and compares its answer with the stored rows.
    pub async fn check_answers(&self, method: &Method) {
        let workspace = self.workspace_for(method).await;
        let request = method.base();
        let answer = self.call(&workspace, method, &request).await;
        self.hold_ok(&answer, || format!("{}: its example", method.name()));
        self.check_kept(&workspace, method, &request, &answer, method.name()).await;
        let Ok(answer) = answer else { return };
        for made in messages(&answer) {
            self.check_get(&workspace, method, &made).await;
        }
    }

    /// A deleted row is not returned by any Get or List, and can be created again.
    pub async fn check_deletes(&self, method: &Method) {
        if !method.deletes() {
            return;
        }
        let workspace = self.workspace_for(method).await;
        let mut resource = None;
        for getter in self.contract.methods().filter(|getter| getter.only_reads() && getter.page().is_none()) {
            if getter.descriptor.input().fields().map(|field| field.name().to_owned()).eq(names(method)) {
                resource =
                    self.call(&workspace, getter, &as_message(&method.request, &getter.descriptor.input())).await.ok();
                self.hold(resource.is_some(), || format!("{}: nothing to delete", method.name()));
            }
        }
        self.hold_ok(&self.call(&workspace, method, &method.request).await, || method.name().to_owned());
        let again = self.call(&workspace, method, &method.request).await;
        self.hold_about(&again, Code::NotFound, &method.request, || format!("{} again", method.name()));
        for gone in resource.iter().flat_map(messages) {
            let is_gone = self.get(&workspace, &gone).await.is_none();
            self.hold(is_gone, || format!("{}: a deleted row can be read", method.name()));
            for list in self
                .contract
                .methods()
                .filter(|list| list.rows().and_then(|rows| message_of(&rows)) == Some(gone.descriptor()))
            {
                let answer = self.call(&workspace, list, &self.contract.without_filters(list)).await;
                let rows = answer.iter().flat_map(|answer| messages_of(&answer.get_field(&list.rows().unwrap())));
                let id = gone.get_field_by_name("id");
                let is_listed = rows.into_iter().any(|row| row.get_field_by_name("id") == id);
                self.hold(!is_listed, || format!("{}: a deleted row is in {}", method.name(), list.name()));
            }
        }
        if resource.is_none() {
            return;
        }
        let first = &self.contract.examples[0];
        let again = self.call(&workspace, first, &first.request).await;
        self.hold_ok(&again, || format!("{}: {} again", method.name(), first.name()));
    }

    /// The answer matches the request, and the stored rows match the answer.
    pub async fn check_kept(
        &self,
        workspace: &str,
        method: &Method,
        asked: &DynamicMessage,
        answer: &Answer,
        what: &str,
    ) {
        let Ok(message) = answer else { return };
        if method.only_reads() {
            return;
        }
        self.hold_kept(workspace, method, asked, message, what).await;
        for (_, kept) in self.kept(workspace, method, asked, message).await {
            self.check_get(workspace, method, &kept).await;
        }
    }

    /// The answer matches the request.
    pub async fn hold_kept(
        &self,
        workspace: &str,
        method: &Method,
        asked: &DynamicMessage,
        answer: &DynamicMessage,
        what: &str,
    ) {
        let read = method.leaves();
        let is_flat = method.elements().is_none() && messages(asked).is_empty();
        let is_same = |one: &Leaf, other: &Leaf| match is_flat {
            true => one.path.field().name() == other.path.field().name(),
            false => one.path.key() == other.path.key(),
        };
        let is_read = |leaf: &Leaf| read.iter().any(|read| read.is_given && is_same(read, leaf));
        for (given, kept) in self.kept(workspace, method, asked, answer).await {
            for leaf in paths::leaves(&given).iter().filter(|leaf| is_read(leaf)) {
                let (value, kept) = (leaf.path.get(&given), leaf.path.get(&kept));
                let is_right = match value.as_str() {
                    _ if leaf.path.field().name() == "etag" => true,
                    // An omitted id is generated. An id in capitals is the same id.
                    Some("") if self.contract.is_unique(&leaf.path) => is_new_id(&kept),
                    Some(id) if is_id(&value) => kept.as_str() == Some(&id.to_lowercase()),
                    _ => !leaf.is_given || value == kept,
                };
                let as_kept = || shorten(&kept.to_string());
                self.hold(is_right, || format!("{what}: {} is kept as {}", leaf.path, as_kept()));
            }
        }
    }

    /// The messages in a request, each with the matching message of the answer, or of Get for the id in the answer.
    pub async fn kept(
        &self,
        workspace: &str,
        method: &Method,
        request: &DynamicMessage,
        answer: &DynamicMessage,
    ) -> Vec<(DynamicMessage, DynamicMessage)> {
        let given: Vec<_> = match method.elements() {
            None => messages(request),
            Some(field) => {
                let elements = messages_of(&request.get_field(&field));
                elements.iter().flat_map(|element| [vec![element.clone()], messages(element)].concat()).collect()
            }
        };
        let mut answered = messages(answer);
        if let Some(Value::List(ids)) = answer.get_field_by_name("ids").as_deref() {
            let resources = given.iter().filter(|given| given.descriptor().get_field_by_name("id").is_some());
            for (given, id) in resources.zip(ids) {
                let mut resource = DynamicMessage::new(given.descriptor());
                resource.set_field_by_name("id", id.clone());
                answered.extend(self.get(workspace, &resource).await);
            }
            self.hold(answered.len() == ids.len(), || format!("{}: not every id can be read", method.name()));
        }
        if let (true, [kept]) = (given.is_empty(), answered.as_slice()) {
            return vec![(as_message(request, &kept.descriptor()), kept.clone())];
        }
        let mut pairs = Vec::new();
        for given in given {
            let place = answered.iter().position(|answered| answered.descriptor() == given.descriptor());
            pairs.extend(place.map(|place| (given, answered.remove(place))));
        }
        pairs
    }

    /// Requires Get to return the same message, or a list if there is no Get.
    async fn check_get(&self, workspace: &str, method: &Method, made: &DynamicMessage) {
        let kind = made.descriptor();
        let what = || format!("{}: {}", method.name(), kind.name());
        if self.getter(&kind).is_some() {
            let got = self.get(workspace, made).await;
            self.hold(got.as_ref() == Some(&self.as_got(made)), || {
                let got = got.map(|got| got.to_string()).unwrap_or_default();
                format!("{} is {}, and Get answers {}", what(), shorten(&made.to_string()), shorten(&got))
            });
            return;
        }
        let is_list = |list: &&Method| list.rows().and_then(|rows| message_of(&rows)) == Some(kind.clone());
        let Some(list) = self.contract.methods().find(is_list) else { return };
        let request = self.contract.without_filters(list);
        let answer = self.call(workspace, list, &request).await;
        let rows = answer.as_ref().map(|answer| messages_of(&answer.get_field(&list.rows().unwrap())));
        let is_listed = rows.is_ok_and(|rows| rows.contains(made));
        self.hold(is_listed, || {
            format!("{} is {}, and {} does not contain it", what(), shorten(&made.to_string()), list.name())
        });
    }

    /// The method that reads a message of this type by fields of the message.
    fn getter(&self, kind: &MessageDescriptor) -> Option<&Method> {
        self.contract.methods().find(|method| {
            let answers = method
                .descriptor
                .output()
                .fields()
                .any(|field| !field.is_list() && message_of(&field).as_ref() == Some(kind));
            let asked = method.descriptor.input();
            let mut fields = asked.fields();
            method.only_reads()
                && method.page().is_none()
                && answers
                && fields
                    .all(|field| kind.get_field_by_name(field.name()).is_some_and(|own| own.kind() == field.kind()))
        })
    }

    /// Reads the current state of this message.
    pub async fn get(&self, workspace: &str, message: &DynamicMessage) -> Option<DynamicMessage> {
        let kind = message.descriptor();
        let getter = self.getter(&kind)?;
        let mut request = DynamicMessage::new(getter.descriptor.input());
        for field in getter.descriptor.input().fields() {
            request.set_field(&field, message.get_field_by_name(field.name())?.into_owned());
        }
        let answer = self.call(workspace, getter, &request).await.ok()?;
        messages(&answer).into_iter().find(|got| got.descriptor() == kind)
    }

    /// A message as Get returns it: without the fields that only a list returns.
    pub fn as_got(&self, message: &DynamicMessage) -> DynamicMessage {
        let (mut message, kind) = (message.clone(), message.descriptor());
        for field in kind.fields() {
            if self.contract.only_listed.contains(&format!("{}.{}", kind.name(), field.name())) {
                message.clear_field(&field);
            }
        }
        message
    }
}

/// The names of a request's fields.
fn names(method: &Method) -> Vec<String> {
    method.descriptor.input().fields().map(|field| field.name().to_owned()).collect()
}

/// Converts a message to another type, by the names of its fields.
fn as_message(message: &DynamicMessage, kind: &MessageDescriptor) -> DynamicMessage {
    let mut other = DynamicMessage::new(kind.clone());
    for field in message.descriptor().fields().filter(|field| message.has_field(field)) {
        let same = kind.get_field_by_name(field.name()).filter(|same| same.kind() == field.kind());
        same.iter().for_each(|same| other.set_field(same, message.get_field(&field).into_owned()));
    }
    other
}

/// Whether this is a generated id, of UUID version 7.
fn is_new_id(value: &Value) -> bool {
    value.as_str().and_then(|id| id.parse::<Uuid>().ok()).is_some_and(|id| id.get_version_num() == 7)
}

/// The messages of the contract in a message, including those in repeated fields.
pub fn messages(message: &DynamicMessage) -> Vec<DynamicMessage> {
    let is_message = |field: &prost_reflect::FieldDescriptor| {
        message_of(field)
            .is_some_and(|message| paths::has_fields(&message) && message.package_name() != "pagination.v1")
    };
    let fields =
        message.descriptor().fields().filter(is_message).filter(|field| message.has_field(field)).collect::<Vec<_>>();
    fields.iter().flat_map(|field| messages_of(&message.get_field(field))).collect()
}

/// The messages in a value.
pub fn messages_of(value: &Value) -> Vec<DynamicMessage> {
    match value {
        Value::Message(message) => vec![message.clone()],
        Value::List(values) => values.iter().filter_map(Value::as_message).cloned().collect(),
        _ => Vec::new(),
    }
}
