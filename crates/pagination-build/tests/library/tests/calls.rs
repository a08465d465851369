//! A generated client calls a generated server, in one process and without a socket.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use bytes::BytesMut;
use pagination::proto::{EncodedPage, PageResponse};
use pagination_build_library::{
    FILE_DESCRIPTOR_SET,
    library::r#type::v1::{
        ListLoansRequest, ListLoansResponse, Loan, Shelf,
        library_service_client::LibraryServiceClient,
        library_service_server::{LibraryService, LibraryServiceServer},
        shelf,
    },
    people::v1::{ListReadersRequest, ListReadersResponse, Reader},
};
use prost::{Message, Name};
use tokio_stream::Iter;
use tonic::{Request, Response, Status, Streaming};

struct Library;

fn loan() -> Loan {
    let due_time = Some(prost_types::Timestamp { seconds: 1_700_000_000, nanos: 5 });
    Loan { id: 7, due_time }
}

fn shelf() -> Shelf {
    Shelf { name: "history".into(), labels: [("b".into(), "2".into()), ("a".into(), "1".into())].into() }
}

fn reader() -> Reader {
    Reader { name: "Ada".into() }
}

fn page() -> PageResponse {
    PageResponse { next_page_token: "next".into(), total_count: Some(3), ..Default::default() }
}

fn encoded<M: Message>(rows: &[M]) -> Response<EncodedPage> {
    let mut encoded = BytesMut::new();
    for row in rows {
        prost::encoding::message::encode(1, row, &mut encoded);
    }
    Response::new(EncodedPage { rows: encoded.freeze(), page: page() })
}

fn loans() -> ListLoansResponse {
    ListLoansResponse { loans: vec![loan(), Loan::default()], page: Some(page()) }
}

#[tonic::async_trait]
impl LibraryService for Library {
    async fn list_shelves(&self, _: Request<shelf::ListRequest>) -> Result<Response<EncodedPage>, Status> {
        Ok(encoded(&[shelf()]))
    }

    async fn list_readers(&self, _: Request<ListReadersRequest>) -> Result<Response<EncodedPage>, Status> {
        Ok(encoded(&[reader()]))
    }

    async fn r#loop(&self, _: Request<ListLoansRequest>) -> Result<Response<EncodedPage>, Status> {
        Ok(encoded(&[loan(), Loan::default()]))
    }

    type WatchLoansStream = Iter<std::vec::IntoIter<Result<ListLoansResponse, Status>>>;

    async fn watch_loans(&self, _: Request<ListLoansRequest>) -> Result<Response<Self::WatchLoansStream>, Status> {
        Ok(Response::new(tokio_stream::iter(vec![Ok(loans())])))
    }

    async fn collect_loans(
        &self,
        _: Request<Streaming<ListLoansRequest>>,
    ) -> Result<Response<ListLoansResponse>, Status> {
        Ok(Response::new(loans()))
    }

    async fn close(&self, _: Request<()>) -> Result<Response<()>, Status> {
        Ok(Response::new(()))
    }
}

fn client() -> LibraryServiceClient<LibraryServiceServer<Library>> {
    LibraryServiceClient::new(LibraryServiceServer::new(Library))
}

#[tokio::test]
async fn a_client_gets_the_typed_response_of_a_pageable_method() {
    let shelves = client().list_shelves(shelf::ListRequest::default()).await.unwrap().into_inner();
    assert_eq!(shelves, shelf::ListResponse { shelves: vec![shelf()], page: Some(page()) });

    let readers = client().list_readers(ListReadersRequest::default()).await.unwrap().into_inner();
    assert_eq!(readers, ListReadersResponse { readers: vec![reader()], page: Some(page()) });

    assert_eq!(client().r#loop(ListLoansRequest::default()).await.unwrap().into_inner(), loans());
}

#[tokio::test]
async fn other_methods_stay_as_tonic_generates_them() {
    let mut watched = client().watch_loans(ListLoansRequest::default()).await.unwrap().into_inner();
    assert_eq!(watched.message().await.unwrap(), Some(loans()));
    assert_eq!(watched.message().await.unwrap(), None);

    let sent = tokio_stream::iter([ListLoansRequest::default()]);
    assert_eq!(client().collect_loans(sent).await.unwrap().into_inner(), loans());

    client().close(()).await.unwrap();
}

#[test]
fn attributes_asked_for_are_on_the_types() {
    assert!(Reader::default() < reader());
}

#[test]
fn messages_know_their_full_names() {
    assert_eq!(Loan::full_name(), "library.type.v1.loan");
    assert_eq!(shelf::ListRequest::full_name(), "library.type.v1.Shelf.ListRequest");
    assert_eq!(PageResponse::full_name(), "pagination.v1.PageResponse");
}

#[test]
fn the_descriptors_hold_all_files_with_comments() {
    let files = prost_types::FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap().file;
    let names: Vec<&str> = files.iter().map(|file| file.name()).collect();
    assert_eq!(
        names,
        [
            "google/protobuf/empty.proto",
            "google/protobuf/timestamp.proto",
            "pagination/v1/pagination.proto",
            "people/v1/people.proto",
            "library/type/v1/library.proto"
        ]
    );
    let comments = files[3].source_code_info.as_ref().unwrap().location.iter().map(|at| at.leading_comments());
    assert!(comments.into_iter().any(|comment| comment == " Somebody who reads.\n"));
}
