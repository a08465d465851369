use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use pagination::InvalidArgument;
use prost::{DecodeError, Message};
use prost_types::{FileDescriptorSet, method_options::IdempotencyLevel};
use tonic::codegen::http;

use crate::{
    AccessTokens, Caller, Error, Scope,
    caller::{DEFAULT_WORKSPACE, WORKSPACE_METADATA, is_workspace},
};

/// The methods that need no credential: they are how one is had.
const OPEN: [&str; 2] = ["/identity.v1.IdentityService/CreateSession", "/identity.v1.IdentityService/RefreshSession"];

/// The methods of the contract, each with the scope that a call of it needs.
///
/// The scope follows from the contract: a method that is declared to have no side effects (`option idempotency_level =
/// NO_SIDE_EFFECTS`) needs `<service>:read`, and every other one `<service>:write`.
#[derive(Debug, Clone)]
pub struct Methods(Arc<BTreeMap<String, Option<Scope>>>);

impl Methods {
    /// The methods of all services whose protos are compiled in.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] when the descriptors that the program was built with cannot be read.
    pub fn of_contract() -> Result<Self, DecodeError> {
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
                let scope = (!OPEN.contains(&path.as_str())).then(|| Scope(format!("{service}:{access}")));
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
}

/// Decides who may call what. It is the one place where that is decided.
#[derive(Debug, Clone)]
pub struct Access {
    methods: Methods,
    scopes: Arc<BTreeSet<Scope>>,
    access_tokens: Option<AccessTokens>,
}

impl Access {
    /// Access to these methods for those who have an access token. Without access tokens there is no authentication: every
    /// caller may do everything, in the workspace that the call's metadata names, otherwise `default`.
    pub fn new(methods: Methods, access_tokens: Option<AccessTokens>) -> Self {
        Self { scopes: Arc::new(methods.scopes()), methods, access_tokens }
    }

    /// Adds the [`Caller`] to a call's extensions; none for a method that needs no credential.
    ///
    /// # Errors
    ///
    /// What the call is refused with: `UNAUTHENTICATED`, `PERMISSION_DENIED`, `UNIMPLEMENTED` for a method that is not in the
    /// contract, or `INVALID_ARGUMENT` for a workspace's name that is none.
    pub fn admit<B>(&self, request: &mut http::Request<B>) -> Result<(), Error> {
        if let Some(caller) = self.caller(request)? {
            request.extensions_mut().insert(caller);
        }
        Ok(())
    }

    /// Who makes a call, if it may; nobody for a method that needs no credential.
    fn caller<B>(&self, request: &http::Request<B>) -> Result<Option<Caller>, Error> {
        let Some(tokens) = &self.access_tokens else { return self.anybody(request.headers()).map(Some) };
        let scope = self.methods.0.get(request.uri().path());
        if scope.is_some_and(Option::is_none) {
            return Ok(None);
        }
        let caller = bearer(request.headers()).and_then(|token| tokens.verify(token)).ok_or(Error::Unauthenticated)?;
        match scope.and_then(Option::as_ref) {
            Some(scope) if caller.scopes.contains(scope) => Ok(Some(caller)),
            Some(scope) => Err(Error::PermissionDenied(scope.clone())),
            None => Err(Error::Unimplemented),
        }
    }

    fn anybody(&self, headers: &http::HeaderMap) -> Result<Caller, Error> {
        let workspace = match headers.get(WORKSPACE_METADATA) {
            None => Some(DEFAULT_WORKSPACE),
            Some(name) => name.to_str().ok().filter(|name| is_workspace(name)),
        };
        let workspace =
            workspace.ok_or_else(|| InvalidArgument::field(WORKSPACE_METADATA, "must be 1 to 63 of a-z, 0-9 and -"))?;
        Ok(Caller {
            workspace: workspace.to_owned(),
            subject: String::new(),
            scopes: self.scopes.clone(),
            session: None,
        })
    }
}

/// The token of `authorization: Bearer <token>`, of which there must be one.
fn bearer(headers: &http::HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(http::header::AUTHORIZATION).iter();
    let (value, None) = (values.next()?, values.next()) else { return None };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token)
}
