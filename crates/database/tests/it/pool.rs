//! The pool: connections are reused, waited for, moved, forgotten and closed.

use std::{collections::BTreeSet, io::ErrorKind, net::Ipv4Addr, time::Duration};

use database::Database;
use futures_util::{FutureExt, future::join_all};
use keyset::Connections;
use sqlx::{Executor, Row, postgres::PgConnectOptions};
use tokio::{net::TcpListener, time::timeout};

use crate::support::{
    Frozen, Postgres, all_given_back, backends, call, database, eventually, eventually_backends, hold, options, pid,
    run, state, statement, tested, things, warm_up, within, write_pid,
};

#[tokio::test]
async fn a_connection_that_was_given_back_is_reused() {
    let (database, pool) = tested(4).await;
    let first = pid(&database).await;
    assert_eq!(write_pid(&database).await.unwrap(), first);
    warm_up(&database, 1).await;
    assert_eq!(pid(&database).await, first);
    assert_eq!(backends(&pool).await, BTreeSet::from([first]));
}

#[tokio::test]
async fn a_failed_statement_keeps_its_connection() {
    let (database, _pool) = tested(1).await;
    let first = pid(&database).await;
    for (sql, expected) in [
        ("insert into things values (1), (1)", "23505"),
        ("select 1 / 0 from generate_series(1, 3)", "22012"),
        ("select 1 / (3 - n) from generate_series(1, 1000) as n", "22012"),
        ("nonsense", "42601"),
    ] {
        let written = database.write::<()>(statement(sql)).await;
        let read = database.read::<()>(statement(sql)).await;
        assert_eq!([written, read].map(|done| state(&done.unwrap_err()).unwrap()), [expected; 2], "{sql}");
        assert_eq!(pid(&database).await, first, "{sql}");
    }
    // A row that does not convert to the caller's type, and a value that cannot be bound.
    database.read::<(String,)>(statement("select 1")).await.unwrap_err();
    let unfit = statement("select $1").bind(vec![vec![1]; 1]).bind(PgUnfit);
    assert!(matches!(database.read_rows(unfit).await, Err(sqlx::Error::Encode(_))));
    assert_eq!(pid(&database).await, first);
}

/// A value that cannot be encoded.
struct PgUnfit;

impl sqlx::Type<sqlx::Postgres> for PgUnfit {
    fn type_info() -> sqlx::postgres::PgTypeInfo {
        <i32 as sqlx::Type<sqlx::Postgres>>::type_info()
    }
}

impl sqlx::Encode<'_, sqlx::Postgres> for PgUnfit {
    fn encode_by_ref(
        &self,
        _: &mut sqlx::postgres::PgArgumentBuffer,
    ) -> Result<sqlx::encode::IsNull, sqlx::error::BoxDynError> {
        Err("unfit".into())
    }
}

#[tokio::test]
async fn a_held_connection_is_given_back_only_without_an_open_transaction() {
    let (database, pool) = tested(1).await;
    let mut last = pid(&database).await;
    for (left, same) in [
        ("select 1", true),
        ("begin; insert into things values (1); rollback", true),
        ("select 1 / 0", true),
        ("begin; insert into things values (1)", false),
        ("begin; select 1 / 0", false),
    ] {
        let mut connection = database.connection().await.unwrap();
        let _ = connection.execute(left).await;
        drop(connection);
        let next = write_pid(&database).await.unwrap();
        assert_eq!(next == last, same, "{left}");
        last = next;
    }
    // A statement that is still running.
    let mut connection = database.connection().await.unwrap();
    let _ = timeout(Duration::from_millis(50), connection.execute("select pg_sleep(600)")).await;
    drop(connection);
    assert_eq!(write_pid(&database).await.unwrap(), last);
    eventually_backends(&pool, 2).await;
    assert_eq!(things(&pool).await, 0);
}

