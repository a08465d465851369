//! What a request may cost: its maximum size, which follows from the limits of its fields, and a codec that refuses too
//! many elements before it allocates memory for them. The limits are in `limits/v1/limits.proto`.

mod codec;
mod elements;
mod limits;

use std::{collections::HashMap, sync::LazyLock};

use prost_reflect::DescriptorPool;

pub use self::{
    codec::{LARGE_REQUEST_BYTES, RequestCodec, alone},
    elements::{Refusal, SPARE_ELEMENTS},
    limits::{MAX_REQUEST_BYTES, MIN_REQUEST_BYTES, max_bytes, max_elements},
};
use self::{elements::Elements, limits::message_bytes};

/// The `domain` of every `google.rpc.ErrorInfo` that Quire sends.
pub const ERROR_DOMAIN: &str = "quire";

/// What is known about the requests of the contract.
#[derive(Default)]
struct Requests {
    /// The maximum size by the path of the method.
    bytes: HashMap<String, usize>,
    /// The repeated fields by the full name of the request.
    elements: HashMap<String, Elements>,
}

static REQUESTS: LazyLock<Requests> = LazyLock::new(|| {
    let mut requests = Requests::default();
    // The build script wrote the descriptors. Without them, every request is refused.
    let pool = DescriptorPool::decode(crate::FILE_DESCRIPTOR_SET).unwrap_or_default();
    for method in pool.services().flat_map(|service| service.methods().collect::<Vec<_>>()) {
        let (path, input) = (format!("/{}/{}", method.parent_service().full_name(), method.name()), method.input());
        requests.bytes.insert(path, message_bytes(&input).clamp(MIN_REQUEST_BYTES, MAX_REQUEST_BYTES));
        requests.elements.insert(input.full_name().to_owned(), Elements::of(&input));
    }
    requests
});

/// The maximum size in bytes of a request of the method with this path, as in `/memory.v1.MemoryService/GetMemory`: each
/// field at its limit, but at least [`MIN_REQUEST_BYTES`] and at most [`MAX_REQUEST_BYTES`]. `None` if the contract has
/// no such method.
pub fn max_request_bytes(path: &str) -> Option<usize> {
    REQUESTS.bytes.get(path).copied()
}

/// Checks the number of elements of each repeated field in an encoded request. `message` is the full name of the request,
/// as in `memory.v1.GetMemoryRequest`.
///
/// A field can have a few elements too many: at most [`SPARE_ELEMENTS`] in all fields together. The service reports
/// these, with everything else that is wrong.
///
/// # Errors
///
/// [`Refusal`] when there are more, when the bytes are not a message, or when no method has such a request.
pub fn check_elements(message: &str, bytes: &[u8]) -> Result<(), Refusal> {
    REQUESTS.elements.get(message).ok_or(Refusal::Unknown)?.check(bytes)
}
