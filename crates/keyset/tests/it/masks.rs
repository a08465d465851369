//! What a caller can leave out, and rows by their ids.
use keyset::{Error, Filter, List, Listing, Order, Query, asc, orders};
use pagination::{InvalidArgument, proto::PageRequest};
use sqlx::PgPool;

use crate::support::{
    database,
    everything::{self, Everything, Nested},
    leak, request, run,
};

const COLUMNS: &str = "int64, text, bytes, nested_type as \"nested.type\", nested_count as \"nested.count\"";

async fn open(pool: &PgPool, weight: Option<&'static str>) -> List {
    run(
        pool,
        "create table if not exists rows (tenant int8 not null, int64 int8 not null, text text collate \"C\" not null check (octet_length(text) < 100), bytes bytea not null,
            nested_type text, nested_count int4, primary key (tenant, int64));
        create index if not exists rows_text on rows (tenant, text, int64);
        insert into rows select 1, n, 'text ' || n, decode(repeat('ab', 3000), 'hex'), case when n % 2 = 0 then 'type' end, n
        from generate_series(1, 10) as n on conflict do nothing",
    )
    .await;
    let named = "int64 as int64, text as text, b as bytes, t as \"nested.type\", c as \"nested.count\"";
    let listing = Listing {
        name: "rows",
        from: "rows",
        columns: COLUMNS,
        scope: &["tenant"],
        filters: const { &[Filter::any_of("ids", "int64"), Filter::condition("even", "(int64 % 2 = 0) = {even}")] },
        orders: orders!["int64"; "text"],
        weight,
        ..everything::listing(named, &[])
    };
    everything::paging(pool).open(leak(listing)).await.unwrap()
}

fn all(list: &List, page: PageRequest) -> Query<'_> {
    list.page(Some(page), "").scope(1_i64).filter::<Vec<i64>>("ids", None).filter::<bool>("even", None)
}

fn whole(number: i64) -> Everything {
    let r#type = if number % 2 == 0 { "type" } else { "" };
    Everything {
        int64: number,
        text: format!("text {number}"),
        bytes: vec![0xab; 3_000],
        nested: Some(Nested { r#type: r#type.into(), count: Some(number as i32), deeper: None }),
        ..Everything::default()
    }
}

#[tokio::test]
async fn a_read_mask_leaves_fields_out() {
    let pool = database().await;
    for weight in [None, Some("octet_length(bytes)")] {
        let list = open(&pool, weight).await;
        type Masked = fn(Everything) -> Everything;
        let masks: [(&[&str], Masked); 6] = [
            (&[], |all| all),
            (&["*"], |all| all),
            (&["text"], |all| Everything { text: all.text, ..Everything::default() }),
            (&["int64", "nested"], |all| Everything { int64: all.int64, nested: all.nested, ..Everything::default() }),
            (&["nested.count", "bytes"], |all| Everything {
                bytes: all.bytes,
                nested: Some(Nested { count: all.nested.and_then(|nested| nested.count), ..Nested::default() }),
                ..Everything::default()
            }),
            // No column fills it.
            (&["double"], |_| Everything::default()),
        ];
        for (paths, masked) in masks {
            let (mut token, mut found) = (String::new(), Vec::new());
            loop {
                let query = all(&list, request(3, &token)).read_mask("read_mask", paths.iter().copied());
                let page = query.fetch_messages::<Everything>().await.unwrap();
                found.extend(page.rows);
                token = page.response.next_page_token;
                if token.is_empty() {
                    break;
                }
            }
            // In the order of the text: text 1, text 10, text 2 and so on.
            let expected: Vec<_> = [1, 10, 2, 3, 4, 5, 6, 7, 8, 9].map(whole).map(masked).to_vec();
            assert_eq!(found, expected, "{paths:?} {weight:?}");
        }
        let scanned = all(&list, request(3, "")).filter("even", Some(true)).read_mask("read_mask", ["int64"]);
        let page = scanned.fetch_messages::<Everything>().await.unwrap();
        assert_eq!(page.rows.iter().map(|row| row.int64).collect::<Vec<_>>(), [10, 2, 4], "{weight:?}");
        let refused = all(&list, request(3, "")).read_mask("read_mask", ["nothing"]).fetch().await.unwrap_err();
        let Error::Request(InvalidArgument::Fields(violations)) = refused else { panic!("{refused}") };
        assert_eq!(violations[0].field, "read_mask");
    }
}

#[tokio::test]
async fn a_batch_has_the_order_of_its_values() {
    let pool = database().await;
    let list = open(&pool, None).await;
    let batch = async |ids: &[i64], tenant: i64| list.batch("ids", ids).scope(tenant).fetch::<Everything>().await;
    let ids = [7, 11, 3, 3, 10];
    let found = batch(&ids, 1).await.unwrap();
    assert_eq!(found, [Some(whole(7)), None, Some(whole(3)), Some(whole(3)), Some(whole(10))]);
    assert_eq!(batch(&ids, 2).await.unwrap(), [const { None }; 5]);
    assert_eq!(batch(&[], 1).await.unwrap(), []);
    assert!(matches!(batch(&[1; 201], 1).await, Err(Error::Request(_))));
    assert_eq!(list.batch("ids", vec![2_i16]).scope("1").fetch::<Everything>().await.unwrap(), [Some(whole(2))]);
    assert!(matches!(list.batch("ids", vec![1_i64]).fetch::<Everything>().await, Err(Error::Listing { .. })));
    assert!(matches!(
        list.batch("even", vec![true]).scope(1_i64).fetch::<Everything>().await,
        Err(Error::Listing { .. })
    ));
    assert!(matches!(list.batch("ids", 1_i64).scope(1_i64).fetch::<Everything>().await, Err(Error::Listing { .. })));
}

#[tokio::test]
async fn the_columns_of_other_fields_are_not_read() {
    let pool = database().await;
    // Dividing by zero shows that the column is computed.
    run(&pool, "create table numbers (int64 int8 primary key); insert into numbers values (1), (2)").await;
    let named = "int64 as int64, t as text";
    let columns = "int64, (1 / (int64 - int64))::text as text";
    const ID: &[Order] = &[Order { name: "int64", keys: &[asc("int64")], indexed: &[] }];
    let listing = Listing { name: "numbers", from: "numbers", columns, orders: ID, ..everything::listing(named, &[]) };
    let list = everything::paging(&pool).open(leak(listing)).await.unwrap();
    assert!(list.page(None, "").fetch().await.is_err());
    let page = list.page(None, "").read_mask("read_mask", ["int64"]).fetch_messages::<Everything>().await.unwrap();
    assert_eq!(page.rows.iter().map(|row| row.int64).collect::<Vec<_>>(), [1, 2]);
}
