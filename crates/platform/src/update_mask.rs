use prost_types::FieldMask;

use crate::Violations;

/// Which fields an update changes.
///
/// As [AIP-134](https://google.aip.dev/134) has it, a mask that is left out names the fields that are not empty, and `*`
/// names all of them.
#[derive(Debug)]
pub struct UpdateMask {
    paths: Vec<String>,
    mutable: Vec<&'static str>,
    names_any: bool,
}

impl UpdateMask {
    /// The mask of a request.
    pub fn new(mask: Option<FieldMask>) -> Self {
        Self { paths: mask.unwrap_or_default().paths, mutable: Vec::new(), names_any: false }
    }

    /// The value of a field that can be changed, if the mask names the field; `is_empty` tells whether a value is what a
    /// field has that is left out.
    pub fn take<T>(&mut self, field: &'static str, value: T, is_empty: impl FnOnce(&T) -> bool) -> Option<T> {
        self.mutable.push(field);
        let is_named = match self.paths.as_slice() {
            [] => !is_empty(&value),
            paths => paths.iter().any(|path| path == field || path == "*"),
        };
        self.names_any |= is_named;
        is_named.then_some(value)
    }

    /// Requires the mask, once all fields that can be changed are taken, to name some of them and no others.
    pub fn check(self, violations: &mut Violations) {
        let Self { paths, mutable, names_any } = self;
        let is_mutable = |path: &String| path == "*" || mutable.contains(&path.as_str());
        if !names_any || !paths.iter().all(is_mutable) {
            violations.add("update_mask", format!("must name fields to change, out of {}", mutable.join(", ")));
        }
    }
}
