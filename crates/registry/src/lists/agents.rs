use std::ops::RangeInclusive;

use keyset::{Filter, Listing, Order, Statement, asc, desc};
use platform::{
    Caller, Declaration, Error, Existing, Field, NewRow, Resource, Rows, Value, assignments, create, matched,
};
use prost_types::Duration;
use quire_proto::registry::v1::Agent;
use time::OffsetDateTime;
use uuid::Uuid;

use super::STATUSES;
use crate::Registry;

/// The default capacity.
const DEFAULT_CAPACITY: i32 = 1;
/// The range of the time to live: 1 second to 1 day, in milliseconds.
const TIME_TO_LIVE: RangeInclusive<i64> = 1_000..=86_400_000;
/// The default time to live: 60 seconds.
const DEFAULT_TIME_TO_LIVE: Duration = Duration { seconds: 60, nanos: 0 };

/// The time to live is stored in milliseconds.
macro_rules! columns {
    () => {
        "id, name, surface, endpoint, capabilities, status, load, capacity, \
        time_to_live * interval '1 millisecond' as time_to_live, metadata, etag, register_time, heartbeat_time, update_time, \
        owner"
    };
}
pub(super) use columns;

/// The agents of a workspace.
pub static AGENTS: Listing = Listing {
    name: "registry.v1.Agents",
    from: "agents",
    message: "registry.v1.Agent",
    columns: columns!(),
    scope: &["workspace_id"],
    filters: &[
        Filter::equal("status", "status"),
        Filter::equal("surface", "surface"),
        Filter::condition("capability", "capabilities @> array[{capability}]"),
        Filter::equal("name", "name"),
    ],
    orders: &[
        Order {
            name: "register_time desc",
            keys: &[desc("register_time"), desc("id")],
            indexed: &[&["status"], &["surface"], &["name"]],
        },
        Order { name: "name", keys: &[asc("name")], indexed: &[&["name"]] },
        Order { name: "id", keys: &[asc("id")], indexed: &[] },
    ],
    ..Listing::DEFAULT
};

/// The fields of agents that callers write.
pub static AGENT: Declaration<Agent> = Declaration {
    listing: &AGENTS,
    field: "agent",
    id: |agent| &agent.id,
    etag: |agent| &agent.etag,
    fields,
    fill,
    unique: "name",
    derived: None,
};

fn fields(agent: &Agent) -> Vec<Field<'_>> {
    vec![
        Field::text("name", &agent.name, 1..=256),
        Field::text("surface", &agent.surface, 0..=64),
        Field::text("endpoint", &agent.endpoint, 0..=1_024),
        Field::words("capabilities", &agent.capabilities, 0),
        Field::one_of("status", agent.status, &STATUSES),
        Field::int4("capacity", agent.capacity, 0..=i32::MAX),
        time_to_live(agent.time_to_live.as_ref()),
        Field::metadata("metadata", &agent.metadata),
    ]
}

/// The fields of a new agent.
pub fn agent_fields(agent: &Agent) -> Vec<Field<'_>> {
    [fields(agent), vec![Field::int4("load", Some(agent.load), 0..=i32::MAX)]].concat()
}

/// The time to live, stored in milliseconds.
fn time_to_live(time_to_live: Option<&Duration>) -> Field<'static> {
    let Duration { seconds, nanos } = time_to_live.copied().unwrap_or_default();
    let milliseconds = seconds.saturating_mul(1_000).saturating_add(i64::from(nanos / 1_000_000));
    let is_whole = (0..1_000_000_000).contains(&nanos) && nanos % 1_000_000 == 0;
    let is_right = is_whole && TIME_TO_LIVE.contains(&milliseconds);
    let problem = (!is_right).then_some("must be 1 second to 1 day, in whole milliseconds");
    Field::new("time_to_live", Value::Int8(Some(milliseconds))).checked(time_to_live.is_none(), problem)
}

pub(crate) fn fill(agent: &mut Agent) {
    agent.capacity.get_or_insert(DEFAULT_CAPACITY);
    agent.time_to_live.get_or_insert(DEFAULT_TIME_TO_LIVE);
}

/// The fields of a heartbeat. Omitted fields keep their values.
#[derive(Debug)]
pub(crate) struct Heartbeat {
    pub(crate) status: Option<&'static str>,
    pub(crate) load: Option<i32>,
}

/// Records a heartbeat and returns the agent, or `None` if the agent does not exist. A suspended agent stays suspended;
/// an offline agent becomes active, unless the heartbeat has another status.
///
/// An update that changes no indexed column writes to no index, so most heartbeats do not.
pub(crate) async fn record_heartbeat(
    service: &Registry,
    workspace: &str,
    id: Uuid,
    heartbeat: &Heartbeat,
) -> Result<Option<Agent>, Error> {
    let sql = concat!(
        "
        update agents set load = coalesce($4, load), heartbeat_time = now(),
            status = case status
                when 'suspended' then status
                when 'offline' then coalesce($3, 'active')
                else coalesce($3, status)
            end
        where workspace_id = $1 and id = $2
        returning ",
        columns!()
    );
    let statement = Statement::new(sql).bind(workspace).bind(id);
    let statement = statement.bind(heartbeat.status).bind(heartbeat.load);
    Ok(service.agents.list.first(&service.database.write_rows(statement).await?)?)
}

