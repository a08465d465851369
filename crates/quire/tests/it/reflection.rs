//! Who may use reflection.
use std::{collections::BTreeSet, sync::Arc};

use crate::support::{KeyFile, Server, database, within};
use access::Caller;
use futures_util::stream;
use platform::{Clock, now, testing::told};
use tonic::{Request, Status, transport::Channel};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest,
};
use uuid::Uuid;

/// A token without any scope.
fn token(keys: &KeyFile) -> String {
    let (workspace, subject) = ("acme".to_owned(), "ada".to_owned());
    let caller = Caller { workspace, subject, scopes: Arc::new(BTreeSet::new()), session: Some(Uuid::nil()) };
    let keys: access::SigningKeys = keys.pem.parse().unwrap();
    let time = now(&Clock::system());
    keys.private().unwrap().sign(&caller, time, time + time::Duration::DAY).unwrap().token
}

/// Lists the services, with this token.
async fn list(channel: &Channel, token: Option<&str>) -> Result<(), Status> {
    let message_request = Some(MessageRequest::ListServices(String::new()));
    let mut request = Request::new(stream::iter([ServerReflectionRequest { host: String::new(), message_request }]));
    if let Some(token) = token {
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    }
    let mut answers = ServerReflectionClient::new(channel.clone()).server_reflection_info(request).await?.into_inner();
    let answer = within("reflection answered", answers.message()).await?;
    answer.map(|_| ()).ok_or_else(|| Status::internal("no answer"))
}

#[tokio::test]
async fn reflection_needs_a_token_if_calls_do() {
    let (_, url) = database().await;
    let keys = KeyFile::new();
    let (token, forged) = (token(&keys), token(&KeyFile::new()));
    let mut server = Server::on_database(&url, &["--signing-keys", keys.path(), "--audience", "quire"]);
    let channel = server.connect().await;
    list(&channel, Some(&token)).await.unwrap();
    for wrong in [None, Some("x"), Some(forged.as_str())] {
        let refused = list(&channel, wrong).await.unwrap_err();
        assert_eq!(told(&refused), "Unauthenticated: a valid credential is required", "{wrong:?}");
    }

    let mut server = Server::on_database(&url, &["--signing-keys", keys.path(), "--reflection", "open"]);
    list(&server.connect().await, None).await.unwrap();
}

#[tokio::test]
async fn reflection_can_be_off() {
    let (_, url) = database().await;
    let mut server = Server::on_database(&url, &["--reflection", "off"]);
    let refused = list(&server.connect().await, None).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::Unimplemented);
}
