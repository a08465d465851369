use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use prost_reflect::{DescriptorError, DescriptorPool, MethodDescriptor, Value};
use prost_types::{MethodOptions, method_options::IdempotencyLevel};
use quire_proto::access::v1::Requirement as Declared;

use crate::Scope;

/// What a method requires of its caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Requirement {
    /// No credential. The call has no [`Caller`](crate::Caller).
    Nothing,
    /// An access token, with any scopes. The service decides what the caller may do.
    AccessToken,
    /// An access token with this scope.
    Scope(Scope),
}

/// The methods of the contract, and what each of them requires.
///
/// It follows from the contract. A method that is declared to have no side effects (`option idempotency_level =
/// NO_SIDE_EFFECTS`) requires the scope `<service>:read`, and every other method requires `<service>:write`, unless its
/// options in `access/v1/access.proto` say otherwise.
#[derive(Debug, Clone)]
pub struct Methods {
    requirements: Arc<BTreeMap<String, Requirement>>,
    scopes: Arc<BTreeSet<Scope>>,
}

impl Methods {
    /// The methods of all services whose protos are compiled in.
    ///
    /// # Errors
    ///
    /// [`DescriptorError`] when the compiled-in descriptors cannot be decoded.
    pub fn of_contract() -> Result<Self, DescriptorError> {
        let pool = DescriptorPool::decode(quire_proto::FILE_DESCRIPTOR_SET)?;
        let (mut requirements, mut scopes) = (BTreeMap::new(), BTreeSet::new());
        for method in pool.services().flat_map(|service| service.methods().collect::<Vec<_>>()) {
            scopes.insert(scope(&method));
            scopes.extend(further_scope(&method));
            let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
            requirements.insert(path, requirement(&method));
        }
        Ok(Self { requirements: Arc::new(requirements), scopes: Arc::new(scopes) })
    }

    /// Each method's path, as in `/memory.v1.MemoryService/GetMemory`, and what the method requires.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Requirement)> {
        self.requirements.iter().map(|(path, requirement)| (path.as_str(), requirement))
    }

    /// Whether a method with this path exists.
    pub fn has(&self, path: &str) -> bool {
        self.requirements.contains_key(path)
    }

    /// All scopes.
    pub fn scopes(&self) -> &Arc<BTreeSet<Scope>> {
        &self.scopes
    }

    /// What the method with this path requires; `None` if no such method exists.
    pub(crate) fn requirement(&self, path: &str) -> Option<&Requirement> {
        self.requirements.get(path)
    }
}

fn requirement(method: &MethodDescriptor) -> Requirement {
    let declared = option(method, "access.v1.requires").and_then(|value| value.as_enum_number());
    match declared.map_or(Declared::Unspecified, |number| Declared::try_from(number).unwrap_or_default()) {
        Declared::Nothing => Requirement::Nothing,
        Declared::AccessToken => Requirement::AccessToken,
        Declared::Unspecified => Requirement::Scope(scope(method)),
    }
}

/// The scope that follows from the kind of the method.
fn scope(method: &MethodDescriptor) -> Scope {
    let package = method.parent_service().package_name().to_owned();
    let service = package.split('.').next().unwrap_or_default();
    let options = method.method_descriptor_proto().options.as_ref();
    let level = options.map(MethodOptions::idempotency_level);
    let access = if level == Some(IdempotencyLevel::NoSideEffects) { "read" } else { "write" };
    Scope(format!("{service}:{access}"))
}

fn further_scope(method: &MethodDescriptor) -> Option<Scope> {
    option(method, "access.v1.further_scope").and_then(|value| Some(Scope(value.as_str()?.to_owned())))
}

fn option(method: &MethodDescriptor, name: &str) -> Option<Value> {
    let extension = method.parent_pool().get_extension_by_name(name)?;
    let options = method.options();
    options.has_extension(&extension).then(|| options.get_extension(&extension).into_owned())
}