#[tokio::test]
async fn a_full_pool_times_out() {
    let (database, _pool) = tested(2).await;
    let held = hold(&database, 2).await;
    assert_eq!(database.connections_in_use(), 2);
    let refused =
        within("the pool timed out", async { [write_pid(&database).await, database.connection().await.map(|_| 0)] })
            .await;
    for refused in refused {
        assert!(matches!(refused, Err(sqlx::Error::PoolTimedOut)), "{refused:?}");
    }
    let waiting = call(&database, "select");
    tokio::task::yield_now().await;
    drop(held);
    waiting.await.unwrap().unwrap();
}

#[tokio::test]
async fn waiting_callers_are_served_in_turn() {
    let (database, pool) = tested(1).await;
    let held = hold(&database, 1).await;
    let call = async |id: i64| {
        let insert = statement("insert into things values ($1) returning (select count(*) from things)").bind(id);
        database.write::<(i64,)>(insert).await.unwrap()[0].0
    };
    let (served, ()) = tokio::join!(join_all((0..50).map(call)), async { drop(held) });
    assert_eq!(served, (0..50).collect::<Vec<_>>());
    assert_eq!(backends(&pool).await.len(), 1);
}

#[tokio::test]
async fn a_database_that_does_not_exist_is_an_io_error() {
    let nobody = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap().local_addr().unwrap();
    let options = PgConnectOptions::new_without_pgpass().username("nobody");
    let refuses = Database::new(options.clone().host("127.0.0.1").port(nobody.port()), 1);
    let has_no_socket = Database::new(options.socket("/nonexistent"), 1);
    for (database, expected) in [(refuses, ErrorKind::ConnectionRefused), (has_no_socket, ErrorKind::NotFound)] {
        let refused = join_all((0..3).map(|_| database.read_rows(statement("select")))).await;
        for refused in refused {
            let Err(sqlx::Error::Io(error)) = refused else { panic!("{refused:?}") };
            assert_eq!(error.kind(), expected);
        }
    }
}

#[tokio::test]
async fn a_database_that_never_responds_times_out() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let silent = PgConnectOptions::new_without_pgpass().username("nobody").host("127.0.0.1");
    let database = Database::new(silent.port(listener.local_addr().unwrap().port()), 1);
    let refused = within("connecting timed out", write_pid(&database)).await.unwrap_err();
    let sqlx::Error::Io(error) = refused else { panic!("{refused:?}") };
    assert_eq!(error.kind(), ErrorKind::TimedOut);

    // Callers that leave while a connection opens take no place with them.
    for _ in 0..5 {
        let connecting = call(&database, "select");
        tokio::time::sleep(Duration::from_millis(20)).await;
        connecting.abort();
        assert!(connecting.await.unwrap_err().is_cancelled());
    }
    let (_, pool) = tested(1).await;
    database.move_to(options(&pool));
    write_pid(&database).await.unwrap();
}

#[tokio::test]
async fn a_caller_that_leaves_the_queue_never_reaches_the_database() {
    let (database, pool) = tested(1).await;
    let used = pid(&database).await;
    let held = hold(&database, 1).await;
    for _ in 0..20 {
        let waiting = call(&database, "select nextval('runs')");
        tokio::time::sleep(Duration::from_millis(1)).await;
        waiting.abort();
        let _ = waiting.await;
    }
    drop(held);
    assert_eq!(pid(&database).await, used);
    let called: bool = sqlx::query_scalar("select is_called from runs").fetch_one(&pool).await.unwrap();
    assert!(!called);
}

#[tokio::test]
async fn a_caller_that_leaves_when_served_leaves_the_connection() {
    let (database, pool) = tested(1).await;
    let used = pid(&database).await;
    let held = hold(&database, 1).await;
    let mut waiting = Box::pin(database.write_rows(statement("select nextval('runs')")));
    assert!(waiting.as_mut().now_or_never().is_none());
    drop(held);
    // The connection is handed to the waiting caller, which does not poll.
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(database.connections_in_use(), 1);
    drop(waiting);
    assert_eq!(pid(&database).await, used);
    assert_eq!(backends(&pool).await, BTreeSet::from([used]));
}

