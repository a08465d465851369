use std::{fmt, time::Duration};

use crate::{Client, Error, connection, service::Caller, session::Session};

/// The deadline of a call that has none: see [`Builder::deadline`].
pub const DEFAULT_DEADLINE: Duration = Duration::from_secs(60);

/// The settings of a [`Client`]. See [`Client::builder`].
#[derive(Clone)]
#[must_use = "nothing is connected before connect"]
pub struct Builder {
    pub(crate) server: String,
    pub(crate) api_key: Option<String>,
    pub(crate) workspace: String,
    pub(crate) tls_ca: Option<String>,
    pub(crate) tls_identity: Option<(String, String)>,
    pub(crate) deadline: Duration,
    pub(crate) user_agent: String,
}

impl Builder {
    pub(crate) fn new(server: String) -> Self {
        Self {
            server,
            api_key: None,
            workspace: quire_proto::DEFAULT_WORKSPACE.to_owned(),
            tls_ca: None,
            tls_identity: None,
            deadline: DEFAULT_DEADLINE,
            user_agent: concat!("quire-client/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }

    /// Sets the secret of an API key, which decides the workspace. It is exchanged for a session, which is refreshed in
    /// time. To another machine it needs `https://`.
    pub fn api_key(mut self, secret: impl Into<String>) -> Self {
        self.api_key = Some(secret.into());
        self
    }

    /// Sets the workspace, for a server without authentication: 1 to 63 of `[a-z0-9-]`. Default: `default`.
    pub fn workspace(mut self, workspace: impl Into<String>) -> Self {
        self.workspace = workspace.into();
        self
    }

    /// Sets the certificate authorities to trust for the server, in PEM. Default: those of the system.
    pub fn tls_ca(mut self, pem: impl Into<String>) -> Self {
        self.tls_ca = Some(pem.into());
        self
    }

    /// Sets the client's certificate chain and its private key, in PEM, for a server that requires them.
    pub fn tls_identity(mut self, certificate: impl Into<String>, key: impl Into<String>) -> Self {
        self.tls_identity = Some((certificate.into(), key.into()));
        self
    }

    /// Sets how long a call may take that has no deadline of its own. The server is told. Default:
    /// [`DEFAULT_DEADLINE`].
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Sets the user agent, which sessions show. Default: `quire-client/<version>`.
    pub fn user_agent(mut self, user_agent: impl Into<String>) -> Self {
        self.user_agent = user_agent.into();
        self
    }

    /// Connects to the server, and begins a session if there is an API key.
    ///
    /// # Errors
    ///
    /// [`Error`], for each of its reasons.
    pub async fn connect(self) -> Result<Client, Error> {
        let channel = connection::open(&self).await?;
        let caller = match self.api_key {
            Some(secret) => Caller::Session(Session::begin(&channel, secret).await.map_err(Error::Session)?),
            None => Caller::workspace(&self.workspace)?,
        };
        Ok(Client { channel, caller, deadline: self.deadline })
    }
}

/// Without the API key and the private key.
impl fmt::Debug for Builder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Builder").field("server", &self.server).finish_non_exhaustive()
    }
}
