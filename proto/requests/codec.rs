use std::{
    marker::PhantomData,
    sync::{Mutex, PoisonError},
};

use prost::{Message, Name, bytes::Buf};
use tokio::{
    runtime::{Handle, RuntimeFlavor},
    task::block_in_place,
};
use tonic::{
    Status,
    codec::{BufferSettings, Codec, DecodeBuf, Decoder},
};
use tonic_prost::ProstCodec;

use super::{Refusal, check_elements};

/// The size in bytes from which a request is large.
pub const LARGE_REQUEST_BYTES: usize = 256 << 10;

/// The codec of the servers. It refuses a request with too many elements before it decodes it.
///
/// Large requests are decoded one at a time. On a runtime with several threads, other tasks continue meanwhile.
#[derive(Debug)]
pub struct RequestCodec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for RequestCodec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> Codec for RequestCodec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Name + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = <ProstCodec<T, U> as Codec>::Encoder;
    type Decoder = RequestDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<T, U>::raw_encoder(BufferSettings::default())
    }

    fn decoder(&mut self) -> Self::Decoder {
        RequestDecoder(PhantomData)
    }
}

/// The decoder of [`RequestCodec`].
#[derive(Debug)]
pub struct RequestDecoder<U>(PhantomData<U>);

impl<U: Message + Name + Default> Decoder for RequestDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        let is_large = buffer.remaining() >= LARGE_REQUEST_BYTES;
        let decode = || {
            // The buffer is one piece.
            check_elements(&U::full_name(), buffer.chunk()).inspect_err(count_refusal)?;
            U::decode(buffer).map(Some).map_err(|error| Refusal::Malformed(error).into())
        };
        if is_large { alone(decode) } else { decode() }
    }
}

/// Works while no other large request is decoded or decompressed, and lets the thread's other tasks continue if the runtime can.
pub fn alone<R>(work: impl FnOnce() -> R) -> R {
    static TURN: Mutex<()> = Mutex::new(());
    let in_turn = || {
        let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        work()
    };
    let flavor = Handle::try_current().map(|runtime| runtime.runtime_flavor());
    if matches!(flavor, Ok(RuntimeFlavor::MultiThread)) { block_in_place(in_turn) } else { in_turn() }
}

fn count_refusal(refusal: &Refusal) {
    if matches!(refusal, Refusal::TooMany { .. }) {
        metrics::counter!("limits_reached_total", "limit" => "request_elements").increment(1);
    }
}
