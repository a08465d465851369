//! Changes tonic's settings, so that this is tested too.

fn main() -> Result<(), pagination_build::Error> {
    pagination_build::configure()
        .tonic(|tonic| tonic.type_attribute("people.v1.Reader", "#[derive(PartialOrd)]"))
        .compile(&["library/type/v1/library.proto", "people/v1/people.proto"], &["proto"])
}
