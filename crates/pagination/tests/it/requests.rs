//! The meaning of page requests and `order_by`, and the errors for invalid ones.
use pagination::{
    FieldViolation, Fingerprint, InvalidArgument, MAX_SKIP, PageFields, PageParameters, PageRules, PageTokenError,
    PageTokenErrorKind, PageTokens, find_order,
    proto::{PageRequest, TotalCount},
};
use proptest::prelude::*;
use tonic::Status;
use tonic_types::StatusExt;

const ORDERS: [&str; 3] = ["create_time desc, id", "title", "title desc, create_time, id"];

fn order(order_by: &str) -> Result<usize, InvalidArgument> {
    find_order(order_by, ORDERS.into_iter())
}

fn parameters(request: PageRequest) -> Result<PageParameters, InvalidArgument> {
    PageParameters::new(request, &PageRules::DEFAULT)
}

fn violated_fields(request: PageRequest) -> Vec<String> {
    match parameters(request).unwrap_err() {
        InvalidArgument::Fields(violations) => violations.into_iter().map(|violation| violation.field).collect(),
        InvalidArgument::PageToken(error) => panic!("{error}"),
    }
}

/// Everything that a client sees of an error: the code, the message and the `google.rpc` messages in its details.
fn seen_by_a_client(error: InvalidArgument) -> String {
    let status = Status::from(error);
    let details = status.check_error_details().unwrap();
    let violations = details.bad_request().map(|request| request.field_violations.clone()).unwrap_or_default();
    let mut lines = vec![format!("{:?}: {}", status.code(), status.message())];
    lines.extend(violations.into_iter().map(|violation| format!("{} | {}", violation.field, violation.description)));
    lines.extend(details.error_info().map(|info| format!("{} | {} | {:?}", info.domain, info.reason, info.metadata)));
    let shown = usize::from(details.bad_request().is_some()) + usize::from(details.error_info().is_some());
    assert_eq!(status.check_error_details_vec().unwrap().len(), shown, "{details:?}");
    lines.join("\n")
}

#[test]
fn an_empty_request_is_for_the_first_page() {
    let expected = PageParameters { size: 50, token: String::new(), total_count: TotalCount::Unspecified, skip: 0 };
    assert_eq!(parameters(PageRequest::default()), Ok(expected));
    assert_eq!((PageRules::DEFAULT.default_size, PageRules::DEFAULT.max_size, MAX_SKIP), (50, 200, 10_000));
}

#[test]
fn page_sizes_have_a_default_and_a_limit() {
    for (page_size, size) in [(0, 50), (1, 1), (49, 49), (51, 51), (199, 199), (200, 200), (201, 200), (i32::MAX, 200)]
    {
        let parameters = parameters(PageRequest { page_size, ..Default::default() });
        assert_eq!(parameters.map(|parameters| parameters.size), Ok(size), "{page_size}");
    }
    for page_size in [-1, -200, i32::MIN] {
        assert_eq!(violated_fields(PageRequest { page_size, ..Default::default() }), ["page.page_size"], "{page_size}");
    }
}

/// The rules of a service whose requests have fields of their own.
const SMALL: PageRules = PageRules {
    default_size: 25,
    max_size: 100,
    fields: PageFields { page_size: "limit", page_token: "cursor", total_count: "total", skip: "offset" },
};

#[test]
fn page_sizes_can_be_others() {
    for (page_size, size) in [(0, 25), (1, 1), (25, 25), (99, 99), (100, 100), (101, 100), (200, 100), (i32::MAX, 100)]
    {
        let parameters = PageParameters::new(PageRequest { page_size, ..Default::default() }, &SMALL);
        assert_eq!(parameters.map(|parameters| parameters.size), Ok(size), "{page_size}");
    }
}

