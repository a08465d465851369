use sqlx::{
    Encode, Postgres, Type,
    encode::IsNull,
    error::BoxDynError,
    postgres::{PgArgumentBuffer, PgTypeInfo, types::Oid},
};

/// A value as the service gives it: its bytes in Postgres's binary format, and its Rust type's type in Postgres.
#[derive(Debug, Clone)]
pub(crate) struct Given {
    pub(crate) bytes: Option<Vec<u8>>,
    pub(crate) type_info: PgTypeInfo,
}

impl Given {
    pub(crate) fn encode<'q, T: Encode<'q, Postgres> + Type<Postgres>>(value: T) -> Result<Self, BoxDynError> {
        let type_info = value.produces().unwrap_or_else(T::type_info);
        let mut buffer = PgArgumentBuffer::default();
        let bytes = match value.encode(&mut buffer)? {
            IsNull::No => Some(buffer.to_vec()),
            IsNull::Yes => None,
        };
        Ok(Self { bytes, type_info })
    }

    #[cfg(feature = "conformance")]
    pub(crate) fn is_boolean(&self) -> bool {
        <bool as Type<Postgres>>::compatible(&self.type_info)
    }
}

/// A value to bind: its bytes in the binary format of the type that the statement casts it from. The same bytes are
/// bound to the statement and go into the page token.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Value {
    pub(crate) bytes: Option<Vec<u8>>,
    /// Whether Postgres reads the value from text: see [`Target::cast`](crate::target::Target::cast).
    pub(crate) is_text: bool,
}

/// Makes Postgres infer the type of a parameter from its cast. Statements are prepared once for each text, so the type of
/// a parameter must not depend on the type of the value that is bound first.
const INFERRED: PgTypeInfo = PgTypeInfo::with_oid(Oid(0));

impl Value {
    /// The value of a key, as Postgres returned it.
    pub(crate) fn key(bytes: Option<Vec<u8>>) -> Self {
        Self { bytes, is_text: false }
    }

    /// The value as text, if Postgres reads it from text.
    pub(crate) fn as_text(&self) -> Option<&str> {
        let bytes = self.bytes.as_deref().filter(|_| self.is_text)?;
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
}
