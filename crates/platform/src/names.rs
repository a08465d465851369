use std::fmt;

use crate::field::EnumNames;

/// The number of an enum that is left out.
pub const UNSPECIFIED: i32 = 0;

/// The values of an enum that can be given, and what the service calls each.
#[derive(Debug)]
pub struct Names<E: 'static> {
    /// What the contract calls a value: the enum's `as_str_name`.
    pub in_contract: fn(&E) -> &'static str,
    /// Each value, and its name in the service, as in the rows that keep it.
    pub in_service: &'static [(E, &'static str)],
}

impl<E: Copy + Default + Into<i32>> Names<E> {
    /// The name of the value with this number, if it can be given.
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
