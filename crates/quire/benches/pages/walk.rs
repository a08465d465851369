//! Page tokens for any depth of the list.

use crate::{
    Result,
    client::{Ask, Client},
    load::progress_bar,
};

/// The number of rows between tokens: the maximum page size.
pub(crate) const STEP: u64 = 200;

/// A token for every 200th row of the first 90 % of the list.
pub(crate) struct Walk {
    /// The first is the empty token, for the beginning.
    pub(crate) tokens: Vec<String>,
}

impl Walk {
    pub(crate) async fn through(client: &mut Client, rows: u64) -> Result<Self> {
        let depth = deepest(rows);
        let bar = progress_bar("walking", depth)?;
        let mut tokens = vec![String::new()];
        let mut token = String::new();
        for step in 0..depth / STEP {
            bar.set_position(step * STEP);
            let page = client.page(Ask { size: STEP.try_into()?, token, tag: None }).await?;
            if u64::try_from(page.prompts.len())? != STEP {
                return Err(format!("the page at depth {} was short", step * STEP).into());
            }
            token = page.next;
            tokens.push(token.clone());
        }
        bar.finish_and_clear();
        Ok(Self { tokens })
    }

    /// The token of the page that begins after `depth` rows, a multiple of 200.
    pub(crate) fn token(&self, depth: u64) -> Result<&str> {
        let token = self.tokens.get(usize::try_from(depth / STEP)?).filter(|_| depth.is_multiple_of(STEP));
        Ok(token.ok_or_else(|| format!("the walk has no token for depth {depth}"))?)
    }
}

/// 90 % of the rows.
pub(crate) fn deepest(rows: u64) -> u64 {
    rows / 10 * 9 / STEP * STEP
}

/// The middle of the list.
pub(crate) fn middle(rows: u64) -> u64 {
    rows / 2 / STEP * STEP
}
