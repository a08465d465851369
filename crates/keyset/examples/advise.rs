//! Prints what a database lacks for a list, as a script for `psql`. Copy it and replace the listing.
//!
//! ```sh
//! export DATABASE_URL=postgres://postgres@localhost/library
//! psql "$DATABASE_URL" -c 'create table books (library_id int8, id int8, title text, primary key (library_id, id))'
//! cargo run -p quire-keyset --example advise > missing.sql
//! psql "$DATABASE_URL" -f missing.sql
//! ```
#![allow(clippy::print_stdout, reason = "its output is the script")]

use std::error::Error;

use keyset::{Filter, Listing, Paging, orders};
use pagination::PageTokens;
use sqlx::PgPool;

static BOOKS: Listing = Listing {
    name: "library.v1.Books",
    from: "books",
    // The descriptors of the message are needed only if the listing names one.
    message: "",
    columns: "id, title",
    scope: &["library_id"],
    filters: &[Filter::equal("title", "title")],
    orders: orders!["id"; "lower(title)"],
    ..Listing::DEFAULT
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::var("DATABASE_URL").map_err(|error| format!("DATABASE_URL: {error}"))?;
    // Any key will do, because no page is fetched.
    let tokens = PageTokens::new("advise:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=".parse()?);
    let paging = Paging::new(PgPool::connect(&url).await?, tokens, &[]);
    match paging.open(&BOOKS).await {
        Ok(_) => println!("-- nothing is missing"),
        Err(error) => print!("{}", error.script()),
    }
    Ok(())
}
