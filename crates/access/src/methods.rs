use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use prost::{DecodeError, Message};
use prost_types::{FileDescriptorSet, method_options::IdempotencyLevel};

use crate::Scope;

/// The methods of the contract, each with the scope that a call of it needs.
///
/// The scope follows from the contract: a method that is declared to have no side effects (`option idempotency_level =
/// NO_SIDE_EFFECTS`) needs `<service>:read`, and every other one `<service>:write`.
#[derive(Debug, Clone)]
pub struct Methods(Arc<BTreeMap<String, Option<Scope>>>);

impl Methods {
    /// The methods of all services whose protos are compiled in. Those whose paths are in `open`, as in
    /// `/identity.v1.IdentityService/CreateSession`, need no credential and so no scope.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] when the descriptors that the program was built with cannot be read.
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

    /// Each method's path, as in `/memory.v1.MemoryService/GetMemory`, and the scope that a call of it needs; none for the
    /// methods that need no credential.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<&Scope>)> {
        self.0.iter().map(|(path, scope)| (path.as_str(), scope.as_ref()))
    }

    /// Whether there is a method with this path.
    pub fn has(&self, path: &str) -> bool {
        self.0.contains_key(path)
    }

    /// Every scope that there is.
    pub fn scopes(&self) -> BTreeSet<Scope> {
        self.0.values().flatten().cloned().collect()
    }

    /// The scope that a call of the method with this path needs: `Some(None)` for a method that needs no credential, `None`
    /// for a path of no method.
    pub(crate) fn scope(&self, path: &str) -> Option<Option<&Scope>> {
        self.0.get(path).map(Option::as_ref)
    }
}
