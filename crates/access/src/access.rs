use time::OffsetDateTime;
use tonic::codegen::http;

use crate::{Caller, DEFAULT_WORKSPACE, Error, Methods, Requirement, SigningKeys, WORKSPACE_METADATA, is_workspace};

/// Admits or refuses calls. All authorization by scope happens here.
#[derive(Debug, Clone)]
pub struct Access {
    methods: Methods,
    signing_keys: Option<SigningKeys>,
}

impl Access {
    /// Access to these methods for callers with an access token that one of these keys signed. Without keys there is no
    /// authentication: every caller has every scope, in the workspace that the call's metadata names, or in `default`
    /// if it names none.
    pub fn new(methods: Methods, signing_keys: Option<SigningKeys>) -> Self {
        Self { methods, signing_keys }
    }

    /// Admits a call, and adds its [`Caller`] to the call's extensions. A method that requires no credential has no
    /// caller. A call that is refused after its access token was verified has one too, so that a log can say who it was.
    ///
    /// # Errors
    ///
    /// [`Error::Unauthenticated`], [`Error::PermissionDenied`], [`Error::UnknownMethod`] for a method that is not in the
    /// contract, or [`Error::Workspace`].
    pub fn admit<B>(&self, request: &mut http::Request<B>, now: OffsetDateTime) -> Result<(), Error> {
        let Some(keys) = &self.signing_keys else {
            let caller = self.anybody(request.headers())?;
            request.extensions_mut().insert(caller);
            return Ok(());
        };
        let requirement = self.methods.requirement(request.uri().path());
        if requirement == Some(&Requirement::Nothing) {
            return Ok(());
        }
        let caller = keys.authenticate(request.headers(), now)?;
        let admitted = match requirement {
            Some(Requirement::Scope(scope)) => caller.check(scope),
            Some(Requirement::Nothing | Requirement::AccessToken) => Ok(()),
            None => Err(Error::UnknownMethod),
        };
        request.extensions_mut().insert(caller);
        admitted
    }

    fn anybody(&self, headers: &http::HeaderMap) -> Result<Caller, Error> {
        let workspace = match headers.get(WORKSPACE_METADATA) {
            None => Some(DEFAULT_WORKSPACE),
            Some(name) => name.to_str().ok().filter(|name| is_workspace(name)),
        };
        Ok(Caller {
            workspace: workspace.ok_or(Error::Workspace)?.to_owned(),
            subject: String::new(),
            scopes: self.methods.scopes().clone(),
            session: None,
        })
    }
}

impl SigningKeys {
    /// Returns the caller of a call with these headers, whatever the caller's scopes are.
    ///
    /// # Errors
    ///
    /// [`Error::Unauthenticated`] if the call has no valid access token.
    pub fn authenticate(&self, headers: &http::HeaderMap, now: OffsetDateTime) -> Result<Caller, Error> {
        bearer(headers).and_then(|token| self.verify(token, now)).ok_or(Error::Unauthenticated)
    }
}

/// The token of `authorization: Bearer <token>`. The header must appear exactly once.
fn bearer(headers: &http::HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(http::header::AUTHORIZATION).iter();
    let (value, None) = (values.next()?, values.next()) else { return None };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token)
}
