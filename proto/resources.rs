//! The options of `resources/v1/resources.proto`.

use prost_reflect::FieldDescriptor;

/// Whether the service sets this field, and creating the resource does not read it.
pub fn is_output_only(field: &FieldDescriptor) -> bool {
    let extension = field.parent_pool().get_extension_by_name("resources.v1.output_only");
    extension.is_some_and(|extension| field.options().get_extension(&extension).as_bool() == Some(true))
}
