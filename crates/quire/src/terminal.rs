//! The terminal that standard output is, if it is one, and text that cannot control it.

use std::{borrow::Cow, env, time::SystemTime};

use console::Term;
use platform::Clock;

/// What a terminal can show.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terminal {
    /// The number of columns.
    pub(crate) width: usize,
    /// Whether text can be bold or have a colour: not with `NO_COLOR`, and not on a dumb terminal.
    pub(crate) has_styles: bool,
    /// What people compare times with.
    pub(crate) now: SystemTime,
}

impl Terminal {
    /// The terminal that standard output is.
    pub(crate) fn stdout() -> Option<Self> {
        let terminal = Term::stdout();
        let (_, columns) = terminal.size();
        // As for other programs, a number in this variable counts more.
        let chosen = env::var("COLUMNS").ok().and_then(|text| text.parse().ok()).filter(|columns| *columns > 0);
        let has_styles = terminal.features().colors_supported();
        terminal.is_term().then(|| Self {
            width: chosen.unwrap_or(columns.into()),
            has_styles,
            now: Clock::system().now(),
        })
    }
}

/// The text without characters that control a terminal or change the direction of what follows. Lines stay.
pub(crate) fn shown(text: &str) -> Cow<'_, str> {
    let is_harmful = |c: char| c != '\n' && (c.is_control() || is_direction(c));
    if text.contains(is_harmful) { Cow::Owned(text.replace(is_harmful, "\u{fffd}")) } else { Cow::Borrowed(text) }
}

/// Whether this character changes the direction of writing, as in
/// [Unicode's algorithm](https://www.unicode.org/reports/tr9/#Directional_Formatting_Characters).
fn is_direction(c: char) -> bool {
    matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
