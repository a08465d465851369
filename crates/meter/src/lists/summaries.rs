use keyset::{Listing, Order, Query, asc};

use super::{DIMENSIONS, usage::FILTERS};

/// The sums of a workspace's usage.
///
/// Dimensions that are not grouped by are null in all groups. All dimensions together are one key, because an order has
/// at most four keys. Each page reads the index range of its times and filters, and sums it with a hash aggregate. The
/// seek condition uses only dimensions, so Postgres pushes it below the GROUP BY: the groups of earlier pages are not
/// summed again.
pub static SUMMARIES: Listing = Listing {
    name: "meter.v1.UsageSummaries",
    from: "(
        select array[day, team_id, agent_id, model, provider, surface, event_type] collate \"C\" as dimensions,
            day, team_id, agent_id, model, provider, surface, event_type, count(*) as record_count,
            sum(input_tokens)::int8 as input_tokens, sum(output_tokens)::int8 as output_tokens,
            sum(cache_read_tokens)::int8 as cache_read_tokens, sum(cache_write_tokens)::int8 as cache_write_tokens,
            sum(cost_usd) as cost_usd
        from (
            select case when {by_day} then to_char(occur_time at time zone 'UTC', 'YYYY-MM-DD') collate \"C\" end as day,
                case when {by_team} then team_id end as team_id,
                case when {by_agent} then agent_id end as agent_id,
                case when {by_model} then model end as model,
                case when {by_provider} then provider end as provider,
                case when {by_surface} then surface end as surface,
                case when {by_event_type} then event_type end as event_type,
                input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, cost_usd
            from usage_records where {where}
        ) as usage
        group by day, team_id, agent_id, model, provider, surface, event_type
    ) as summaries",
    message: "meter.v1.UsageSummary",
    columns: "day, team_id, agent_id, model, provider, surface, event_type, record_count, input_tokens, output_tokens, \
        cache_read_tokens, cache_write_tokens, cost_usd",
    scope: &["workspace_id"],
    parameters: &["by_day", "by_team", "by_agent", "by_model", "by_provider", "by_surface", "by_event_type"],
    filters: FILTERS,
    orders: &[Order { name: "group", keys: &[asc("dimensions")], indexed: &[] }],
    ..Listing::DEFAULT
};

/// The dimensions to group by, as the list parameters that are true.
#[derive(Debug)]
pub(crate) struct Dimensions(pub(crate) Vec<&'static str>);

impl Dimensions {
    /// Sets the parameters of a query.
    pub(crate) fn of<'a>(&self, query: Query<'a>) -> Query<'a> {
        let parameters = DIMENSIONS.in_service.iter().map(|(_, parameter)| (parameter, self.0.contains(parameter)));
        parameters.fold(query, |query, (parameter, is_asked)| query.parameter(parameter, is_asked))
    }
}