#[tokio::test]
async fn a_connection_opened_for_a_caller_that_left_serves_the_next() {
    let (database, pool) = tested(1).await;
    // Far less time than opening a connection takes.
    let impatient = async || timeout(Duration::from_micros(200), pid(&database)).await;
    assert!(impatient().await.is_err());
    let made = eventually_backends(&pool, 1).await;
    for _ in 0..100 {
        let _ = impatient().await;
    }
    all_given_back(&database).await;
    assert_eq!(made, BTreeSet::from([write_pid(&database).await.unwrap()]));
}

#[tokio::test]
async fn a_moved_database_uses_only_new_connections() {
    let (database, from) = tested(5).await;
    let (_, to) = tested(1).await;
    warm_up(&database, 5).await;
    let in_use = database.connection().await.unwrap();
    database.move_to(options(&to));
    let used = write_pid(&database).await.unwrap();
    assert!(backends(&to).await.contains(&used));
    // No idle connection stays open.
    eventually_backends(&from, 1).await;
    drop(in_use);
    let used = write_pid(&database).await.unwrap();
    assert!(backends(&to).await.contains(&used));
    eventually_backends(&from, 0).await;
    assert_eq!(database.max_connections(), 5);
}

#[tokio::test]
async fn forgotten_connections_are_not_used_again() {
    let (database, pool) = tested(5).await;
    warm_up(&database, 5).await;
    let in_use = database.connection().await.unwrap();
    let old = backends(&pool).await;
    database.forget_connections();
    for _ in 0..2 {
        assert!(!old.contains(&write_pid(&database).await.unwrap()));
    }
    drop(in_use);
    assert!(!old.contains(&write_pid(&database).await.unwrap()));
    eventually("all old ones were closed", async || backends(&pool).await.is_disjoint(&old).then_some(())).await;
    // All places are free again.
    warm_up(&database, 5).await;
    assert_eq!(backends(&pool).await.len(), 5);
}

#[tokio::test]
async fn a_closed_database_refuses_statements() {
    let (database, pool) = tested(3).await;
    warm_up(&database, 3).await;
    let mut in_use = hold(&database, 3).await;
    let waiting = call(&database, "select");
    tokio::task::yield_now().await;
    in_use.truncate(1);
    waiting.await.unwrap().unwrap();
    drop(hold(&database, 2).await);
    let held = hold(&database, 1).await;
    let waiting = [call(&database, "select"), call(&database, "select pg_sleep(60)")];
    tokio::time::sleep(Duration::from_millis(50)).await;
    drop(held);
    database.close();
    let refused = [write_pid(&database).await, database.clone().connection().await.map(|_| 0)];
    for refused in refused {
        assert!(matches!(refused, Err(sqlx::Error::PoolClosed)), "{refused:?}");
    }
    waiting.iter().for_each(tokio::task::JoinHandle::abort);
    eventually_backends(&pool, 1).await;
    in_use[0].execute("insert into things values (1)").await.unwrap();
    drop(in_use);
    eventually_backends(&pool, 0).await;
    assert_eq!(things(&pool).await, 1);
}

#[tokio::test]
async fn a_waiting_caller_is_told_that_the_database_closes() {
    let (database, _pool) = tested(1).await;
    let _held = hold(&database, 1).await;
    let waiting = call(&database, "select");
    tokio::task::yield_now().await;
    database.close();
    assert!(matches!(waiting.await.unwrap(), Err(sqlx::Error::PoolClosed)));
}

#[tokio::test]
async fn a_dropped_database_closes_its_connections() {
    let (database, pool) = tested(3).await;
    warm_up(&database, 3).await;
    let running = call(&database, "select pg_sleep(600)");
    drop(database);
    tokio::time::sleep(Duration::from_millis(50)).await;
    running.abort();
    eventually_backends(&pool, 0).await;
}

/// Advances the clock while no request is running.
pub async fn pass(minutes: u64) {
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(minutes * 60)).await;
    tokio::time::resume();
}