#[test]
fn rules_are_checked() {
    let check = |default_size, max_size| PageRules { default_size, max_size, ..PageRules::DEFAULT }.check();
    for (default_size, max_size) in [(50, 200), (1, 1), (1, 1_000), (1_000, 1_000)] {
        assert_eq!(check(default_size, max_size), Ok(()), "{default_size} of {max_size}");
    }
    for (default_size, max_size, mistake) in [
        (0, 200, "the default page size must be at least 1"),
        (0, 0, "the default page size must be at least 1"),
        (201, 200, "the default page size must not be larger than the maximum page size"),
        (1, 0, "the default page size must not be larger than the maximum page size"),
        (50, 1_001, "the maximum page size must be at most 1000"),
        (u32::MAX, u32::MAX, "the maximum page size must be at most 1000"),
    ] {
        assert_eq!(check(default_size, max_size), Err(mistake), "{default_size} of {max_size}");
    }
    assert_eq!((PageRules::DEFAULT.check(), PageRules::MAX_SIZE), (Ok(()), 1_000));
}

#[test]
fn skips_have_a_limit() {
    for (skip, rows) in [(0, 0), (1, 1), (9_999, 9_999), (10_000, 10_000)] {
        let parameters = parameters(PageRequest { skip, ..Default::default() });
        assert_eq!(parameters.map(|parameters| parameters.skip), Ok(rows), "{skip}");
    }
    for skip in [10_001, i32::MAX, -1, i32::MIN] {
        assert_eq!(violated_fields(PageRequest { skip, ..Default::default() }), ["page.skip"], "{skip}");
    }
}

#[test]
fn unknown_total_counts_are_refused() {
    let known = [TotalCount::Unspecified, TotalCount::Exact, TotalCount::Capped, TotalCount::Estimated];
    for (number, kind) in (0..).zip(known) {
        let parameters = parameters(PageRequest { total_count: number, ..Default::default() });
        assert_eq!(parameters.map(|parameters| parameters.total_count), Ok(kind), "{number}");
    }
    for total_count in [4, 99, -1, i32::MIN, i32::MAX] {
        let request = PageRequest { total_count, ..Default::default() };
        assert_eq!(violated_fields(request), ["page.total_count"], "{total_count}");
    }
}

#[test]
fn fields_are_not_mixed_up() {
    let request = PageRequest { page_size: 7, page_token: "sent".into(), total_count: 3, skip: 11 };
    let expected = PageParameters { size: 7, token: "sent".into(), total_count: TotalCount::Estimated, skip: 11 };
    assert_eq!(parameters(request), Ok(expected));
}

#[test]
fn all_violations_are_reported_at_once() {
    let wrong = PageRequest { page_size: -1, page_token: "sent".into(), total_count: 99, skip: 10_001 };
    assert_eq!(violated_fields(wrong.clone()), ["page.page_size", "page.total_count", "page.skip"]);
    assert_eq!(violated_fields(PageRequest { page_size: 1, ..wrong.clone() }), ["page.total_count", "page.skip"]);
    assert_eq!(violated_fields(PageRequest { total_count: 1, ..wrong.clone() }), ["page.page_size", "page.skip"]);
    assert_eq!(violated_fields(PageRequest { skip: 1, ..wrong }), ["page.page_size", "page.total_count"]);
}

#[test]
fn redundant_spaces_in_order_by_are_ignored() {
    for (order_by, index) in [
        ("", 0),
        ("   ", 0),
        ("create_time desc, id", 0),
        ("create_time desc,id", 0),
        ("  create_time   desc  ,  id  ", 0),
        ("create_time desc ,id", 0),
        ("title", 1),
        (" title ", 1),
        ("title desc,create_time,id", 2),
        ("title  desc , create_time , id", 2),
    ] {
        assert_eq!(order(order_by), Ok(index), "{order_by:?}");
    }
}

#[test]
fn the_error_of_an_unknown_order_lists_the_orders() {
    let names = r#"must be one of "create_time desc, id", "title", "title desc, create_time, id""#;
    let refusal = InvalidArgument::Fields(vec![FieldViolation::new("order_by", names)]);
    let very_long = "title, ".repeat(100_000);
    for order_by in [
        "create_time asc",
        "create_time asc, id",
        "create_time",
        "create_time desc",
        "createtime desc, id",
        "create_timedesc, id",
        "id, create_time desc",
        "title asc",
        "TITLE",
        "title,",
        ",title",
        ",",
        ", ,",
        "title\0",
        "\0",
        "\ttitle",
        "title\n",
        "title\u{a0}",
        "tit le",
        "title; DROP TABLE books",
        "title' OR '1'='1",
        "(SELECT 1)",
        "0",
        very_long.as_str(),
    ] {
        let shown = order_by.chars().take(40).collect::<String>();
        assert_eq!(order(order_by), Err(refusal.clone()), "{shown:?}");
    }
}

