use pagination::proto::EncodedPage;
use prost::{
    DecodeError, Message,
    bytes::Bytes,
    encoding::{DecodeContext, WireType, decode_key, message},
};

use crate::{Error, Page, Query};

impl Query<'_> {
    /// Fetches the page as messages, for a response that is not `{1: repeated rows, 2: page}`, such as one with the paging
    /// fields of [AIP-158](https://google.aip.dev/158) at its top level, or one in JSON.
    ///
    /// # Errors
    ///
    /// As [`Query::fetch`].
    pub async fn fetch_messages<M: Message + Default>(self) -> Result<Page<M>, Error> {
        let list = self.list;
        let EncodedPage { rows, page } = self.fetch().await?;
        let rows = decode(rows).map_err(|error| list.mistake(format!("its rows are of another message: {error}")))?;
        Ok(Page { rows, response: page })
    }
}

/// The values of the repeated field 1.
fn decode<M: Message + Default>(mut bytes: Bytes) -> Result<Vec<M>, DecodeError> {
    let mut messages = Vec::new();
    while !bytes.is_empty() {
        let (_, wire_type): (u32, WireType) = decode_key(&mut bytes)?;
        let mut row = M::default();
        message::merge(wire_type, &mut row, &mut bytes, DecodeContext::default())?;
        messages.push(row);
    }
    Ok(messages)
}
