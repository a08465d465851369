//! How many lines callers can cause by calls without effect, so that they cannot fill a disk.

use std::{collections::HashMap, net::IpAddr, time::Duration};

use access::network;
use metrics::counter;
use platform::AuditCaller;
use tokio::time::Instant;

use super::line::Line;

/// After this time, an origin can cause lines again.
const WINDOW: Duration = Duration::from_secs(5 * 60);
/// How many lines an origin can cause in a window.
const MAX_LINES: u64 = 5;
/// How many origins are told apart in a window. All further ones count as one. Together with the lines that say how many
/// were suppressed, strangers cause 306 lines in five minutes at most: about 250 MB in a week.
const MAX_ORIGINS: usize = 50;

/// Who causes lines.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Origin {
    /// A caller without a valid access token: its address, or the network of an IPv6 address.
    Stranger(Option<IpAddr>),
    /// A caller with a valid access token.
    Caller { workspace: Option<String>, subject: Option<String> },
}

impl Origin {
    pub(crate) fn of(line: &Line) -> Self {
        match line.who.session_id {
            None => Self::Stranger(line.address.map(network)),
            Some(_) => Self::Caller { workspace: line.who.workspace.clone(), subject: line.who.subject.clone() },
        }
    }
}

/// The lines of the current window. Strangers cannot use up what callers may cause.
#[derive(Debug)]
pub(crate) struct Allowances {
    begin: Instant,
    strangers: Allowance,
    callers: Allowance,
}

/// The origins of one kind. `None` stands for those that are not told apart.
#[derive(Debug, Default)]
struct Allowance(HashMap<Option<Origin>, Caused>);

#[derive(Debug)]
struct Caused {
    lines: u64,
    suppressed: u64,
    /// The last one that was suppressed.
    last: Option<Line>,
}

impl Allowances {
    pub(crate) fn new() -> Self {
        Self { begin: Instant::now(), strangers: Allowance::default(), callers: Allowance::default() }
    }

    /// Whether this line can be written.
    pub(crate) fn admit(&mut self, origin: Origin, line: &Line) -> bool {
        match origin {
            Origin::Stranger(_) => self.strangers.admit(origin, line),
            Origin::Caller { .. } => self.callers.admit(origin, line),
        }
    }

    /// Ends the window if it is over. Returns the lines that say how many were suppressed.
    pub(crate) fn end_if_over(&mut self) -> Vec<Line> {
        if self.begin.elapsed() < WINDOW { Vec::new() } else { self.end() }
    }

    /// Ends the window.
    pub(crate) fn end(&mut self) -> Vec<Line> {
        let Self { strangers, callers, .. } = std::mem::replace(self, Self::new());
        strangers.suppressed().chain(callers.suppressed()).collect()
    }
}

impl Allowance {
    fn admit(&mut self, origin: Origin, line: &Line) -> bool {
        let origin = Some(origin);
        let origin = if self.0.len() < MAX_ORIGINS || self.0.contains_key(&origin) { origin } else { None };
        let caused = self.0.entry(origin).or_insert(Caused { lines: 0, suppressed: 0, last: None });
        if caused.lines < MAX_LINES {
            caused.lines += 1;
            return true;
        }
        caused.suppressed += 1;
        caused.last = Some(line.clone());
        counter!("audit_lines_suppressed_total").increment(1);
        false
    }

    fn suppressed(self) -> impl Iterator<Item = Line> {
        self.0.into_iter().filter_map(|(origin, Caused { suppressed, last, .. })| {
            let line = Line { suppressed_count: Some(suppressed), ..last? };
            // The last one of several callers says nothing about the others.
            let of_several = |line| Line { who: AuditCaller::default(), address: None, user_agent: None, ..line };
            Some(if origin.is_some() { line } else { of_several(line) })
        })
    }
}

#[cfg(test)]
mod tests {
    use platform::AuditTarget;
    use tonic::Code;

    use super::*;
    use crate::audit::line::Event;

    fn line(address: [u8; 4]) -> Line {
        Line {
            time: prost_types::Timestamp::default(),
            event: Event::Login,
            method: "m".to_owned(),
            code: Code::Unauthenticated,
            reason: None,
            who: AuditCaller::default(),
            address: Some(address.into()),
            user_agent: None,
            target: AuditTarget::default(),
            suppressed_count: None,
        }
    }

    /// Whatever the number of addresses, the lines and the memory of a window are bounded, and every line is counted.
    #[test]
    fn the_lines_of_all_addresses_are_bounded() {
        let mut allowances = Allowances::new();
        let mut admitted = 0;
        for number in 0..20_000_u32 {
            let [.., high, low] = (number % 4_000).to_be_bytes();
            let line = line([10, 0, high, low]);
            admitted += u64::from(allowances.admit(Origin::of(&line), &line));
        }
        assert_eq!(allowances.strangers.0.len(), MAX_ORIGINS + 1);
        let suppressed = allowances.end();
        assert!(admitted + suppressed.len() as u64 <= (MAX_LINES + 1) * (MAX_ORIGINS as u64 + 1));
        let counts = suppressed.iter().filter_map(|line| line.suppressed_count);
        assert_eq!(admitted + counts.sum::<u64>(), 20_000);
        // A line about several addresses names none.
        assert_eq!(suppressed.iter().filter(|line| line.address.is_none()).count(), 1);
        assert!(allowances.admit(Origin::of(&line([10, 0, 0, 1])), &line([10, 0, 0, 1])), "a window has begun");
    }
}
