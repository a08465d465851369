//! The values of labels, of which there are only so many.

use std::{
    cmp::Reverse,
    collections::{HashMap, HashSet},
};

use quire_proto::jobs::v1::JobStatus;

/// How many operation types have series of their own.
pub(super) const MAX_OPERATION_TYPES: usize = 50;
/// How many policy types have series of their own.
pub(super) const MAX_POLICY_TYPES: usize = 10;
/// The label of all others.
pub(super) const OTHER: &str = "other";

/// The names that are labels: the most frequent ones, and the empty one.
pub(super) struct Labels(HashSet<String>);

impl Labels {
    /// At most `most` names: those with the largest sums of jobs, and of equal ones the first by name.
    pub(super) fn most_frequent<'a>(counts: impl Iterator<Item = (&'a str, f64)>, most: usize) -> Self {
        let mut sums: HashMap<&str, f64> = HashMap::new();
        for (name, jobs) in counts.filter(|(name, _)| ![OTHER, ""].contains(name)) {
            *sums.entry(name).or_default() += jobs;
        }
        let mut sums: Vec<_> = sums.into_iter().map(|(name, jobs)| (Reverse(jobs as u64), name)).collect();
        sums.sort_unstable();
        Self(sums.into_iter().take(most).map(|(_, name)| name.to_owned()).collect())
    }

    /// The label of a name.
    pub(super) fn of(&self, name: String) -> String {
        if name.is_empty() || self.0.contains(&name) { name } else { OTHER.to_owned() }
    }
}

/// The label of a status: its name in lower case, without its prefix. One that this release does not know is unspecified.
pub(super) fn status(status: JobStatus) -> String {
    let name = status.as_str_name();
    name.strip_prefix("JOB_STATUS_").unwrap_or(name).to_lowercase()
}