/// The words and commas of an `order_by`, without its spaces.
fn words(order_by: &str) -> Vec<String> {
    order_by.replace(',', " , ").split(' ').filter(|word| !word.is_empty()).map(String::from).collect()
}

proptest! {
    // Failures are not persisted in a file: add a test for each instead.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_numbers_are_read_or_refused(
        page_size: i32,
        total_count in prop_oneof![-2..6, any::<i32>()],
        skip in prop_oneof![-10..10_010, any::<i32>()],
    ) {
        let request = PageRequest { page_size, total_count, skip, ..Default::default() };
        match parameters(request) {
            Ok(parameters) => {
                prop_assert!(page_size >= 0 && (0..=3).contains(&total_count) && (0..=10_000).contains(&skip));
                prop_assert!((1..=200).contains(&parameters.size));
            }
            Err(InvalidArgument::Fields(violations)) => {
                let wrong = [page_size < 0, !(0..=3).contains(&total_count), !(0..=10_000).contains(&skip)];
                prop_assert_eq!(violations.len(), wrong.into_iter().filter(|wrong| *wrong).count());
            }
            Err(InvalidArgument::PageToken(error)) => prop_assert!(false, "{}", error),
        }
    }

    #[test]
    fn only_an_order_itself_is_found(
        order_by in prop_oneof![any::<String>(), "(title|desc|id|create_time|[ ,\t]){0,9}"],
    ) {
        match order(&order_by) {
            Ok(0) if words(&order_by).is_empty() => {}
            Ok(index) => prop_assert_eq!(ORDERS.get(index).map(|name| words(name)), Some(words(&order_by))),
            Err(_) => prop_assert!(ORDERS.iter().all(|name| words(name) != words(&order_by))),
        }
    }

    #[test]
    fn an_order_is_found_with_spaces_anywhere_between_its_words(index in 0..ORDERS.len(), spaces in "[ ]{1,4}") {
        let name = ORDERS.get(index).copied().unwrap();
        let spread = name.replace(", ", ",").replace(' ', &spaces).replace(',', &format!("{spaces},{spaces}"));
        prop_assert_eq!(order(&format!("{spaces}{spread}{spaces}")), Ok(index));
    }
}

#[test]
fn a_refused_token_is_a_violation_of_its_field() {
    let fields =
        vec![FieldViolation::new("page.skip", "must be 0"), FieldViolation::new("limit", "must not be negative")];
    assert_eq!(InvalidArgument::Fields(fields.clone()).into_violations(), fields);
    let error = PageTokenError { kind: PageTokenErrorKind::Expired, domain: "books", field: "cursor" };
    let expired = FieldViolation::new("cursor", "has expired; start again without a token");
    assert_eq!(InvalidArgument::from(error).into_violations(), [expired]);
}

