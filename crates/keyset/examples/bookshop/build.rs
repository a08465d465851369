//! Generates the messages, the client, and a server whose List method returns an encoded page.

fn main() -> Result<(), pagination_build::Error> {
    pagination_build::compile(&["bookshop/v1/bookshop.proto"], &["proto"])
}
