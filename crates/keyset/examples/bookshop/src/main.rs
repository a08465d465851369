//! Serves the bookshop on 127.0.0.1:50052 until it is interrupted.
//!
//! ```text
//! export DATABASE_URL=postgres://user@localhost/bookshop
//! export TOKEN_KEYS="1:$(openssl rand -base64 32)"
//! cargo run
//! ```

use std::{env, error::Error, net::SocketAddr, process::ExitCode};

use bookshop::{
    SCHEMA,
    books::{BOOKS, Books},
    proto::{FILE_DESCRIPTOR_SET, book_service_server::BookServiceServer},
};
use keyset::{Paging, options_for_pages};
use pagination::PageTokens;
use sqlx::{PgPool, postgres::PgConnectOptions};
use tokio::signal::unix::{SignalKind, signal};
use tonic::transport::Server;

#[tokio::main]
async fn main() -> ExitCode {
    match serve().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // A `main` that returns the error would print its fields. Its text says what to do.
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve() -> Result<(), Box<dyn Error>> {
    let options: PgConnectOptions = variable("DATABASE_URL")?.parse()?;
    // The keys come from outside the program, so that page tokens stay valid after a restart and on other replicas.
    let tokens = PageTokens::new(variable("TOKEN_KEYS")?.parse()?);
    let mut interrupt = signal(SignalKind::interrupt())?;

    let pool = PgPool::connect_with(options.clone()).await?;
    sqlx::raw_sql(SCHEMA).execute(&pool).await?;
    let pages = PgPool::connect_with(options_for_pages(options)).await?;
    // Fails if the table or an index does not match the list, so that no page is slow later.
    let list = Paging::new(pages, tokens, FILE_DESCRIPTOR_SET).open(&BOOKS).await?;

    let address = SocketAddr::from(([127, 0, 0, 1], 50052));
    Server::builder()
        .add_service(BookServiceServer::new(Books { list, pool }))
        .serve_with_shutdown(address, async move {
            interrupt.recv().await;
        })
        .await?;
    Ok(())
}

fn variable(name: &str) -> Result<String, String> {
    env::var(name).map_err(|error| format!("{name}: {error}"))
}
