use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use prost::{DecodeError, Message};
use prost_types::{FileDescriptorSet, method_options::IdempotencyLevel};

use crate::Scope;

/// The methods of the contract, each with the scope that it requires.
///
/// The scope follows from the contract: a method that is declared to have no side effects (`option idempotency_level =
/// NO_SIDE_EFFECTS`) requires `<service>:read`, and every other method requires `<service>:write`.
#[derive(Debug, Clone)]
pub struct Methods(Arc<BTreeMap<String, Option<Scope>>>);

impl Methods {
    /// The methods of all services whose protos are compiled in. `open` lists the paths of methods that require no
    /// credential and so no scope, as in `/identity.v1.IdentityService/CreateSession`.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] when the compiled-in descriptors cannot be decoded.
    pub fn of_contract(open: &[&str]) -> Result<Self, DecodeError> {
        let files = FileDescriptorSet::decode(quire_proto::FILE_DESCRIPTOR_SET)?.file;
        let mut methods = BTreeMap::new();
        for file in &files {
            let package = file.package();
            let service = package.split('.').next().unwrap_or(package);
            for (name, method) in
                file.service.iter().flat_map(|service| service.method.iter().map(|method| (service.name(), method)))
            {
                let path = format!("/{package}.{name}/{}", method.name());
                let level = method.options.as_ref().map(|options| options.idempotency_level());
                let access = if level == Some(IdempotencyLevel::NoSideEffects) { "read" } else { "write" };
                let scope = (!open.contains(&path.as_str())).then(|| Scope(format!("{service}:{access}")));
                methods.insert(path, scope);
            }
        }
        Ok(Self(Arc::new(methods)))
    }

    /// Each method's path, as in `/memory.v1.MemoryService/GetMemory`, and the scope that it requires; `None` for a
    /// method that requires no credential.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<&Scope>)> {
        self.0.iter().map(|(path, scope)| (path.as_str(), scope.as_ref()))
    }

    /// Whether a method with this path exists.
    pub fn has(&self, path: &str) -> bool {
        self.0.contains_key(path)
    }

    /// All scopes.
    pub fn scopes(&self) -> BTreeSet<Scope> {
        self.0.values().flatten().cloned().collect()
    }

    /// The scope that the method with this path requires: `Some(None)` if it requires no credential, `None` if no such
    /// method exists.
    pub(crate) fn scope(&self, path: &str) -> Option<Option<&Scope>> {
        self.0.get(path).map(Option::as_ref)
    }
}
