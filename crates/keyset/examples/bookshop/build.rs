//! Generates the messages, the client, and the server whose list answers with an encoded page.

fn main() -> Result<(), pagination_build::Error> {
    pagination_build::compile(&["bookshop/v1/bookshop.proto"], &["proto"])
}
