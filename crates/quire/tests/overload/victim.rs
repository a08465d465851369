//! The caller that must not notice.

use std::time::Duration;

use quire_proto::prompts::v1::{ListPromptsRequest, prompt_service_client::PromptServiceClient};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tonic::Request;

use crate::server::Server;

/// How long the victim waits for an answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long an attack runs before the victim is measured.
const BEGINNING: Duration = Duration::from_millis(500);

/// Times in milliseconds.
pub struct Figures {
    pub calls: usize,
    pub p50: f64,
    pub p99: f64,
    pub max: f64,
    /// Calls that failed, or were not answered in five seconds.
    pub refused: usize,
}

/// Calls for this long, on a connection that was opened before.
pub async fn watch(server: &Server, time: Duration) -> Figures {
    let mut client = PromptServiceClient::new(server.channel().await);
    tokio::time::sleep(BEGINNING).await;
    let mut ticks = interval(Duration::from_millis(20));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut times, mut refused) = (Vec::new(), 0);
    let end = Instant::now() + time;
    while Instant::now() < end {
        ticks.tick().await;
        let mut request = Request::new(ListPromptsRequest::default());
        request.metadata_mut().insert("authorization", server.bearer("victim").parse().unwrap());
        let begin = Instant::now();
        let answer = timeout(PATIENCE, client.list_prompts(request)).await;
        times.push(begin.elapsed().as_secs_f64() * 1e3);
        match answer {
            Ok(Ok(_)) => {}
            Ok(Err(status)) => {
                refused += 1;
                eprintln!("refused: {:?} {}", status.code(), status.message());
            }
            Err(_) => refused += 1,
        }
    }
    times.sort_by(f64::total_cmp);
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    Figures { calls: times.len(), p50: at(0.5), p99: at(0.99), max: at(1.0), refused }
}
