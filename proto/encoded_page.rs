use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::{
    DecodeError, Message,
    encoding::{self, DecodeContext, WireType},
};

use crate::pagination::v1::PageResponse;

/// The field number of the rows.
const ROWS: u32 = 1;
/// The field number of the [`PageResponse`].
const PAGE: u32 = 2;

/// A page whose rows are already encoded: the response of every list on the server.
///
/// It encodes to the same bytes as each response that has exactly two fields, `repeated <message> rows = 1` and
/// `pagination.v1.PageResponse page = 2`, whatever their names. Clients decode it as the response that the proto
/// declares. The crate `pagination-build` generates servers that return it.
///
/// Decoding keeps the rows encoded. Other fields are skipped. An absent page becomes the default page, which is encoded
/// as a present field without content.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EncodedPage {
    /// The rows, one after the other: each as field 1, with its key and length before its content.
    pub rows: Bytes,
    /// The page's tokens and total.
    pub page: PageResponse,
}

impl EncodedPage {
    /// Decodes the rows. `M` is the message of the list's rows.
    ///
    /// # Errors
    ///
    /// When [`rows`](Self::rows) is not a sequence of fields, or a row is not a valid `M`.
    pub fn rows<M: Message + Default>(&self) -> Result<Vec<M>, DecodeError> {
        let mut rows = Vec::new();
        let mut left = self.rows.clone();
        while left.has_remaining() {
            let (tag, wire_type) = encoding::decode_key(&mut left)?;
            let context = DecodeContext::default();
            if tag == ROWS {
                encoding::message::merge_repeated(wire_type, &mut rows, &mut left, context)?;
            } else {
                encoding::skip_field(wire_type, tag, &mut left, context)?;
            }
        }
        Ok(rows)
    }
}

impl Message for EncodedPage {
    fn encode_raw(&self, buf: &mut impl BufMut) {
        buf.put_slice(&self.rows);
        encoding::message::encode(PAGE, &self.page, buf);
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buf: &mut impl Buf,
        context: DecodeContext,
    ) -> Result<(), DecodeError> {
        match tag {
            ROWS => {
                let mut row = Bytes::new();
                encoding::bytes::merge(wire_type, &mut row, buf, context)?;
                // Appends without copying the earlier rows, unless they are shared.
                let mut rows = BytesMut::from(std::mem::take(&mut self.rows));
                encoding::bytes::encode(ROWS, &row, &mut rows);
                self.rows = rows.freeze();
                Ok(())
            }
            PAGE => encoding::message::merge(wire_type, &mut self.page, buf, context),
            _ => encoding::skip_field(wire_type, tag, buf, context),
        }
    }

    fn encoded_len(&self) -> usize {
        self.rows.len() + encoding::message::encoded_len(PAGE, &self.page)
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}
