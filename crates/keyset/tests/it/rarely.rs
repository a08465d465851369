use std::time::Duration;

use keyset::Rarely;

#[tokio::test(start_paused = true)]
async fn it_is_logged_every_five_seconds_with_the_number_of_times() {
    let (rarely, mut times) = (Rarely::new(), Vec::new());
    for seconds in [0, 1, 3, 1, 4] {
        tokio::time::advance(Duration::from_secs(seconds)).await;
        times.push(rarely.times());
    }
    assert_eq!(times, [Some(1), None, None, Some(3), None]);
}
