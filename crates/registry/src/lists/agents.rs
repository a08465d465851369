use std::collections::{BTreeMap, HashMap};

use keyset::{Filter, Listing, Order, Statement, asc, desc};
use platform::{Error, NewRow, Resource};
use quire_proto::registry::v1::Agent;
use sqlx::types::Json;
use time::OffsetDateTime;
use uuid::Uuid;

use super::AGENT;
use crate::Registry;

/// A time to live is kept in milliseconds.
macro_rules! columns {
    () => {
        "id, name, surface, endpoint, capabilities, status, load, capacity, \
        time_to_live * interval '1 millisecond' as time_to_live, metadata, etag, register_time, heartbeat_time, update_time"
    };
}
pub(super) use columns;

/// The agents of a workspace.
pub static AGENTS: Listing = Listing {
    name: "registry.v1.Agents",
    from: "agents",
    message: AGENT,
    columns: columns!(),
    scope: &["workspace_id"],
    filters: &[
        Filter::equal("status", "status"),
        Filter::equal("surface", "surface"),
        Filter::condition("capability", "capabilities @> array[{capability}]"),
    ],
    orders: &[
        Order {
            name: "register_time desc",
            keys: &[desc("register_time"), desc("id")],
            indexed: &[&["status"], &["surface"]],
        },
        Order { name: "name", keys: &[asc("name")], indexed: &[] },
    ],
    ..Listing::DEFAULT
};

/// What an update changes of an agent: the fields that are given.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) name: Option<String>,
    pub(crate) surface: Option<String>,
    pub(crate) endpoint: Option<String>,
    pub(crate) capabilities: Option<Vec<String>>,
    pub(crate) status: Option<&'static str>,
    pub(crate) capacity: Option<i32>,
    pub(crate) time_to_live: Option<i64>,
    pub(crate) metadata: Option<BTreeMap<String, String>>,
    /// The etag that the agent must have, where one is given.
    pub(crate) expected_etag: String,
    pub(crate) new_etag: Uuid,
    pub(crate) update_time: OffsetDateTime,
}

/// What an agent tells of itself: the fields that are given.
#[derive(Debug)]
pub(crate) struct Heartbeat {
    pub(crate) status: Option<&'static str>,
    pub(crate) load: Option<i32>,
    pub(crate) heartbeat_time: OffsetDateTime,
}

pub(crate) async fn get(service: &Registry, workspace: &str, id: Uuid) -> Result<Option<Agent>, Error> {
    let sql = concat!("select ", columns!(), " from agents where workspace_id = $1 and id = $2");
    let rows = service.database.read_rows(Statement::new(sql).bind(workspace).bind(id)).await?;
    Ok(service.agents.first(&rows)?)
}

/// Changes an agent. Nothing when there is none, or when it has another etag than expected.
pub(crate) async fn update(
    service: &Registry,
    workspace: &str,
    id: Uuid,
    change: &Change,
) -> Result<Option<Agent>, Error> {
    let sql = concat!(
        "
        update agents set name = coalesce($4, name), surface = coalesce($5, surface),
            endpoint = coalesce($6, endpoint), capabilities = coalesce($7, capabilities),
            status = coalesce($8, status), capacity = coalesce($9, capacity),
            time_to_live = coalesce($10, time_to_live), metadata = coalesce($11, metadata), etag = $12,
            update_time = greatest($13, update_time + interval '1 microsecond')
        where workspace_id = $1 and id = $2 and ($3 = '' or etag::text = $3)
        returning ",
        columns!()
    );
    let statement = Statement::new(sql).bind(workspace).bind(id).bind(&change.expected_etag);
    let statement = statement.bind(&change.name).bind(&change.surface).bind(&change.endpoint);
    let statement = statement.bind(&change.capabilities).bind(change.status).bind(change.capacity);
    let statement = statement.bind(change.time_to_live).bind(change.metadata.as_ref().map(Json));
    match service.database.write_rows(statement.bind(change.new_etag).bind(change.update_time)).await {
        Ok(rows) => Ok(service.agents.first(&rows)?),
        Err(sqlx::Error::Database(error)) if error.is_unique_violation() => {
            let name = change.name.clone().unwrap_or_default();
            Err(Error::AlreadyExists(Resource { kind: AGENT, field: "agent.name".to_owned(), name }))
        }
        Err(error) => Err(error.into()),
    }
}

