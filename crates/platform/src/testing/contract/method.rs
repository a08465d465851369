//! The kinds of methods.

use prost_reflect::{Cardinality, DynamicMessage, FieldDescriptor, MethodDescriptor};
use prost_types::{MethodOptions, method_options::IdempotencyLevel};

use super::{
    Contract,
    paths::{self, Leaf, message_of},
    run::is_id,
    values::mask,
};

/// An example of a method.
#[derive(Debug, Clone)]
pub struct Method {
    pub descriptor: MethodDescriptor,
    pub request: DynamicMessage,
    /// Its index among the examples.
    pub place: usize,
}

impl Method {
    pub fn name(&self) -> &str {
        self.descriptor.name()
    }

    /// The field of a list's request that selects the page.
    pub fn page(&self) -> Option<FieldDescriptor> {
        self.descriptor.input().fields().find(paths::is_page)
    }

    /// The mask field of an update.
    pub fn mask(&self) -> Option<FieldDescriptor> {
        let is_mask = |message: prost_reflect::MessageDescriptor| message.full_name() == "google.protobuf.FieldMask";
        self.descriptor.input().fields().find(|field| message_of(field).is_some_and(is_mask))
    }

    /// The field with the elements of a batch's request.
    pub fn elements(&self) -> Option<FieldDescriptor> {
        self.descriptor.input().fields().find(|field| field.is_list() && message_of(field).is_some())
    }

    /// The field with the rows of a page.
    pub fn rows(&self) -> Option<FieldDescriptor> {
        self.page()?;
        self.descriptor.output().fields().find(|field| field.is_list() && message_of(field).is_some())
    }

    /// Whether the method changes nothing.
    pub fn only_reads(&self) -> bool {
        let options: Option<MethodOptions> = self.descriptor.method_descriptor_proto().options.clone();
        options.is_some_and(|options| options.idempotency_level() == IdempotencyLevel::NoSideEffects)
    }

    /// Whether the method deletes something, which means that its answer is empty.
    pub fn deletes(&self) -> bool {
        self.descriptor.output().fields().len() == 0
    }

    /// Whether the method creates rows, which means that its request has a unique field.
    pub fn creates(&self, contract: &Contract) -> bool {
        let is_unique = |leaf: &Leaf| leaf.is_given && contract.is_unique(&leaf.path);
        !self.only_reads() && self.mask().is_none() && paths::leaves(&self.request).iter().any(is_unique)
    }

    /// Whether the method needs an existing row, which means that its request has an id of a row that it does not
    /// create.
    pub fn refers(&self, contract: &Contract) -> bool {
        let is_other = |leaf: &Leaf| is_id(&leaf.path.get(&self.request)) && !contract.is_unique(&leaf.path);
        self.leaves().iter().any(is_other)
    }

    /// The leaves of the example, or of the last element of a batch.
    pub fn leaves(&self) -> Vec<Leaf> {
        let leaves = paths::leaves(&self.request);
        let last = leaves.iter().filter_map(|leaf| leaf.path.element()).max();
        let is_last = |leaf: &Leaf| leaf.path.element().is_none() || leaf.path.element() == last;
        leaves.into_iter().filter(is_last).map(|leaf| self.with_known(leaf)).collect()
    }

    /// The leaves of the example that an update can change.
    pub fn mutable(&self) -> Vec<Leaf> {
        let is_mutable =
            |leaf: &Leaf| leaf.is_given && leaf.path.is_nested() && !["id", "etag"].contains(&leaf.path.field().name());
        self.leaves().into_iter().filter(is_mutable).collect()
    }

    /// The example. An update gets a mask with all fields that the example contains.
    pub fn base(&self) -> DynamicMessage {
        let mut request = self.request.clone();
        if self.mask().is_some() {
            let mutable = self.mutable();
            let names: Vec<_> = mutable.iter().map(|leaf| leaf.path.field().name()).collect();
            self.set_mask(&mut request, &names);
        }
        request
    }

    /// Sets the mask of an update.
    pub fn set_mask(&self, request: &mut DynamicMessage, names: &[&str]) {
        let field = self.mask().unwrap();
        request.set_field(&field, mask(&message_of(&field).unwrap(), names));
    }

    /// Fields with the same meaning in all methods can be omitted in an example.
    fn with_known(&self, leaf: Leaf) -> Leaf {
        let name = leaf.path.field().name();
        let is_known = name == "order_by" || self.mask().is_some() && ["etag", "update_mask"].contains(&name);
        Leaf { is_given: leaf.is_given || is_known, ..leaf }
    }
}

/// Whether a field is a list of values that are not messages of the contract.
pub fn is_list_of_values(field: &FieldDescriptor) -> bool {
    field.cardinality() == Cardinality::Repeated && message_of(field).is_none() && !field.is_map()
}