#[test]
fn a_client_sees_what_is_wrong_with_its_fields() {
    let wrong = PageRequest { page_size: -1, total_count: 99, skip: 10_001, ..Default::default() };
    insta::assert_snapshot!(seen_by_a_client(parameters(wrong).unwrap_err()), @r"
    InvalidArgument: page.page_size: must not be negative; 0 means 50; page.total_count: must be one of TOTAL_COUNT_UNSPECIFIED, TOTAL_COUNT_EXACT, TOTAL_COUNT_CAPPED, TOTAL_COUNT_ESTIMATED; page.skip: must be 0 to 10000; to go further, follow the page tokens
    page.page_size | must not be negative; 0 means 50
    page.total_count | must be one of TOTAL_COUNT_UNSPECIFIED, TOTAL_COUNT_EXACT, TOTAL_COUNT_CAPPED, TOTAL_COUNT_ESTIMATED
    page.skip | must be 0 to 10000; to go further, follow the page tokens
    ");
    let wrong = PageRequest { page_size: -1, ..Default::default() };
    insta::assert_snapshot!(seen_by_a_client(parameters(wrong).unwrap_err()), @r"
    InvalidArgument: page.page_size: must not be negative; 0 means 50
    page.page_size | must not be negative; 0 means 50
    ");
    let wrong = PageRequest { page_size: -1, total_count: 99, skip: 10_001, ..Default::default() };
    insta::assert_snapshot!(seen_by_a_client(PageParameters::new(wrong, &SMALL).unwrap_err()), @r"
    InvalidArgument: limit: must not be negative; 0 means 25; total: must be one of TOTAL_COUNT_UNSPECIFIED, TOTAL_COUNT_EXACT, TOTAL_COUNT_CAPPED, TOTAL_COUNT_ESTIMATED; offset: must be 0 to 10000; to go further, follow the page tokens
    limit | must not be negative; 0 means 25
    total | must be one of TOTAL_COUNT_UNSPECIFIED, TOTAL_COUNT_EXACT, TOTAL_COUNT_CAPPED, TOTAL_COUNT_ESTIMATED
    offset | must be 0 to 10000; to go further, follow the page tokens
    ");
    insta::assert_snapshot!(seen_by_a_client(order("create_time asc").unwrap_err()), @r#"
    InvalidArgument: order_by: must be one of "create_time desc, id", "title", "title desc, create_time, id"
    order_by | must be one of "create_time desc, id", "title", "title desc, create_time, id"
    "#);
    let wrong = InvalidArgument::field("requests[3].prompt.name", "must not be empty");
    insta::assert_snapshot!(seen_by_a_client(wrong), @r"
    InvalidArgument: requests[3].prompt.name: must not be empty
    requests[3].prompt.name | must not be empty
    ");
}

/// The refusal of a page token by a service of the domain `books`.
fn refused(kind: PageTokenErrorKind) -> InvalidArgument {
    let keys = "1:n0Yz3iKcP9tJkq0c5mE0mG0h9f0g5mH5l2x0T7r1u3Q=".parse().unwrap();
    let tokens = PageTokens { error_domain: "books", ..PageTokens::new(keys) };
    let error = tokens.open("", &Fingerprint::of("books.v1.Books").finish()).unwrap_err();
    PageTokenError { kind, ..error }.into()
}

#[test]
fn a_client_sees_why_its_page_token_is_refused() {
    insta::assert_snapshot!(seen_by_a_client(refused(PageTokenErrorKind::Malformed)), @r"
    InvalidArgument: page.page_token: is not a page token; start again without a token
    page.page_token | is not a page token; start again without a token
    books | PAGE_TOKEN_MALFORMED | {}
    ");
    insta::assert_snapshot!(seen_by_a_client(refused(PageTokenErrorKind::Untrusted)), @r"
    InvalidArgument: page.page_token: was not issued by this service, or was changed; start again without a token
    page.page_token | was not issued by this service, or was changed; start again without a token
    books | PAGE_TOKEN_UNTRUSTED | {}
    ");
    insta::assert_snapshot!(seen_by_a_client(refused(PageTokenErrorKind::Expired)), @r"
    InvalidArgument: page.page_token: has expired; start again without a token
    page.page_token | has expired; start again without a token
    books | PAGE_TOKEN_EXPIRED | {}
    ");
    insta::assert_snapshot!(seen_by_a_client(refused(PageTokenErrorKind::QueryChanged)), @r"
    InvalidArgument: page.page_token: was issued for another query; send it with the same filters and order_by, or start again without a token
    page.page_token | was issued for another query; send it with the same filters and order_by, or start again without a token
    books | PAGE_TOKEN_QUERY_CHANGED | {}
    ");
    insta::assert_snapshot!(seen_by_a_client(refused(PageTokenErrorKind::UnsupportedVersion)), @r"
    InvalidArgument: page.page_token: has a version that this server does not support; start again without a token
    page.page_token | has a version that this server does not support; start again without a token
    books | PAGE_TOKEN_UNSUPPORTED_VERSION | {}
    ");
    let InvalidArgument::PageToken(error) = refused(PageTokenErrorKind::Expired) else { panic!("not a token") };
    let renamed = PageTokenError { field: SMALL.fields.page_token, ..error }.into();
    insta::assert_snapshot!(seen_by_a_client(renamed), @r"
    InvalidArgument: cursor: has expired; start again without a token
    cursor | has expired; start again without a token
    books | PAGE_TOKEN_EXPIRED | {}
    ");
}
