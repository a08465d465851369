use std::path::Path;

use pagination_build::configure;
use tempfile::TempDir;

use crate::{Generated, PAGINATION};

/// The error as Cargo prints it, without the folder's name.
fn shown(generated: &Generated) -> String {
    let text = format!("{:?}", generated.result.as_ref().unwrap_err());
    text.replace(generated.folder.path().to_str().unwrap(), "FOLDER")
}

#[test]
fn a_proto_that_does_not_exist_is_named() {
    let folder = TempDir::new().unwrap();
    let error = configure().out_dir(folder.path()).compile(&["none.proto"], &[PAGINATION]).unwrap_err();
    insta::assert_snapshot!(format!("{error:?}"), @"file 'none.proto' is not in any include path");
}

#[test]
fn the_error_without_pagination_names_the_dependency() {
    let folder = TempDir::new().unwrap();
    let error = configure().out_dir(folder.path()).compile(&["test.proto"], &[Path::new("src")]).unwrap_err();
    insta::assert_snapshot!(format!("{error:?}"), @"pagination/v1/pagination.proto is in none of the include folders, and DEP_PAGINATION_INCLUDE is not set: add `pagination` to [dependencies], and Cargo sets it for this build script");
}

#[test]
fn a_mistake_in_a_proto_is_shown_with_its_place() {
    insta::assert_snapshot!(shown(&Generated::from("message Row { Nothing nothing = 1; }")), @"test.proto:2:15: name 'Nothing' is not defined");
    insta::assert_snapshot!(shown(&Generated::from("message Row {")), @"test.proto: expected a message field, oneof, reserved range, enum, message, option or '}', but reached end of file");
    insta::assert_snapshot!(shown(&Generated::from("import \"none.proto\";")), @"test.proto:2:1: import 'none.proto' not found");
}

#[test]
fn a_module_that_is_relative_is_refused() {
    insta::assert_snapshot!(shown(&Generated::with("", configure().pagination_module("super::pages"))), @"the module of pagination.v1 must begin with `::` or `crate::`, and `super::pages` does not");
}

#[test]
fn a_folder_that_does_not_exist_is_named() {
    let error = configure().out_dir("/none").compile(&["pagination/v1/pagination.proto"], &[PAGINATION]).unwrap_err();
    insta::assert_snapshot!(format!("{error:?}"), @"/none/descriptors.bin cannot be written: No such file or directory (os error 2)");
}

#[test]
fn a_type_that_is_mapped_twice_is_named() {
    let builder = configure().tonic(|tonic| tonic.extern_path(".pagination.v1", "::elsewhere"));
    insta::assert_snapshot!(shown(&Generated::with("message Row {}", builder)), @"no code was generated into FOLDER: duplicate extern Protobuf path: .pagination.v1");
}
