use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};

use jsonwebtoken::{Algorithm, Header, Validation};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{Caller, Error, Scope, SigningKey, SigningKeys};

/// How long an access token lives.
pub const ACCESS_TOKEN_TIME_TO_LIVE: Duration = Duration::from_secs(10 * 60);

/// Who gives out access tokens, and for whom.
const ISSUER: &str = "quire";
/// The type of a JWT that is an access token ([RFC 9068](https://www.rfc-editor.org/rfc/rfc9068#section-2.1)).
const TYPE: &str = "at+jwt";

/// What a token must be, other than signed and alive.
static VALIDATION: LazyLock<Validation> = LazyLock::new(|| {
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.set_issuer(&[ISSUER]);
    validation.set_audience(&[ISSUER]);
    // The time is passed in.
    validation.validate_exp = false;
    validation
});

/// An access token, and when it ends: a JWT ([RFC 9068](https://www.rfc-editor.org/rfc/rfc9068)) that is signed by EdDSA and
/// nothing else.
#[derive(Debug, Clone)]
pub struct AccessToken {
    /// What stands behind `Bearer` in a call's metadata.
    pub token: String,
    /// When it ends.
    pub expire_time: OffsetDateTime,
}

/// What an access token says.
#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: String,
    /// The session.
    sid: Uuid,
    workspace: String,
    /// The scopes, with a space between any two.
    scope: String,
    iat: i64,
    exp: i64,
}

impl SigningKey {
    /// Signs a token by which this caller is known. It lives for [`ACCESS_TOKEN_TIME_TO_LIVE`] from the time at which the
    /// caller was authenticated, and no longer than the caller's session.
    ///
    /// # Errors
    ///
    /// [`Error::Signing`] when it cannot be signed.
    pub fn sign(
        &self,
        caller: &Caller,
        time: OffsetDateTime,
        session_end: OffsetDateTime,
    ) -> Result<AccessToken, Error> {
        // Whole seconds, which is what a token says.
        let issue_time = time.truncate_to_second();
        let expire_time = (issue_time + ACCESS_TOKEN_TIME_TO_LIVE).min(session_end.truncate_to_second());
        let scopes: Vec<_> = caller.scopes.iter().map(|scope| scope.0.as_str()).collect();
        let claims = Claims {
            iss: ISSUER.to_owned(),
            aud: ISSUER.to_owned(),
            sub: caller.subject.clone(),
            sid: caller.session.unwrap_or_default(),
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
    /// The caller that an access token names; none when any of the token is wrong, or when it has expired by now.
    pub fn verify(&self, token: &str, now: OffsetDateTime) -> Option<Caller> {
        let header = jsonwebtoken::decode_header(token).ok()?;
        let key = self.checking(header.kid.as_deref()?)?;
        let claims = jsonwebtoken::decode::<Claims>(token, key, &VALIDATION).ok()?.claims;
        let is_alive = now.unix_timestamp() < claims.exp;
        (is_alive && header.typ.as_deref() == Some(TYPE)).then(|| Caller {
            workspace: claims.workspace,
            subject: claims.sub,
            session: Some(claims.sid),
            scopes: Arc::new(claims.scope.split_terminator(' ').map(|scope| Scope(scope.to_owned())).collect()),
        })
    }
}
