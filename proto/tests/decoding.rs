use proptest::{collection::vec, prelude::*, sample::Index};
use prost::{Message, bytes::Bytes};
use quire_proto::{
    jobs::v1::{Job, ListJobsResponse},
    pagination::v1::{EncodedPage, PageResponse},
};

use crate::{page, rows::rows};

fn jobs() -> impl Strategy<Value = ListJobsResponse> {
    (rows("jobs.v1.ListJobsResponse"), proptest::option::of(page()))
        .prop_map(|(jobs, page)| ListJobsResponse { jobs, page })
}

/// Fields that no response has: 3 as a varint, 4 as a group with a field in it, 5 as a string.
const UNKNOWN: [u8; 10] = [0x18, 0x07, 0x23, 0x08, 0x01, 0x24, 0x2a, 0x02, b'h', b'i'];

proptest! {
    /// Concatenated protobuf messages are one message: the rows are concatenated, and the pages are merged.
    #[test]
    fn bytes_are_decoded_as_the_typed_response_decodes_them(
        parts in vec(jobs(), 1..4),
        unknown: bool,
        changed in proptest::option::of((any::<Index>(), any::<u8>())),
        cut in proptest::option::of(any::<Index>()),
    ) {
        let mut bytes = Vec::new();
        for part in parts {
            bytes.extend(part.encode_to_vec());
            if unknown {
                bytes.extend(UNKNOWN);
            }
        }
        if let Some((at, byte)) = changed && !bytes.is_empty() {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(at) = cut && !bytes.is_empty() {
            bytes.truncate(at.index(bytes.len()));
        }

        let typed = ListJobsResponse::decode(&*bytes);
        let encoded = EncodedPage::decode(&*bytes).and_then(|page| Ok((page.rows::<Job>()?, page.page)));
        match (typed, encoded) {
            (Ok(typed), Ok((jobs, page))) => {
                // Compared as bytes, because NaN is not equal to itself.
                let encoded = ListJobsResponse { jobs, page: typed.page.is_some().then_some(page.clone()) };
                prop_assert_eq!(encoded.encode_to_vec(), typed.encode_to_vec());
                prop_assert!(typed.page.is_some() || page == PageResponse::default());
            }
            (Err(_), Err(_)) => {}
            (typed, encoded) => prop_assert!(false, "{typed:?} but {encoded:?}"),
        }
    }
}

#[test]
fn shared_rows_are_not_changed() {
    let one = ListJobsResponse { jobs: vec![Job { id: "1".into(), ..Job::default() }], page: None }.encode_to_vec();
    let mut page = EncodedPage::decode(&*one).unwrap();
    let before = page.clone();
    page.merge(&*one).unwrap();
    assert_eq!(before.rows, one);
    assert_eq!(page.rows, [&*one, &*one].concat());
    page.clear();
    assert_eq!(page, EncodedPage::default());
}

#[test]
fn a_page_without_content_is_still_present() {
    let bytes = EncodedPage::default().encode_to_vec();
    assert_eq!(bytes, [0x12, 0x00]);
    assert_eq!(ListJobsResponse::decode(&*bytes).unwrap().page, Some(PageResponse::default()));
}

#[test]
fn invalid_rows_are_an_error() {
    let page = |rows: &'static [u8]| EncodedPage { rows: Bytes::from_static(rows), ..EncodedPage::default() };
    // A length beyond the end, a varint instead of a row, and a row of another message.
    for rows in [&[0x0a, 0x05][..], &[0x08, 0x01], &[0x0a, 0x02, 0x08, 0x01]] {
        assert!(page(rows).rows::<Job>().is_err(), "{rows:?}");
    }
    assert_eq!(page(&[]).rows::<Job>().unwrap(), []);
}
