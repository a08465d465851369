use std::thread;
use std::time::Duration;

const PAUSE: Duration = Duration::from_millis(10);
const ROUNDS_IN_A_SECOND: u32 = 100;

/// Asks until there is an answer, for about `seconds`. Counts rounds, so that a clock that is set
/// does not matter.
pub(crate) fn poll<T>(seconds: u32, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    for _ in 0..seconds.saturating_mul(ROUNDS_IN_A_SECOND) {
        let answer = ask();
        if answer.is_some() {
            return answer;
        }
        thread::sleep(PAUSE);
    }
    ask()
}
