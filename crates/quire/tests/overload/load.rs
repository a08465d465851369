//! The rows of the victim and of the attacker.

use sqlx::Executor;

use crate::server::Server;

/// The job that the attacker's events belong to.
pub const JOB: &str = "01890000-0000-7000-8000-000000000001";

/// The victim has 1,000 prompts.
const PROMPTS: &str = "
    insert into prompts (workspace_id, id, name, surface, tags, metadata, latest_version, etag, create_time, update_time)
    select 'victim', gen_random_uuid(), 'prompt ' || n, 'chat', '{}', '{}', 1, gen_random_uuid(), now(), now()
    from generate_series(1, 1000) as n";

/// 3,000 memories of 24 KB, all of the same 16 words.
const MEMORIES: &str = "
    insert into memories (workspace_id, id, scope, content, type, source, confidence, pinned, policy, user_id, team_id,
        project_id, repository, agent, tags, metadata, etag, create_time, update_time)
    select 'attacker', gen_random_uuid(), 'user', content, '', '', 1, false, false, '', '', '', '', '', '{}', '{}',
        gen_random_uuid(), now(), now()
    from generate_series(1, 3000) as n cross join lateral (
        select string_agg(words.word, ' ' order by md5(n::text || words.word || place)) as content
        from generate_series(1, 220) as place cross join unnest(string_to_array($words$alpha beta gamma delta epsilon zeta
            eta theta iota kappa lambda omicron sigma tau upsilon omega$words$, ' ')) as words (word)
    ) as made";

/// 300,000 usage records, each of its own group.
const USAGE: &str = "
    insert into usage_records (workspace_id, id, request_id, team_id, agent_id, surface, event_type, model, provider,
        input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, cost_usd, metadata, occur_time, create_time)
    select 'attacker', gen_random_uuid(), n::text, 'team ' || n % 1000, 'agent ' || n % 5000, 'surface ' || n % 50,
        'event ' || n % 70, 'model ' || n % 90, 'provider ' || n % 30, n, n, n, n, 0.01, '{}',
        now() - n * interval '1 second', now()
    from generate_series(1, 300000) as n";

/// A job with 40,000 events of 4,000 hosts.
const JOBS: &str = "
    insert into jobs (workspace_id, id, operation_type, operation_data, target, priority, policy_type, status, changed,
        bytes, files, error, etag, create_time, update_time)
    values ('attacker', '01890000-0000-7000-8000-000000000001', 'run', '{}', '', 0, '', 'submitted', false, 0, 0, '',
        gen_random_uuid(), now(), now());
    insert into job_events (workspace_id, id, job_id, kind, host, message, error, occur_time, create_time)
    select 'attacker', 'event ' || n, '01890000-0000-7000-8000-000000000001', 'started', 'host ' || n % 4000, '', '',
        now(), now()
    from generate_series(1, 40000) as n";

/// A version of 1 MiB, which answers repeat.
const VERSION: &str = "
    insert into prompts (workspace_id, id, name, surface, tags, metadata, latest_version, etag, create_time, update_time)
    values ('attacker', '01890000-0000-7000-8000-000000000002', 'large', '', '{}', '{}', 3, gen_random_uuid(), now(), now());
    insert into prompt_versions (workspace_id, prompt_id, version, content, model, author, variables, content_hash, create_time)
    select 'attacker', '01890000-0000-7000-8000-000000000002', n, repeat('a', 1048576), '', '', '{}', sha256('a'), now()
    from generate_series(1, 3) as n";

pub async fn load(server: &Server) {
    let mut postgres = server.postgres().await;
    for sql in [PROMPTS, MEMORIES, USAGE, JOBS, VERSION, "vacuum analyze", "checkpoint"] {
        postgres.execute(sqlx::raw_sql(sql)).await.unwrap();
    }
}
