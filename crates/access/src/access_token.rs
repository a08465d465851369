use std::{sync::Arc, time::Duration};

use jsonwebtoken::{Algorithm, Header, Validation};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{Caller, Error, Scope, SigningKey, SigningKeys};

/// How long an access token is valid.
pub const ACCESS_TOKEN_TIME_TO_LIVE: Duration = Duration::from_secs(10 * 60);

/// The issuer of access tokens.
const ISSUER: &str = "quire";
/// The `typ` of an access token's JWT ([RFC 9068](https://www.rfc-editor.org/rfc/rfc9068#section-2.1)).
const TYPE: &str = "at+jwt";

/// The validation of a token's claims. [`SigningKeys::verify`] checks the type and the expiry.
pub(crate) fn validation(audience: &str) -> Validation {
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.set_issuer(&[ISSUER]);
    validation.set_audience(&[audience]);
    // `verify` checks the expiry, because it gets the time as an argument.
    validation.validate_exp = false;
    validation
}

/// An access token and its expiry: a JWT ([RFC 9068](https://www.rfc-editor.org/rfc/rfc9068)). EdDSA is the only
/// signature algorithm.
#[derive(Debug, Clone)]
pub struct AccessToken {
    /// The text after `Bearer` in a call's metadata.
    pub token: String,
    /// When the token expires.
    pub expire_time: OffsetDateTime,
}

/// The claims of an access token.
#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: String,
    /// The session's id. A caller without a session cannot get a token from the service.
    #[serde(skip_serializing_if = "Option::is_none")]
    sid: Option<Uuid>,
    workspace: String,
    /// The scopes, separated by spaces.
    scope: String,
    iat: i64,
    exp: i64,
}

impl SigningKey {
    /// Signs an access token for this caller. It is valid for [`ACCESS_TOKEN_TIME_TO_LIVE`] from `time`, when the
    /// caller was authenticated, but not longer than the caller's session.
    ///
    /// # Errors
    ///
    /// [`Error::Signing`] when signing fails.
    pub fn sign(
        &self,
        caller: &Caller,
        time: OffsetDateTime,
        session_end: OffsetDateTime,
    ) -> Result<AccessToken, Error> {
        // A token contains times in whole seconds.
        let issue_time = time.truncate_to_second();
        let expire_time = (issue_time + ACCESS_TOKEN_TIME_TO_LIVE).min(session_end.truncate_to_second());
        let scopes: Vec<_> = caller.scopes.iter().map(|scope| scope.0.as_str()).collect();
        let claims = Claims {
            iss: ISSUER.to_owned(),
            aud: self.audience.to_string(),
            sub: caller.subject.clone(),
            sid: caller.session,
            workspace: caller.workspace.clone(),
            scope: scopes.join(" "),
            iat: issue_time.unix_timestamp(),
            exp: expire_time.unix_timestamp(),
        };
        let mut header = Header::new(Algorithm::EdDSA);
        header.typ = Some(TYPE.to_owned());
        header.kid = Some(self.id.clone());
        let token = jsonwebtoken::encode(&header, &claims, &self.key)?;
        Ok(AccessToken { token, expire_time })
    }
}

impl SigningKeys {
    /// Verifies an access token and returns its caller. Returns `None` if the token is invalid or has expired at `now`.
    pub fn verify(&self, token: &str, now: OffsetDateTime) -> Option<Caller> {
        let header = jsonwebtoken::decode_header(token).ok()?;
        let key = self.checking(header.kid.as_deref()?)?;
        let claims = jsonwebtoken::decode::<Claims>(token, &key, &self.validation).ok()?.claims;
        let is_alive = now.unix_timestamp() < claims.exp;
        (is_alive && header.typ.as_deref() == Some(TYPE)).then(|| Caller {
            workspace: claims.workspace,
            subject: claims.sub,
            session: claims.sid,
            scopes: Arc::new(claims.scope.split_terminator(' ').map(|scope| Scope(scope.to_owned())).collect()),
        })
    }
}
