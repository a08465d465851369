use std::collections::BTreeMap;

use pagination::proto::{PageRequest, PageResponse};
use tonic::{Request, Status};
use tonic_types::StatusExt;

use crate::WORKSPACE_METADATA;

/// A request from a caller of this workspace.
pub fn from<T>(workspace: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert(WORKSPACE_METADATA, workspace.parse().unwrap());
    request
}

/// A request for a page of this size, with this token.
pub fn page(page_size: i32, page_token: &str) -> Option<PageRequest> {
    Some(PageRequest { page_size, page_token: page_token.to_owned(), ..Default::default() })
}

/// Walks a list to its end and back. Returns the rows of each page, and asserts that the way back has the same rows.
pub async fn there_and_back<T: PartialEq + Clone>(
    page_size: i32,
    fetch: impl AsyncFn(PageRequest) -> (Vec<T>, PageResponse),
) -> Vec<Vec<T>> {
    let fetch = async |token: &str| {
        let page = PageRequest { page_size, page_token: token.to_owned(), ..Default::default() };
        fetch(page).await
    };
    let (first, mut response) = fetch("").await;
    assert_eq!(response.previous_page_token, "", "the first page has none before it");
    let (mut there, mut back) = (vec![first], Vec::new());
    while !response.next_page_token.is_empty() {
        assert!(there.len() < 1_000, "the walk does not end");
        let rows;
        (rows, response) = fetch(&response.next_page_token).await;
        assert!(!response.previous_page_token.is_empty(), "a page reached by a token has one before it");
        there.push(rows);
    }
    while !response.previous_page_token.is_empty() {
        assert!(back.len() < 1_000, "the walk does not end");
        let rows;
        (rows, response) = fetch(&response.previous_page_token).await;
        assert!(!response.next_page_token.is_empty(), "a page reached backwards has one after it");
        back.push(rows);
    }
    back.reverse();
    // Pages that are limited by weight have other boundaries on the way back.
    let all_but_last = there.split_last().map(|(_, pages)| pages.concat());
    assert!(Some(back.concat()) == all_but_last, "the way back has the same rows");
    there
}

/// A status as text: the code and the message, then the fields, reasons and resources in its details.
pub fn told(status: &Status) -> String {
    let details = status.get_error_details();
    let mut lines = vec![format!("{:?}: {}", status.code(), status.message())];
    if let Some(bad_request) = details.bad_request() {
        let each = bad_request.field_violations.iter();
        lines.extend(each.map(|violation| format!("  {}: {}", violation.field, violation.description)));
    }
    if let Some(info) = details.error_info() {
        let metadata: BTreeMap<_, _> = info.metadata.iter().collect();
        lines.push(format!("  {} of {} {metadata:?}", info.reason, info.domain));
    }
    if let Some(delay) = details.retry_info().and_then(|info| info.retry_delay) {
        lines.push(format!("  retry after {delay:?}"));
    }
    if let Some(resource) = details.resource_info() {
        lines.push(format!("  {} {:?}", resource.resource_type, resource.resource_name));
    }
    lines.join("\n")
}
