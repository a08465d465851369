use sqlx::{
    Encode, Postgres, Type,
    encode::IsNull,
    error::BoxDynError,
    postgres::{PgArgumentBuffer, PgTypeInfo, types::Oid},
};

/// A value to bind: its type and its bytes in Postgres's binary format. The same bytes are bound to the statement and
/// go into the page token.
#[derive(Debug, Clone)]
pub(crate) struct Value {
    pub(crate) bytes: Option<Vec<u8>>,
    type_info: PgTypeInfo,
}

/// Makes Postgres infer the type of a parameter. The ids of types that a database defines differ between databases, so
/// the type ids of keys are not kept.
const INFERRED: PgTypeInfo = PgTypeInfo::with_oid(Oid(0));

impl Value {
    /// The value of a filter, scope or parameter.
    pub(crate) fn encode<'q, T: Encode<'q, Postgres> + Type<Postgres>>(value: T) -> Result<Self, BoxDynError> {
        let type_info = value.produces().unwrap_or_else(T::type_info);
        let mut buffer = PgArgumentBuffer::default();
        let bytes = match value.encode(&mut buffer)? {
            IsNull::No => Some(buffer.to_vec()),
            IsNull::Yes => None,
        };
        Ok(Self { bytes, type_info })
    }

    /// The value of a key, as Postgres returned it.
    pub(crate) fn key(bytes: Option<Vec<u8>>) -> Self {
        Self { bytes, type_info: INFERRED }
    }

    /// The declared type of the value.
    #[cfg(feature = "conformance")]
    pub(crate) fn declared_type(&self) -> PgTypeInfo {
        self.type_info.clone()
    }

    #[cfg(feature = "conformance")]
    pub(crate) fn is_boolean(&self) -> bool {
        <bool as Type<Postgres>>::compatible(&self.type_info)
    }

    /// The same bytes with another declared type.
    #[cfg(feature = "conformance")]
    pub(crate) fn of_type(&self, type_info: PgTypeInfo) -> Self {
        Self { bytes: self.bytes.clone(), type_info }
    }

    /// The number of elements of a one-dimensional array, from the header of Postgres's binary format: number of
    /// dimensions, flags, element type, length of the first dimension. Each has four bytes.
    pub(crate) fn array_length(&self) -> usize {
        let length = self.bytes.as_deref().and_then(|bytes| bytes.get(12..)).and_then(|bytes| bytes.first_chunk());
        length.map_or(0, |length| usize::try_from(i32::from_be_bytes(*length)).unwrap_or_default())
    }

    /// The value as text, if its type is text.
    pub(crate) fn as_text(&self) -> Option<&str> {
        let bytes = self.bytes.as_deref().filter(|_| <str as Type<Postgres>>::compatible(&self.type_info))?;
        std::str::from_utf8(bytes).ok()
    }
}

impl Type<Postgres> for Value {
    fn type_info() -> PgTypeInfo {
        INFERRED
    }
}

impl Encode<'_, Postgres> for Value {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        let Some(bytes) = &self.bytes else { return Ok(IsNull::Yes) };
        buffer.extend_from_slice(bytes);
        Ok(IsNull::No)
    }

    fn produces(&self) -> Option<PgTypeInfo> {
        Some(self.type_info.clone())
    }
}
