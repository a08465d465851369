use std::thread;
use std::time::Duration;

const PAUSE: Duration = Duration::from_millis(10);
const ROUNDS_IN_A_SECOND: u32 = 100;

/// Calls `ask` until it returns a value, for about `seconds`. Counts rounds, so that setting the clock has no effect.
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
