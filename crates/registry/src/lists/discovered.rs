use keyset::{Filter, Listing, Order, desc};

use super::agents::{AGENTS, columns};

/// The agents of a workspace that have a capability and free capacity, and have not been silent for too long.
pub static DISCOVERED: Listing = Listing {
    name: "registry.v1.DiscoveredAgents",
    from: "agents",
    message: AGENTS.message,
    columns: columns!(),
    scope: &["workspace_id"],
    filters: &[
        Filter::any_of("status", "status"),
        Filter::condition(
            "capability",
            "capabilities @> array[{capability}] and load < capacity
                and heartbeat_time + time_to_live * interval '1 millisecond' >= now()",
        ),
    ],
    orders: &[Order {
        name: "register_time desc",
        keys: &[desc("register_time"), desc("id")],
        indexed: &[&["status"]],
    }],
    ..Listing::DEFAULT
};
