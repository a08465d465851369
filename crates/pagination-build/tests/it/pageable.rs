use pagination_build::configure;

use crate::Generated;

/// A service whose one method, `List`, returns `Response`.
const SERVICE: &str = "
    service Service { rpc List(Request) returns (Response); }
    message Request { pagination.v1.PageRequest page = 1; }
    message Row { string id = 1; }
";
const PAGE: &str = "message Response { repeated Row rows = 1; pagination.v1.PageResponse page = 2; }";

/// The return type of the server's `List`.
fn list_of(response: &str) -> String {
    let returned = Generated::from(&format!("{SERVICE}{response}")).returned();
    returned.trim().strip_prefix("list -> ").unwrap().to_owned()
}

#[test]
fn field_numbers_and_types_make_a_response_a_page() {
    let page = "::pagination::proto::EncodedPage";
    assert_eq!(list_of(PAGE), page);
    // Names, order and presence of fields do not matter.
    assert_eq!(list_of("message Response { pagination.v1.PageResponse p = 2; repeated Row r = 1; }"), page);
    assert_eq!(list_of("message Response { repeated Row rows = 1; optional pagination.v1.PageResponse p = 2; }"), page);
}

#[test]
fn no_other_response_is_a_page() {
    for fields in [
        "repeated Row rows = 1; pagination.v1.PageResponse page = 2; int32 third = 3;",
        "repeated Row rows = 1; pagination.v1.PageResponse page = 3;",
        "repeated Row rows = 3; pagination.v1.PageResponse page = 2;",
        "repeated Row rows = 2; pagination.v1.PageResponse page = 1;",
        "repeated string rows = 1; pagination.v1.PageResponse page = 2;",
        "map<string, Row> rows = 1; pagination.v1.PageResponse page = 2;",
        "Row row = 1; pagination.v1.PageResponse page = 2;",
        "repeated Row rows = 1; repeated pagination.v1.PageResponse page = 2;",
        "repeated Row rows = 1; oneof one { pagination.v1.PageResponse page = 2; }",
        "repeated Row rows = 1; pagination.v1.PageRequest page = 2;",
        "repeated Row rows = 1; string page = 2;",
        "repeated Row rows = 1;",
        "pagination.v1.PageResponse page = 2;",
        "",
    ] {
        assert_eq!(list_of(&format!("message Response {{ {fields} }}")), "super::Response", "{fields}");
    }
}

#[test]
fn clients_and_methods_that_share_a_response() {
    let generated = Generated::from(&format!(
        "{PAGE}
        service Service {{
            rpc List(Request) returns (Response);
            rpc Search(Row) returns (Response);
            rpc Watch(Request) returns (stream Response);
        }}
        message Request {{}}
        message Row {{}}"
    ));
    insta::assert_snapshot!(generated.returned(), @"
    list -> ::pagination::proto::EncodedPage
    search -> ::pagination::proto::EncodedPage
    watch -> Self::WatchStream
    ");
    let code = generated.code();
    let (client, server) = code.split_once("pub mod service_server").unwrap();
    assert!(!client.contains("EncodedPage"));
    assert!(server.contains("Item = std::result::Result<super::Response, tonic::Status>"));
}

#[test]
fn the_module_is_the_one_that_was_named() {
    let proto = format!("{SERVICE}{PAGE}");
    let generated = Generated::with(&proto, configure().pagination_module("crate::shared::pages"));
    insta::assert_snapshot!(generated.returned(), @"list -> crate::shared::pages::EncodedPage");
    assert!(generated.code().contains("Option<crate::shared::pages::PageRequest>"));
}

#[test]
fn a_side_that_is_turned_off_is_not_generated() {
    let proto = format!("{SERVICE}{PAGE}");
    let code = Generated::with(&proto, configure().tonic(|tonic| tonic.build_client(false))).code();
    assert!(!code.contains("mod service_client") && code.contains("mod service_server"));
    let code = Generated::with(&proto, configure().tonic(|tonic| tonic.build_server(false))).code();
    assert!(code.contains("mod service_client") && !code.contains("mod service_server"));
}

#[test]
fn connect_is_generated_when_asked_for() {
    let proto = format!("{SERVICE}{PAGE}");
    let connect = "pub async fn connect";
    assert!(!Generated::from(&proto).code().contains(connect));
    assert!(Generated::with(&proto, configure().tonic(|tonic| tonic.build_transport(true))).code().contains(connect));
}

#[test]
fn servers_have_the_codec_that_was_named_and_clients_keep_theirs() {
    let proto = format!("{SERVICE}{PAGE}");
    let code = Generated::with(&proto, configure().server_codec("crate::Checked")).code();
    let (client, server) = code.split_once("pub trait ").unwrap();
    assert!(client.contains("tonic_prost::ProstCodec::default()") && !client.contains("crate::Checked"));
    assert!(server.contains("crate::Checked::default()") && !server.contains("ProstCodec"));
}

#[test]
fn a_list_is_compiled_under_the_conditions_of_its_client() {
    let condition = "#[cfg(feature = \"client\")]";
    let builder = configure()
        .tonic(|tonic| tonic.client_mod_attribute(".", condition).client_mod_attribute(".", "#[allow(missing_docs)]"));
    let code = Generated::with(&format!("{SERVICE}{PAGE}"), builder).code();
    let (before, _) = code.split_once("impl<T> ::pagination::proto::ListClient<Request>").unwrap();
    assert!(before.ends_with(&format!("}}\n{condition}\n")));
}
