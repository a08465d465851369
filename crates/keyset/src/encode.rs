//! The rows of a page as the bytes of its response.

use pagination::Direction;
use sqlx::postgres::PgRow;

use crate::{
    Error, List, Rarely,
    list::Opened,
    listing::UnfitRows,
    measure,
    page::MAX_ROW_BYTES,
    wire::{Layout, RowFault},
};

/// Encoded rows, in the list's order.
pub(crate) struct Encoded {
    pub(crate) bytes: Vec<u8>,
    /// How many rows there are. The rest does not fit in a message beside them.
    pub(crate) taken: usize,
    /// Why the next row fits in no message, if that is the reason.
    pub(crate) unfit: Option<Unfit>,
}

/// Why no message can carry a row.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unfit {
    /// Its message would be larger than [`MAX_ROW_BYTES`].
    #[error("its message has {0} bytes, and a page holds {MAX_ROW_BYTES}")]
    TooLarge(usize),
    /// A value does not fit its field.
    #[error("{0}")]
    Value(String),
}

impl List {
    /// Encodes rows as the repeated field 1 of a response, as many as fit. They come nearest to the page's position first.
    /// `columns` are those of the rows, if these are not all.
    pub(crate) fn encode(
        &self,
        opened: &Opened,
        columns: Option<&[String]>,
        rows: &[PgRow],
        direction: Direction,
    ) -> Result<Encoded, Error> {
        /// The expected size of a row. With it, most pages are not reallocated while they grow.
        const ROW_BYTES: usize = 256;
        let layout = self.layout(opened)?;
        let masked = columns.map(|columns| layout.masked(columns));
        let layout = masked.as_ref().unwrap_or(layout);
        if let Some(first) = rows.first() {
            // All rows have the columns of the first one.
            layout.check(first).map_err(|mistake| self.outdated(mistake))?;
        }
        let mut encoded = Encoded { bytes: Vec::with_capacity(rows.len() * ROW_BYTES), taken: 0, unfit: None };
        let mut ends = Vec::with_capacity(rows.len());
        for row in rows {
            if !self.put(layout, row, &mut encoded) {
                break;
            }
            encoded.taken += 1;
            ends.push(encoded.bytes.len());
        }
        if direction == Direction::Backward {
            encoded.bytes = reversed(&encoded.bytes, &ends);
        }
        Ok(encoded)
    }

    /// Appends a row. Returns whether it fits.
    fn put(&self, layout: &Layout, row: &PgRow, encoded: &mut Encoded) -> bool {
        let begin = encoded.bytes.len();
        let unfit = match layout.put_as_row(row, &mut encoded.bytes) {
            Ok(()) if encoded.bytes.len() <= MAX_ROW_BYTES => return true,
            Ok(()) if encoded.bytes.len() - begin <= MAX_ROW_BYTES => {
                encoded.bytes.truncate(begin);
                return false;
            }
            Ok(()) => Unfit::TooLarge(encoded.bytes.len() - begin),
            Err(RowFault(reason)) => Unfit::Value(reason),
        };
        encoded.bytes.truncate(begin);
        match self.listing.unfit_rows {
            UnfitRows::Error => {
                encoded.unfit = Some(unfit);
                false
            }
            UnfitRows::Placeholder => {
                static LOGGED: Rarely = Rarely::new();
                if let Some(times) = LOGGED.times() {
                    let list = self.listing.name;
                    tracing::warn!(list, reason = %unfit, times, "a row that no message can carry is a placeholder");
                }
                measure::unfit_row(&self.paging, self.listing.name);
                let keys = self.listing.orders.iter().flat_map(|order| order.keys).map(|key| key.expression);
                layout.put_placeholder(row, &keys.collect::<Vec<_>>(), &mut encoded.bytes);
                true
            }
        }
    }
}

/// The rows that end at these places, the last one first.
fn reversed(bytes: &[u8], ends: &[usize]) -> Vec<u8> {
    let mut reversed = Vec::with_capacity(bytes.len());
    for (place, end) in ends.iter().enumerate().rev() {
        let begin = place.checked_sub(1).and_then(|before| ends.get(before)).copied().unwrap_or_default();
        reversed.extend_from_slice(bytes.get(begin..*end).unwrap_or_default());
    }
    reversed
}
