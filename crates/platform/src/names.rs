use std::fmt;

use crate::field::EnumNames;

/// The number of an omitted enum value.
pub const UNSPECIFIED: i32 = 0;

/// The valid values of an enum, and the service's name for each.
#[derive(Debug)]
pub struct Names<E: 'static> {
    /// The name of a value in the contract: the enum's `as_str_name`.
    pub in_contract: fn(&E) -> &'static str,
    /// Each value, and its name in the service's rows.
    pub in_service: &'static [(E, &'static str)],
}

impl<E: Copy + Default + Into<i32>> Names<E> {
    /// The name of the value with this number, if it is valid.
    pub fn name(&self, number: i32) -> Option<&'static str> {
        self.in_service.iter().find(|(value, _)| (*value).into() == number).map(|(_, name)| *name)
    }

    /// The value with this name.
    pub fn value(&self, name: &str) -> E {
        self.in_service.iter().find(|(_, other)| *other == name).map(|(value, _)| *value).unwrap_or_default()
    }
}

impl<E: fmt::Debug + Sync> EnumNames for Names<E> {
    fn in_service(&self) -> Vec<&'static str> {
        self.in_service.iter().map(|(_, name)| *name).collect()
    }

    fn in_contract(&self) -> Vec<&'static str> {
        self.in_service.iter().map(|(value, _)| (self.in_contract)(value)).collect()
    }
}
