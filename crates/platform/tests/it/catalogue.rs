//! The rules for all tables that let the same migrations run on Citus: see the README of the migrations.
use database::migrate;
use platform::testing;
use sqlx::{AssertSqlSafe, PgPool};

async fn violations(pool: &PgPool, sql: &str) -> Vec<String> {
    sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_all(pool).await.unwrap()
}

/// `deployment` has one row for all workspaces.
const TABLES: &str = "select oid, relname from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p') \
    and relname not in ('_sqlx_migrations', 'deployment')";

#[tokio::test]
async fn every_key_begins_with_the_workspace() {
    let pool = PgPool::connect_lazy_with(testing::new_database().await);
    let tables = violations(&pool, &format!("select relname::text from ({TABLES}) t")).await;
    assert!(tables.len() >= 4, "{tables:?}");
    let no_primary_key = format!(
        "select relname::text from ({TABLES}) t where not exists (select from pg_index i where i.indrelid = t.oid and indisprimary)"
    );
    assert_eq!(violations(&pool, &no_primary_key).await, [""; 0], "every table has a primary key");
    let index = format!(
        "select i.indexrelid::regclass::text from ({TABLES}) t join pg_index i on i.indrelid = t.oid
        join pg_class c on c.oid = i.indexrelid join pg_am a on a.oid = c.relam
        -- An inverted index has no first column; what it holds names the workspace or an id.
        where pg_get_indexdef(i.indexrelid, 1, true) <> 'workspace_id' and amname <> 'gin'
            -- Sweeps delete the rows of all workspaces in the order in which they ended.
            and c.relname not in ('api_keys_ended', 'sessions_ended')"
    );
    assert_eq!(violations(&pool, &index).await, [""; 0], "every key, unique constraint and index begins with it");
    let foreign_key = format!(
        "select c.conname::text from ({TABLES}) t join pg_constraint c on c.conrelid = t.oid and c.contype = 'f'
        join pg_attribute a on a.attrelid = t.oid and a.attnum = c.conkey[1] where a.attname <> 'workspace_id'"
    );
    assert_eq!(violations(&pool, &foreign_key).await, [""; 0], "every foreign key begins with it");
}

#[tokio::test]
async fn nothing_that_citus_refuses_is_used() {
    let pool = PgPool::connect_lazy_with(testing::new_database().await);
    let triggers = format!(
        "select tgname::text from ({TABLES}) t join pg_trigger g on g.tgrelid = t.oid where not g.tgisinternal"
    );
    assert_eq!(violations(&pool, &triggers).await, [""; 0], "no triggers");
    let set_null = format!(
        "select c.conname::text from ({TABLES}) t join pg_constraint c on c.conrelid = t.oid where c.confdeltype = 'n'"
    );
    assert_eq!(violations(&pool, &set_null).await, [""; 0], "no ON DELETE SET NULL");
    let row_security = "select relname::text from pg_class where relforcerowsecurity";
    assert_eq!(violations(&pool, row_security).await, [""; 0], "no FORCE ROW LEVEL SECURITY");
}

#[tokio::test]
async fn concurrent_and_repeated_migrations_succeed() {
    let options = testing::empty_database().await;
    let pool = PgPool::connect_lazy_with(options.clone());
    let migrations = (0..4).map(|_| migrate(&options));
    for migrated in futures_util::future::join_all(migrations).await {
        migrated.unwrap();
    }
    migrate(&options).await.unwrap();
    let applied: i64 =
        sqlx::query_scalar("select count(distinct version) from _sqlx_migrations").fetch_one(&pool).await.unwrap();
    let files = std::fs::read_dir("../../migrations").unwrap();
    let files = files.filter(|file| file.as_ref().unwrap().path().extension().is_some_and(|name| name == "sql"));
    assert_eq!(usize::try_from(applied).unwrap(), files.count());
}