#[tokio::test]
async fn idle_and_old_connections_are_closed() {
    let (database, pool) = tested(4).await;
    warm_up(&database, 4).await;
    let first = pid(&database).await;
    // Idle for so long that it is pinged first.
    pass(2).await;
    assert_eq!(write_pid(&database).await.unwrap(), first);
    // By now, the others were idle for too long.
    pass(3).await;
    assert_eq!(eventually_backends(&pool, 1).await, BTreeSet::from([first]));
    assert_eq!(write_pid(&database).await.unwrap(), first);
    for _ in 0..12 {
        pass(3).await;
        write_pid(&database).await.unwrap();
    }
    assert_ne!(write_pid(&database).await.unwrap(), first);
    eventually_backends(&pool, 1).await;
}

#[tokio::test]
async fn a_connection_that_died_while_idle_gets_no_statement() {
    let (database, pool) = tested(2).await;
    warm_up(&database, 2).await;
    let backends = backends(&pool).await;
    crate::support::terminate(&pool, &backends).await;
    pass(2).await;
    // A write is run only once, so it would fail on a dead connection.
    write_pid(&database).await.unwrap();

    let silent = write_pid(&database).await.unwrap();
    let frozen = Frozen::process(silent.try_into().unwrap());
    pass(2).await;
    assert_ne!(within("the frozen connection was dropped", write_pid(&database)).await.unwrap(), silent);
    drop(frozen);
}

#[tokio::test]
async fn connections_have_keepalives_and_a_name() {
    let (server, port) = Postgres::over_tcp();
    let socket = server.options();
    let tcp = server.options().host("127.0.0.1").port(port);
    let tcp = PgConnectOptions::new_without_pgpass().host("127.0.0.1").port(port).username(tcp.get_username());
    let expected = [("60", "10", "3", "30000"), ("0", "0", "0", "0")];
    for (options, expected) in [tcp.database("postgres"), socket].into_iter().zip(expected) {
        let database = database::connect(options, database::Limits::of_connections(1));
        let sql = "select current_setting('tcp_keepalives_idle'), current_setting('tcp_keepalives_interval'),
            current_setting('tcp_keepalives_count'), current_setting('tcp_user_timeout'),
            current_setting('application_name')";
        let (idle, interval, count, user_timeout, name): (String, String, String, String, String) =
            database.read(statement(sql)).await.unwrap().remove(0);
        assert_eq!((idle.as_str(), interval.as_str(), count.as_str(), user_timeout.as_str()), expected);
        assert_eq!(name, "quire");
    }
}

#[tokio::test]
async fn a_database_implements_connections() {
    let pool = database().await;
    run(&pool, "create table things (id int8 primary key); insert into things values (7)").await;
    let database: std::sync::Arc<dyn Connections> = std::sync::Arc::new(Database::new(options(&pool), 2));
    let rows = database.rows(statement("select id from things where id > $1").bind(0_i64)).await.unwrap();
    assert_eq!((rows.len(), database.max_connections()), (1, 2));
}

#[tokio::test]
async fn a_changed_table_does_not_fail_the_statements_of_open_connections() {
    let (database, pool) = tested(1).await;
    let used = pid(&database).await;
    let read = || database.read_rows(statement("select * from things"));
    let write = || database.write_rows(statement("insert into things (id) select max(id) + 1 from things returning *"));
    run(&pool, "insert into things values (1)").await;
    read().await.unwrap();
    write().await.unwrap();
    run(&pool, "alter table things add column more int4").await;
    assert_eq!(read().await.unwrap()[0].len(), 2);
    assert_eq!(write().await.unwrap()[0].len(), 2);
    run(&pool, "alter table things alter column more type text").await;
    // The write that failed has done nothing.
    assert_eq!(write().await.unwrap()[0].get::<i64, _>("id"), 4);
    assert_eq!(things(&pool).await, 4);
    assert_eq!(pid(&database).await, used);
}