/// Hears a heartbeat. One that is suspended stays so, and one that is offline comes back. Nothing when there is none.
///
/// A column that keeps its value stays in its indexes as it is: most heartbeats touch none.
pub(crate) async fn hear(
    service: &Registry,
    workspace: &str,
    id: Uuid,
    heartbeat: &Heartbeat,
) -> Result<Option<Agent>, Error> {
    let sql = concat!(
        "
        update agents set load = coalesce($4, load), heartbeat_time = greatest($5, heartbeat_time),
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
    let statement = statement.bind(heartbeat.status).bind(heartbeat.load).bind(heartbeat.heartbeat_time);
    Ok(service.agents.first(&service.database.write_rows(statement).await?)?)
}

/// Deletes an agent. Whether there was one.
pub(crate) async fn delete(service: &Registry, workspace: &str, id: Uuid) -> Result<bool, Error> {
    let sql = "delete from agents where workspace_id = $1 and id = $2 returning id";
    Ok(!service.database.write_rows(Statement::new(sql).bind(workspace).bind(id)).await?.is_empty())
}

/// An agent to be made.
#[derive(Debug, Clone)]
pub(crate) struct NewAgent {
    /// The path of the request that asks for it, with the dot behind it: empty, or as in `requests[3].`.
    pub(crate) path: String,
    /// Whether the request gave the id.
    pub(crate) is_id_given: bool,
    pub(crate) id: Uuid,
    pub(crate) status: &'static str,
    pub(crate) capacity: i32,
    /// In milliseconds.
    pub(crate) time_to_live: i64,
    pub(crate) etag: Uuid,
    pub(crate) register_time: OffsetDateTime,
    pub(crate) agent: Agent,
}

impl NewRow for NewAgent {
    type Store = Registry;
    type Existing = Agent;

    async fn insert(service: &Registry, workspace: &str, new: &[&Self]) -> sqlx::Result<()> {
        let sql = "
            with given as (
                select * from unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::jsonb[], $7::text[], $8::int4[],
                    $9::int4[], $10::int8[], $11::jsonb[], $12::uuid[], $13::timestamptz[])
                    as given (id, name, surface, endpoint, capabilities, status, load, capacity, time_to_live, metadata,
                        etag, register_time)
            )
            insert into agents (workspace_id, id, name, surface, endpoint, capabilities, status, load, capacity,
                time_to_live, metadata, etag, register_time, heartbeat_time, update_time)
            select $1, id, name, surface, endpoint, array(select jsonb_array_elements_text(capabilities)), status, load,
                capacity, time_to_live, metadata, etag, register_time, register_time, register_time
            -- Two batches that have agents in common take them in the same order, so that neither waits for the other.
            from given order by name";
        let agents = || new.iter().map(|new| &new.agent);
        let statement = Statement::new(sql)
            .bind(workspace)
            .bind(new.iter().map(|new| new.id).collect::<Vec<_>>())
            .bind(agents().map(|agent| agent.name.as_str()).collect::<Vec<_>>())
            .bind(agents().map(|agent| agent.surface.as_str()).collect::<Vec<_>>())
            .bind(agents().map(|agent| agent.endpoint.as_str()).collect::<Vec<_>>())
            .bind(agents().map(|agent| Json(&agent.capabilities)).collect::<Vec<_>>())
            .bind(new.iter().map(|new| new.status).collect::<Vec<_>>())
            .bind(agents().map(|agent| agent.load).collect::<Vec<_>>())
            .bind(new.iter().map(|new| new.capacity).collect::<Vec<_>>())
            .bind(new.iter().map(|new| new.time_to_live).collect::<Vec<_>>())
            .bind(agents().map(|agent| Json(&agent.metadata)).collect::<Vec<_>>())
            .bind(new.iter().map(|new| new.etag).collect::<Vec<_>>())
            .bind(new.iter().map(|new| new.register_time).collect::<Vec<_>>());
        service.database.write_rows(statement).await?;
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
        let existing = rows.iter().map(|row| service.agents.message(row)).collect::<Result<Vec<Agent>, _>>()?;
        let by_id: HashMap<&str, _> = existing.iter().map(|agent| (agent.id.as_str(), agent)).collect();
        let by_name: HashMap<&str, _> = existing.iter().map(|agent| (agent.name.as_str(), agent)).collect();
        let find = |Agent { id, name, .. }: &Agent| by_id.get(id.as_str()).or_else(|| by_name.get(name.as_str()));
        Ok(new.iter().map(|new| find(&new.agent).copied().cloned()).collect())
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
        Resource { kind: AGENT, field: format!("{}{field}", self.path), name }
    }
}
