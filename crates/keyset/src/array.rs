//! Arrays in Postgres's binary format: number of dimensions, whether there are nulls, element type; then for each
//! dimension its length and lowest index; then each element after its length, which is -1 for a null. All numbers have
//! four bytes.

use std::borrow::Cow;

#[derive(Debug, Clone)]
pub(crate) struct Array<'v> {
    /// The length and the lowest index of each dimension.
    pub(crate) dimensions: Vec<[i32; 2]>,
    /// The OID of the elements' type; 0 if Rust does not know it.
    pub(crate) element: u32,
    pub(crate) elements: Vec<Option<Cow<'v, [u8]>>>,
}

impl<'v> Array<'v> {
    /// `None` if the bytes are not an array.
    pub(crate) fn decode(bytes: &'v [u8]) -> Option<Self> {
        let mut bytes = bytes;
        let count = usize::try_from(number(&mut bytes)?).ok()?;
        let _has_nulls = number(&mut bytes)?;
        let element = number(&mut bytes)?.cast_unsigned();
        let mut array = Self { dimensions: Vec::new(), element, elements: Vec::new() };
        for _ in 0..count {
            array.dimensions.push([number(&mut bytes)?, number(&mut bytes)?]);
        }
        while !bytes.is_empty() {
            let value = match number(&mut bytes)? {
                -1 => None,
                length => {
                    let (value, rest) = bytes.split_at_checked(usize::try_from(length).ok()?)?;
                    bytes = rest;
                    Some(Cow::Borrowed(value))
                }
            };
            array.elements.push(value);
        }
        Some(array)
    }

    /// Sorts the elements and removes repeated ones.
    pub(crate) fn make_set(&mut self) {
        self.elements.sort_unstable();
        self.elements.dedup();
        self.dimensions = vec![[i32::try_from(self.elements.len()).unwrap_or(i32::MAX), 1]];
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut put = |number: i32| bytes.extend_from_slice(&number.to_be_bytes());
        put(i32::try_from(self.dimensions.len()).unwrap_or(i32::MAX));
        put(self.elements.iter().any(Option::is_none).into());
        put(self.element.cast_signed());
        self.dimensions.iter().flatten().copied().for_each(put);
        for element in &self.elements {
            let length = element.as_ref().map_or(-1, |value| i32::try_from(value.len()).unwrap_or(i32::MAX));
            bytes.extend_from_slice(&length.to_be_bytes());
            bytes.extend_from_slice(element.as_deref().unwrap_or_default());
        }
        bytes
    }

    /// The number of elements of an array of one dimension.
    pub(crate) fn length(bytes: &[u8]) -> usize {
        let length = bytes.get(12..).and_then(<[u8]>::first_chunk);
        length.map_or(0, |length| usize::try_from(i32::from_be_bytes(*length)).unwrap_or_default())
    }
}

/// Takes the number at the beginning.
fn number(bytes: &mut &[u8]) -> Option<i32> {
    let (number, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(i32::from_be_bytes(*number))
}
