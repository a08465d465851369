use std::collections::{BTreeMap, HashMap};

use keyset::{Database, Filter, Listing, Order, asc, desc};
use platform::{Error, NewRow, Resource, timestamp};
use prost_types::Duration;
use quire_proto::registry::v1::Agent;
use sqlx::{FromRow, types::Json};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{AGENT, STATUSES};

/// The agents of a workspace.
pub static AGENTS: Listing = Listing {
    name: "registry.v1.Agents",
    from: "agents",
    columns: "id, name, surface, endpoint, capabilities, status, load, capacity, time_to_live, metadata, etag, \
        register_time, heartbeat_time, update_time",
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

/// A row of `agents`.
#[derive(Debug, Clone, PartialEq, FromRow)]
pub(crate) struct AgentRow {
    pub(crate) id: Uuid,
    pub(crate) name: String,
    pub(crate) surface: String,
    pub(crate) endpoint: String,
    pub(crate) capabilities: Vec<String>,
    pub(crate) status: String,
    pub(crate) load: i32,
    pub(crate) capacity: i32,
    /// In milliseconds.
    pub(crate) time_to_live: i64,
    pub(crate) metadata: Json<BTreeMap<String, String>>,
    pub(crate) etag: Uuid,
    pub(crate) register_time: OffsetDateTime,
    pub(crate) heartbeat_time: OffsetDateTime,
    pub(crate) update_time: OffsetDateTime,
}

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

impl AgentRow {
    pub(crate) async fn get(database: &Database, workspace: &str, id: Uuid) -> Result<Option<Self>, Error> {
        let sql = "
            select id, name, surface, endpoint, capabilities, status, load, capacity, time_to_live, metadata, etag,
                register_time, heartbeat_time, update_time
            from agents where workspace_id = $1 and id = $2";
        Ok(database.read(|| sqlx::query(sql).bind(workspace).bind(id)).await?.pop())
    }

    /// Changes an agent. Nothing when there is none, or when it has another etag than expected.
    pub(crate) async fn update(
        database: &Database,
        workspace: &str,
        id: Uuid,
        change: &Change,
    ) -> Result<Option<Self>, Error> {
        let sql = "
            update agents set name = coalesce($4, name), surface = coalesce($5, surface),
                endpoint = coalesce($6, endpoint), capabilities = coalesce($7, capabilities),
                status = coalesce($8, status), capacity = coalesce($9, capacity),
                time_to_live = coalesce($10, time_to_live), metadata = coalesce($11, metadata), etag = $12,
                update_time = greatest($13, update_time + interval '1 microsecond')
            where workspace_id = $1 and id = $2 and ($3 = '' or etag::text = $3)
            returning id, name, surface, endpoint, capabilities, status, load, capacity, time_to_live, metadata, etag,
                register_time, heartbeat_time, update_time";
        let query = sqlx::query(sql).bind(workspace).bind(id).bind(&change.expected_etag);
        let query = query.bind(&change.name).bind(&change.surface).bind(&change.endpoint).bind(&change.capabilities);
        let query = query.bind(change.status).bind(change.capacity).bind(change.time_to_live);
        let query = query.bind(change.metadata.as_ref().map(Json)).bind(change.new_etag).bind(change.update_time);
        match database.write(query).await {
            Ok(mut updated) => Ok(updated.pop()),
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
        database: &Database,
        workspace: &str,
        id: Uuid,
        heartbeat: &Heartbeat,
    ) -> Result<Option<Self>, Error> {
        let sql = "
            update agents set load = coalesce($4, load), heartbeat_time = greatest($5, heartbeat_time),
                status = case status
                    when 'suspended' then status
                    when 'offline' then coalesce($3, 'active')
                    else coalesce($3, status)
                end
            where workspace_id = $1 and id = $2
            returning id, name, surface, endpoint, capabilities, status, load, capacity, time_to_live, metadata, etag,
                register_time, heartbeat_time, update_time";
        let query = sqlx::query(sql).bind(workspace).bind(id);
        let query = query.bind(heartbeat.status).bind(heartbeat.load).bind(heartbeat.heartbeat_time);
        Ok(database.write(query).await?.pop())
    }

    /// Deletes an agent. Whether there was one.
    pub(crate) async fn delete(database: &Database, workspace: &str, id: Uuid) -> Result<bool, Error> {
        let sql = "delete from agents where workspace_id = $1 and id = $2 returning id";
        let deleted: Vec<(Uuid,)> = database.write(sqlx::query(sql).bind(workspace).bind(id)).await?;
        Ok(!deleted.is_empty())
    }
}

impl From<AgentRow> for Agent {
    fn from(row: AgentRow) -> Self {
        Self {
            id: row.id.to_string(),
            name: row.name,
            surface: row.surface,
            endpoint: row.endpoint,
            capabilities: row.capabilities,
            status: STATUSES.value(&row.status).into(),
            load: row.load,
            capacity: Some(row.capacity),
            // Less than a billion, which an i32 holds.
            time_to_live: Some(Duration {
                seconds: row.time_to_live / 1_000,
                nanos: (row.time_to_live % 1_000) as i32 * 1_000_000,
            }),
            metadata: row.metadata.0,
            etag: row.etag.to_string(),
            register_time: Some(timestamp(row.register_time)),
            heartbeat_time: Some(timestamp(row.heartbeat_time)),
            update_time: Some(timestamp(row.update_time)),
        }
    }
}

/// An agent to be made.
#[derive(Debug, Clone)]
pub(crate) struct NewAgent {
    /// The path of the request that asks for it, with the dot behind it: empty, or as in `requests[3].`.
    pub(crate) path: String,
    /// Whether the request gave the id.
    pub(crate) is_id_given: bool,
    pub(crate) agent: AgentRow,
}

impl NewRow for NewAgent {
    type Existing = AgentRow;

    async fn insert(database: &Database, workspace: &str, new: &[&Self]) -> sqlx::Result<()> {
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
        let query = sqlx::query(sql)
            .bind(workspace)
            .bind(agents().map(|agent| agent.id).collect::<Vec<_>>())
            .bind(agents().map(|agent| agent.name.as_str()).collect::<Vec<_>>())
            .bind(agents().map(|agent| agent.surface.as_str()).collect::<Vec<_>>())
            .bind(agents().map(|agent| agent.endpoint.as_str()).collect::<Vec<_>>())
            .bind(agents().map(|agent| Json(&agent.capabilities)).collect::<Vec<_>>())
            .bind(agents().map(|agent| agent.status.as_str()).collect::<Vec<_>>())
            .bind(agents().map(|agent| agent.load).collect::<Vec<_>>())
            .bind(agents().map(|agent| agent.capacity).collect::<Vec<_>>())
            .bind(agents().map(|agent| agent.time_to_live).collect::<Vec<_>>())
            .bind(agents().map(|agent| Json(&agent.metadata.0)).collect::<Vec<_>>())
            .bind(agents().map(|agent| agent.etag).collect::<Vec<_>>())
            .bind(agents().map(|agent| agent.register_time).collect::<Vec<_>>());
        database.write::<()>(query).await?;
        Ok(())
    }

    async fn find(database: &Database, workspace: &str, new: &[Self]) -> sqlx::Result<Vec<Option<AgentRow>>> {
        let sql = "
            with found as (
                select id from agents where workspace_id = $1 and id = any($2)
                union
                select id from agents where workspace_id = $1 and name = any($3)
            )
            select agent.id, name, surface, endpoint, capabilities, status, load, capacity, time_to_live, metadata, etag,
                register_time, heartbeat_time, update_time
            from found
            join agents as agent on agent.workspace_id = $1 and agent.id = found.id";
        let ids: Vec<_> = new.iter().map(|new| new.agent.id).collect();
        let names: Vec<_> = new.iter().map(|new| new.agent.name.as_str()).collect();
        let rows: Vec<AgentRow> = database.read(|| sqlx::query(sql).bind(workspace).bind(&ids).bind(&names)).await?;
        let by_id: HashMap<Uuid, &AgentRow> = rows.iter().map(|row| (row.id, row)).collect();
        let by_name: HashMap<&str, &AgentRow> = rows.iter().map(|row| (row.name.as_str(), row)).collect();
        let existing = |new: &Self| by_id.get(&new.agent.id).or_else(|| by_name.get(new.agent.name.as_str())).copied();
        Ok(new.iter().map(|new| existing(new).cloned()).collect())
    }

    fn is_as(&self, existing: &AgentRow) -> bool {
        let AgentRow { id, load, etag, register_time, heartbeat_time, update_time, .. } = *existing;
        let id = if self.is_id_given { self.agent.id } else { id };
        let status = existing.status.clone();
        AgentRow { id, status, load, etag, register_time, heartbeat_time, update_time, ..self.agent.clone() }
            == *existing
    }

    fn resource(&self, existing: Option<&AgentRow>) -> Resource {
        let (field, name) = if existing.is_some_and(|existing| existing.id == self.agent.id) {
            ("agent.id", self.agent.id.to_string())
        } else {
            ("agent.name", self.agent.name.clone())
        };
        Resource { kind: AGENT, field: format!("{}{field}", self.path), name }
    }
}
