//! Registration of an agent that exists already: by its owner, by others, and at the same time.
use std::{collections::BTreeSet, sync::Arc};

use crate::support::{beat, get, make, named, pass, start, start_on, with};
use futures_util::future::join_all;
use platform::{Caller, Platform, testing};
use quire_proto::registry::v1::{
    Agent, AgentStatus, BatchRegisterAgentsRequest, HeartbeatRequest, RegisterAgentRequest,
    registry_service_server::RegistryService,
};
use registry::Registry;
use tonic::{Code, Request, Status};

async fn register(platform: &Platform, subject: &str, request: RegisterAgentRequest) -> Result<Agent, Status> {
    let mut request = Request::new(request);
    request.extensions_mut().insert(Caller {
        workspace: "default".to_owned(),
        subject: subject.to_owned(),
        scopes: Arc::new(BTreeSet::new()),
        session: None,
    });
    let registry = Registry::open(platform).await.unwrap();
    Ok(registry.register_agent(request).await?.into_inner().agent.unwrap())
}

fn again(agent: Agent) -> RegisterAgentRequest {
    RegisterAgentRequest { agent: Some(agent), take_over: true }
}

fn worker(surface: &str) -> Agent {
    Agent { name: "worker".into(), surface: surface.into(), ..Default::default() }
}

#[tokio::test]
async fn an_owner_takes_its_agent_over() {
    let platform = testing::platform().await;
    let client = start_on(&platform).await;
    // The first registration takes nothing over.
    let first = register(&platform, "ada", again(worker("chat"))).await.unwrap();
    assert_eq!((first.owner.as_str(), first.load), ("ada", 0));
    beat(&client, HeartbeatRequest { id: first.id.clone(), load: Some(7), ..Default::default() }).await.unwrap();
    pass(&platform, 3_600).await;

    let changed =
        Agent { capabilities: vec!["code".into()], metadata: [("a".into(), "b".into())].into(), ..worker("ci") };
    let second = register(&platform, "ada", again(changed.clone())).await.unwrap();
    assert_eq!(get(&client, &first.id).await.unwrap(), second);
    assert!(second.heartbeat_time.unwrap().seconds >= first.heartbeat_time.unwrap().seconds);
    assert_ne!(second.etag, first.etag);
    assert!(second.update_time.unwrap().seconds >= first.update_time.unwrap().seconds);
    let expected = Agent {
        surface: changed.surface,
        capabilities: changed.capabilities,
        metadata: changed.metadata,
        etag: second.etag.clone(),
        heartbeat_time: second.heartbeat_time,
        update_time: second.update_time,
        ..first.clone()
    };
    assert_eq!(second, expected);

    // Its id may be given, but no other.
    let other = Agent { id: "01934f6e-8a3b-7c21-9d55-0242ac120001".into(), ..worker("ci") };
    assert_eq!(register(&platform, "ada", again(other)).await.unwrap_err().code(), Code::AlreadyExists);
    let same = Agent { id: first.id.clone(), ..worker("ide") };
    assert_eq!(register(&platform, "ada", again(same)).await.unwrap().surface, "ide");

    // Nobody else, and nobody who does not ask for it.
    assert_eq!(register(&platform, "eve", again(worker("x"))).await.unwrap_err().code(), Code::AlreadyExists);
    assert_eq!(register(&platform, "ada", with(worker("x"))).await.unwrap_err().code(), Code::AlreadyExists);
    assert_eq!(get(&client, &first.id).await.unwrap().surface, "ide");
    // Without authentication there is no subject: everybody may do everything.
    let anonymous = register(&platform, "", again(worker("nobody"))).await.unwrap();
    assert_eq!((anonymous.owner.as_str(), anonymous.id), ("ada", first.id));
}

#[tokio::test]
async fn an_agent_without_an_owner_gets_one() {
    let (platform, client) = start().await;
    let made = make(&client, "default", &[with(worker("chat"))]).await.remove(0);
    assert_eq!(made.owner, "");
    let taken = register(&platform, "ada", again(worker("ci"))).await.unwrap();
    assert_eq!((taken.owner.as_str(), taken.id), ("ada", made.id));
    assert_eq!(register(&platform, "eve", again(worker("x"))).await.unwrap_err().code(), Code::AlreadyExists);
}

#[tokio::test]
async fn a_suspended_agent_stays_suspended_and_an_offline_one_comes_back() {
    let (platform, client) = start().await;
    for (was, becomes) in
        [(AgentStatus::Suspended, AgentStatus::Suspended), (AgentStatus::Offline, AgentStatus::Active)]
    {
        let agent = Agent { name: was.as_str_name().into(), status: was.into(), ..Default::default() };
        make(&client, "default", &[with(agent.clone())]).await;
        let request = again(Agent { status: AgentStatus::Unspecified.into(), ..agent });
        assert_eq!(register(&platform, "ada", request).await.unwrap().status(), becomes);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_registrations_make_one_agent() {
    let platform = testing::platform().await;
    let registrations = (0..20).map(|place| {
        let agent = Agent { capacity: Some(place), ..worker("ci") };
        let platform = &platform;
        async move { register(platform, "ada", again(agent)).await }
    });
    let registered = join_all(registrations).await;
    let ids: BTreeSet<_> = registered.into_iter().map(|agent| agent.unwrap().id).collect();
    assert_eq!(ids.len(), 1);
}

#[tokio::test]
async fn a_batch_takes_nothing_over() {
    let (_platform, client) = start().await;
    let requests = vec![named("x"), RegisterAgentRequest { take_over: true, ..named("y") }];
    let request = BatchRegisterAgentsRequest { requests, ..Default::default() };
    let status = client.clone().batch_register_agents(request).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(status.message(), "requests[1].take_over: must be false in a batch; use RegisterAgent");
}
