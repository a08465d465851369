//! The clock of a database, whatever clock this machine has.

use std::time::{Duration, SystemTime};

use database::{Availability, Database, DatabaseClock};
use sqlx::PgPool;

use crate::support::{database, eventually, options, run};

/// Makes the time that sessions on this database read differ from the machine's by this many seconds.
async fn set_clock(pool: &PgPool, seconds: i64) {
    let sql = format!(
        "create schema if not exists other;
        create or replace function other.clock_timestamp() returns timestamptz
        return pg_catalog.clock_timestamp() + {seconds} * interval '1 second'"
    );
    run(pool, &sql).await;
}

/// The seconds by which the clock is ahead of this machine's.
#[expect(clippy::disallowed_methods, reason = "compares the clocks")]
fn seconds_ahead(clock: &DatabaseClock) -> f64 {
    let (now, machine) = (clock.now(), SystemTime::now());
    let ahead = now.duration_since(machine).map(|ahead| ahead.as_secs_f64());
    ahead.unwrap_or_else(|behind| -behind.duration().as_secs_f64())
}

#[tokio::test]
async fn the_time_is_that_of_the_database() {
    let pool = database().await;
    set_clock(&pool, 3_600).await;
    let options = options(&pool).options([("search_path", "other, pg_catalog")]);
    let database = Database::new(options, 1);
    let clock = DatabaseClock::of(&database).await.unwrap();
    let _availability = Availability::watch(database.clone());
    assert!((seconds_ahead(&clock) - 3_600.0).abs() < 60.0, "{}", seconds_ahead(&clock));

    // The time passes between the readings.
    let before = clock.now();
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(clock.now() >= before + Duration::from_millis(20));

    // Somebody sets the database's clock back, or another server takes its place.
    set_clock(&pool, -3_600).await;
    let is_back = async || ((seconds_ahead(&clock) + 3_600.0).abs() < 60.0).then_some(());
    eventually("the clock was set back", is_back).await;

    // Without the database the clock continues.
    database.close();
    let before = clock.now();
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(clock.now() > before);
}

/// A reading that took long does not replace an exact one, unless the clocks differ by more than their errors.
#[tokio::test]
async fn a_slow_answer_does_not_move_the_clock() {
    let pool = database().await;
    let database = Database::new(options(&pool), 1);
    let clock = DatabaseClock::of(&database).await.unwrap();
    let exact = seconds_ahead(&clock);
    // Answers now arrive half a second after the database has read its clock, so that their middle is a quarter off.
    run(
        &pool,
        "create schema other;
        create function other.clock_timestamp() returns timestamptz language plpgsql as $$
        declare answer timestamptz = pg_catalog.clock_timestamp();
        begin perform pg_sleep(0.5); return answer; end $$",
    )
    .await;
    database.move_to(options(&pool).options([("search_path", "other, pg_catalog")]));
    let _availability = Availability::watch(database.clone());
    eventually("the clock was read again", async || {
        let sql =
            "select count(*) from pg_stat_activity where wait_event = 'PgSleep' and query like '%clock_timestamp%'";
        let sleeping: i64 = sqlx::query_scalar(sql).fetch_one(&pool).await.unwrap();
        (sleeping > 0).then_some(())
    })
    .await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!((seconds_ahead(&clock) - exact).abs() < 0.12, "{} {exact}", seconds_ahead(&clock));
}