/// Creates the agent, or takes over the agent with its name, if that agent was registered by the same subject.
pub(crate) async fn create_or_take_over(service: &Registry, caller: &Caller, new: NewAgent) -> Result<Agent, Error> {
    if let Some(agent) = take_over(service, caller, &new).await? {
        return Ok(agent);
    }
    match create(service, &caller.workspace, std::slice::from_ref(&new), Existing::Refused).await {
        Ok(_) => Ok(new.agent),
        // It was created since the first attempt, or belongs to another subject.
        Err(error @ Error::AlreadyExists(_)) => take_over(service, caller, &new).await?.ok_or(error),
        Err(error) => Err(error),
    }
}

/// Replaces the fields of an agent that its owner registers again. The agent keeps its id, its time of registration and, if
/// it is suspended, its status. An agent without an owner was registered without authentication or by an earlier release.
async fn take_over(service: &Registry, caller: &Caller, new: &NewAgent) -> Result<Option<Agent>, Error> {
    let fields = agent_fields(&new.agent);
    let fields: Vec<_> = fields.into_iter().filter(|field| !["name", "status"].contains(&field.path)).collect();
    let sql = format!(
        "update agents set {} status = case status when 'suspended' then status else $4 end, etag = $5,
            update_time = greatest($6, update_time + interval '1 microsecond'), heartbeat_time = now(),
            owner = case $3 when '' then owner else $3 end
        where workspace_id = $1 and name = $2 and ($3 = '' or owner in ('', $3)) and ($7::uuid is null or id = $7)
        returning {}",
        assignments(&fields, 8),
        columns!()
    );
    let status = STATUSES.name(new.agent.status);
    let id = new.is_id_given.then_some(new.id);
    let statement = Statement::built(sql.into()).bind(&caller.workspace).bind(&new.agent.name).bind(&caller.subject);
    let statement = statement.bind(status).bind(new.etag).bind(new.register_time).bind(id);
    let statement = fields.iter().fold(statement, |statement, field| field.value.bind(statement, true));
    Ok(service.agents.list.first(&service.database.write_rows(statement).await?)?)
}

/// An agent to insert.
#[derive(Debug, Clone)]
pub(crate) struct NewAgent {
    /// The path of its request in a batch, with a trailing dot, as in `requests[3].`; empty outside a batch.
    pub(crate) path: String,
    /// Whether the request contains the id.
    pub(crate) is_id_given: bool,
    pub(crate) id: Uuid,
    pub(crate) etag: Uuid,
    pub(crate) register_time: OffsetDateTime,
    pub(crate) agent: Agent,
}

impl NewAgent {
    /// The agent, owned by the subject of this caller.
    pub(crate) fn registered_by(mut self, caller: &Caller) -> Self {
        self.agent.owner.clone_from(&caller.subject);
        self
    }
}

impl NewRow for NewAgent {
    type Store = Registry;
    type Existing = Agent;

    async fn insert(service: &Registry, workspace: &str, new: &[&Self]) -> sqlx::Result<()> {
        let rows = Rows::new(new.iter().map(|new| {
            let time = Value::Timestamptz(new.register_time);
            let mut fields = agent_fields(&new.agent);
            fields.extend([
                Field::new("id", Value::Uuid(new.id)),
                Field::new("etag", Value::Uuid(new.etag)),
                Field::new("register_time", time),
                Field::new("heartbeat_time", time),
                Field::new("update_time", time),
                Field::new("owner", Value::Text(&new.agent.owner)),
            ]);
            fields
        }));
        service.database.write_rows(rows.insert(workspace, "agents", "name")).await?;
        Ok(())
    }

    async fn find(service: &Registry, workspace: &str, new: &[Self]) -> Result<Vec<Option<Agent>>, Error> {
        let sql = concat!(
            "select ",
            columns!(),
            " from agents where workspace_id = $1 and id in (
                select id from agents where workspace_id = $1 and id = any($2)
                union
                select id from agents where workspace_id = $1 and name = any($3)
            )"
        );
        let ids: Vec<_> = new.iter().map(|new| new.id).collect();
        let names: Vec<_> = new.iter().map(|new| new.agent.name.as_str()).collect();
        let rows = service.database.read_rows(Statement::new(sql).bind(workspace).bind(ids).bind(names)).await?;
        let existing = rows.iter().map(|row| service.agents.list.message(row)).collect::<Result<Vec<Agent>, _>>()?;
        Ok(matched(
            new,
            &existing,
            &[(|new| &new.agent.id, |agent| &agent.id), (|new| &new.agent.name, |agent| &agent.name)],
        ))
    }

    fn keys(&self) -> Vec<&str> {
        vec![&self.agent.id, &self.agent.name]
    }

    fn as_existing(&self) -> Agent {
        self.agent.clone()
    }

    fn is_as(&self, existing: &Agent) -> bool {
        let Agent { name, surface, endpoint, capabilities, capacity, time_to_live, metadata, .. } = existing;
        let new = &self.agent;
        (!self.is_id_given || new.id == existing.id)
            && (&new.name, &new.surface, &new.endpoint, &new.capabilities) == (name, surface, endpoint, capabilities)
            && (&new.capacity, &new.time_to_live, &new.metadata) == (capacity, time_to_live, metadata)
    }

    fn resource(&self, existing: Option<&Agent>) -> Resource {
        let (field, name) = if existing.is_some_and(|existing| existing.id == self.agent.id) {
            ("agent.id", self.agent.id.clone())
        } else {
            ("agent.name", self.agent.name.clone())
        };
        Resource { kind: AGENTS.message, field: format!("{}{field}", self.path), name }
    }
}
