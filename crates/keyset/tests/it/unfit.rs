//! Rows that no message can carry, and pages that are larger than a message.
use keyset::{Error, List, Listing, MAX_ROW_BYTES, Order, Unfit, UnfitRows, asc};
use pagination::proto::{EncodedPage, PageResponse};
use prost::Message;
use sqlx::PgPool;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::support::{
    database,
    everything::{self, Everything},
    leak, request, run,
};

const ROWS: Listing = Listing {
    name: "rows",
    from: "rows",
    message: "everything.v1.Everything",
    columns: "int64, text, time",
    orders: &[Order { name: "int64", keys: &[asc("int64")], indexed: &[] }],
    ..Listing::DEFAULT
};

/// The response of a List method.
#[derive(Clone, PartialEq, Message)]
struct Response {
    #[prost(message, repeated, tag = "1")]
    rows: Vec<Everything>,
    #[prost(message, optional, tag = "2")]
    page: Option<PageResponse>,
}

/// Ten rows; those with the numbers 2 to 3 have 5 MB, the row 5 has an infinite time, and 7 to 9 have 1.5 MB each.
async fn open(pool: &PgPool, unfit_rows: UnfitRows) -> List {
    run(
        pool,
        "create table if not exists rows (int64 int8 primary key, text text not null, time timestamptz);
        insert into rows select n, repeat('x', case when n in (2, 3) then 5000000 when n > 6 then 1500000 else 1 end),
            case when n = 5 then timestamptz 'infinity' end from generate_series(0, 9) as n on conflict do nothing",
    )
    .await;
    let Listing { unfilled, .. } = everything::listing("int64 as int64, text as text, time as time", &[]);
    everything::paging(pool).open(leak(Listing { unfit_rows, unfilled, ..ROWS })).await.unwrap()
}

async fn page(list: &List, size: i32, token: &str) -> Result<Response, Error> {
    let page: EncodedPage = list.page(Some(request(size, token)), "").fetch().await?;
    let bytes = page.encode_to_vec();
    assert!(bytes.len() <= 4 * 1024 * 1024, "a page of {} bytes", bytes.len());
    Ok(Response::decode(bytes.as_slice()).unwrap())
}

/// The numbers of all rows, and of the rows that were not sent; then the same backwards.
async fn walk(list: &List, size: i32) -> [(Vec<i64>, Vec<String>); 2] {
    let mut walks = [const { (Vec::new(), Vec::new()) }; 2];
    let mut token = String::new();
    let mut last = String::new();
    for is_back in [false, true] {
        let (numbers, unfit) = &mut walks[usize::from(is_back)];
        let mut calls = 0;
        loop {
            calls += 1;
            assert!(calls < 50, "{numbers:?} {unfit:?}");
            match page(list, size, &token).await {
                Ok(Response { rows, page }) => {
                    let page = page.unwrap();
                    let found: Vec<i64> = rows.iter().map(|row| row.int64).collect();
                    if is_back {
                        numbers.splice(0..0, found);
                        token = page.previous_page_token;
                    } else {
                        numbers.extend(found);
                        last.clone_from(&page.previous_page_token);
                        token = page.next_page_token;
                    }
                }
                Err(Error::Row { row, page_token, .. }) => {
                    unfit.push(row);
                    token = page_token;
                }
                Err(error) => panic!("{error}"),
            }
            if token.is_empty() {
                break;
            }
        }
        // Back from the last page, which the walk back begins before.
        if !is_back {
            token.clone_from(&last);
        }
    }
    walks
}

#[tokio::test]
async fn a_walk_goes_on_behind_rows_that_no_message_can_carry() {
    let pool = database().await;
    let list = open(&pool, UnfitRows::Error).await;
    for size in [1, 2, 3, 100] {
        let [(forward, unfit), (backward, unfit_back)] = walk(&list, size).await;
        assert_eq!(forward, [0, 1, 4, 6, 7, 8, 9], "{size}");
        assert_eq!(unfit, ["int64 = 2", "int64 = 3", "int64 = 5"], "{size}");
        let rest = &forward[..backward.len()];
        assert_eq!(backward, rest, "{size}");
        assert_eq!(unfit_back, ["int64 = 5", "int64 = 3", "int64 = 2"], "{size}");
    }
}

#[tokio::test]
async fn the_error_names_the_row_and_has_the_token_behind_it() {
    let pool = database().await;
    let list = open(&pool, UnfitRows::Error).await;
    let first = page(&list, 2, "").await.unwrap();
    let token = first.page.unwrap().next_page_token;
    let error = page(&list, 2, &token).await.unwrap_err();
    let Error::Row { reason: Unfit::TooLarge(size), .. } = &error else { panic!("{error}") };
    assert!(*size > MAX_ROW_BYTES);
    let status = Status::from(error);
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(status.message().contains("int64 = 2"), "{status}");
    let info = status.get_details_error_info().unwrap();
    assert_eq!((info.reason.as_str(), info.metadata["row"].as_str()), ("ROW_TOO_LARGE", "int64 = 2"));
    let next = page(&list, 2, &info.metadata["page_token"]).await.unwrap_err();
    assert!(Status::from(next).message().contains("int64 = 3"));
}

#[tokio::test]
async fn a_placeholder_stands_for_a_row_that_no_message_can_carry() {
    let pool = database().await;
    let list = open(&pool, UnfitRows::Placeholder).await;
    for size in [1, 3, 100] {
        let [(forward, unfit), (backward, _)] = walk(&list, size).await;
        assert_eq!((forward.clone(), unfit.len()), ((0..10).collect(), 0), "{size}");
        assert_eq!(backward, forward[..backward.len()], "{size}");
    }
    let response = page(&list, 4, "").await.unwrap();
    assert_eq!(response.rows[2], Everything { int64: 2, ..Everything::default() });
}
