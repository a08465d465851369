use keyset::{Filter, Listing, Order, desc};

/// The agents of a workspace that have room for work.
pub static DISCOVERED: Listing = Listing {
    name: "registry.v1.DiscoveredAgents",
    from: "agents",
    columns: "id, name, surface, endpoint, capabilities, status, load, capacity, time_to_live, metadata, etag, \
        register_time, heartbeat_time, update_time",
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
