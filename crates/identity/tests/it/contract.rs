//! The contract kit, on the methods that need no values which the service generates.
use identity::SERVICE;
use platform::testing::contract::Contract;

const CREATE: &str = r#"{"api_key": {"name": "ci", "subject": "ada", "scopes": ["identity:read", "identity:write"],
    "expire_time": "2100-01-01T00:00:00Z"}}"#;

#[tokio::test]
async fn methods_fulfil_the_contract() {
    let exceptions = [
        ("CreateSession: no example is given", "its secret is random"),
        ("RefreshSession: no example is given", "its token is random"),
        ("GetSession: no example is given", "the service generates its id"),
        ("ListSessions: no example is given", "no session is created"),
        ("RevokeSession: no example is given", "the service generates its id"),
        ("RevokeApiKey: no example is given", "the service generates its id"),
        ("CreateApiKey: in an empty workspace", "no field of a key is unique"),
        ("RevokeSessions: in an empty workspace", "it counts the sessions that it revokes"),
        ("CreateApiKey api_key.scopes 32", "the caller does not have these scopes"),
        ("CreateApiKey api_key.scopes in", "the caller does not have these scopes"),
        ("CreateApiKey: with values that are not read", "a time to live excludes an expire_time"),
        ("ListApiKeys ancestor_id", "no key is made with another one"),
    ];
    let contract = Contract::of(&SERVICE);
    exceptions
        .into_iter()
        .fold(contract, |contract, (problem, reason)| contract.except(problem, reason))
        .example("CreateApiKey", CREATE)
        .example("CreateApiKey", CREATE)
        .example("ListApiKeys", "{}")
        .example("RevokeSessions", r#"{"subject": "ada"}"#)
        .required("ApiKey.scopes")
        .text("ApiKey.name", 1..=128)
        .text("ApiKey.subject", 1..=128)
        .text("RevokeSessionsRequest.subject", 1..=128)
        .check()
        .await;
}
