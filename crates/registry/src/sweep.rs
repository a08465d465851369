//! The sweeps of the agents of all workspaces.

use std::time::Duration;

use futures_util::future::BoxFuture;
use platform::{Sweep, Swept};
use sqlx::{PgConnection, Row, postgres::PgRow};
use uuid::Uuid;

/// How many agents a page has, so that a heartbeat waits for one page at most.
const PAGE: i64 = 1_000;

/// Sets agents offline that have sent no heartbeat for longer than their time to live.
///
/// If a heartbeat has locked an agent's row, Postgres checks the conditions again after the heartbeat, and the agent stays
/// online.
#[derive(Debug, Default)]
pub(crate) struct SilentAgents(Place);

impl Sweep for SilentAgents {
    fn name(&self) -> &'static str {
        "silent_agents"
    }

    fn page<'a>(&'a mut self, connection: &'a mut PgConnection) -> BoxFuture<'a, sqlx::Result<Swept>> {
        let sql = "
            with page as (
                select workspace_id, id, (heartbeat_time + time_to_live * interval '1 millisecond') < now() as is_silent
                from agents
                where (workspace_id, id) > ($1, $2) and status not in ('suspended', 'offline')
                order by workspace_id, id limit $3
            ), swept as (
                update agents set status = 'offline' from page
                where is_silent and agents.workspace_id = page.workspace_id and agents.id = page.id
                    and status not in ('suspended', 'offline')
                    and (heartbeat_time + time_to_live * interval '1 millisecond') < now()
                returning agents.id
            )
            select workspace_id, id, (select count(*) from page), (select count(*) from swept) from page
            order by workspace_id desc, id desc limit 1";
        let page = sqlx::query(sql).bind(&self.0.workspace).bind(self.0.id).bind(PAGE);
        Box::pin(async { self.0.after(page.fetch_optional(connection).await?) })
    }
}

/// Deletes agents that are offline and have been silent for longer than the time to keep them.
///
/// No index has the time of a heartbeat, because heartbeats would then write to it. So all offline agents are read, one
/// page in each turn.
#[derive(Debug)]
pub(crate) struct OldAgents {
    retention: Duration,
    place: Place,
}

impl OldAgents {
    pub(crate) fn new(retention: Duration) -> Self {
        Self { retention, place: Place::default() }
    }
}

impl Sweep for OldAgents {
    fn name(&self) -> &'static str {
        "old_agents"
    }

    fn page<'a>(&'a mut self, connection: &'a mut PgConnection) -> BoxFuture<'a, sqlx::Result<Swept>> {
        let sql = "
            with page as (
                select workspace_id, id from agents where (workspace_id, id) > ($1, $2)
                order by workspace_id, id limit $3
            ), swept as (
                delete from agents using page
                where agents.workspace_id = page.workspace_id and agents.id = page.id
                    and status = 'offline' and heartbeat_time < (now() - $4 * interval '1 second')
                returning agents.id
            )
            select workspace_id, id, (select count(*) from page), (select count(*) from swept) from page
            order by workspace_id desc, id desc limit 1";
        let page = sqlx::query(sql).bind(&self.place.workspace).bind(self.place.id).bind(PAGE);
        let page = page.bind(self.retention.as_secs_f64());
        Box::pin(async { Ok(Swept { is_last: true, ..self.place.after(page.fetch_optional(connection).await?)? }) })
    }
}

/// The last agent of a page. The default is before every agent.
#[derive(Debug, Default)]
struct Place {
    workspace: String,
    id: Uuid,
}

impl Place {
    /// Moves to the last agent of a page, whose row has that agent, how many agents the page has and how many were swept;
    /// or back to the beginning after the last page.
    fn after(&mut self, page: Option<PgRow>) -> sqlx::Result<Swept> {
        let Some(page) = page else {
            *self = Self::default();
            return Ok(Swept { rows: 0, is_last: true });
        };
        let (agents, swept): (i64, i64) = (page.try_get(2)?, page.try_get(3)?);
        let is_last = agents < PAGE;
        *self = if is_last { Self::default() } else { Self { workspace: page.try_get(0)?, id: page.try_get(1)? } };
        Ok(Swept { rows: swept.unsigned_abs(), is_last })
    }
}
