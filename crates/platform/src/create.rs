use std::collections::{HashMap, hash_map::Entry};

use crate::{Error, Resource};

/// How often rows are tried to be made while others make and delete the same, and there are never more of them.
const ATTEMPTS: usize = 8;

/// A row to be made, alone or with the others of a batch.
pub trait NewRow: Sized + Sync {
    /// The service that keeps such rows.
    type Store: Sync;
    /// A row that exists, with as much of it as is compared.
    type Existing: Send + Sync;

    /// Makes all of these in one statement, or none: a unique violation when one of them is there already. Two calls that
    /// have rows in common make them in the same order, so that neither waits for the other.
    fn insert(store: &Self::Store, workspace: &str, new: &[&Self]) -> impl Future<Output = sqlx::Result<()>> + Send;

    /// For each of these the row that is in its way, if there is one.
    fn find(
        store: &Self::Store,
        workspace: &str,
        new: &[Self],
    ) -> impl Future<Output = Result<Vec<Option<Self::Existing>>, Error>> + Send;

    /// Whether a row that is there is as this one was to be.
    fn is_as(&self, existing: &Self::Existing) -> bool;

    /// The row that is to be made; where another is in its way, by the field in which they are the same.
    fn resource(&self, existing: Option<&Self::Existing>) -> Resource;
}

/// What becomes of rows that are there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// None is made, and the first is [`Error::AlreadyExists`].
    Refused,
    /// Those that are as they were to be are passed over; the first that is not is [`Error::AlreadyExists`].
    PassedOver,
}

/// Makes rows, all or none. For each, the row that was there already and was passed over, if there was one.
///
/// # Errors
///
/// [`Error::AlreadyExists`] as [`Existing`] says; [`Error::Aborted`] when others make and delete the same all the while.
pub async fn create<N: NewRow>(
    store: &N::Store,
    workspace: &str,
    new: &[N],
    existing_is: Existing,
) -> Result<Vec<Option<N::Existing>>, Error> {
    let Some(first) = new.first() else { return Ok(Vec::new()) };
    let mut existing: Vec<Option<N::Existing>> = new.iter().map(|_| None).collect();
    let (mut attempts, mut most) = (ATTEMPTS, 0);
    while attempts > 0 {
        let missing = new.iter().zip(&existing).filter(|(_, existing)| existing.is_none());
        let missing: Vec<&N> = missing.map(|(new, _)| new).collect();
        if missing.is_empty() || try_insert(store, workspace, &missing).await? {
            return Ok(existing);
        }
        existing = N::find(store, workspace, new).await?;
        for (new, existing) in new.iter().zip(&existing) {
            match existing {
                Some(existing) if existing_is == Existing::Refused || !new.is_as(existing) => {
                    return Err(Error::AlreadyExists(new.resource(Some(existing))));
                }
                // What is not there was deleted since, or is yet to be made.
                Some(_) | None => {}
            }
        }
        // While others make more of them each time, this comes to an end by itself.
        let count = existing.iter().flatten().count();
        attempts = if count > most { ATTEMPTS } else { attempts - 1 };
        most = most.max(count);
    }
    Err(Error::Aborted(first.resource(None)))
}

/// For each new row, the first existing row that has the same key, by the first key for which there is one. Keys are given
/// as pairs: of a new row, and of an existing one.
pub fn matched<N, E: Clone>(new: &[N], existing: &[E], keys: &[KeyPair<N, E>]) -> Vec<Option<E>> {
    let by_key = keys.iter().map(|(of_new, of_existing)| {
        let existing: HashMap<&str, &E> = existing.iter().map(|existing| (of_existing(existing), existing)).collect();
        (of_new, existing)
    });
    let by_key: Vec<_> = by_key.collect();
    let find = |new| by_key.iter().find_map(|(of_new, existing)| existing.get(of_new(new)).copied());
    new.iter().map(|new| find(new).cloned()).collect()
}

/// A key of a new row and of an existing one, as text.
pub type KeyPair<N, E> = (fn(&N) -> &str, fn(&E) -> &str);

/// Passes over what repeats the id of an earlier one. `check` compares it with that one, and names it if it differs.
///
/// # Errors
///
/// [`Error::AlreadyExists`] for the first that differs.
pub fn without_repeated<N>(
    new: Vec<N>,
    id: impl Fn(&N) -> &str,
    check: impl Fn(&N, &N) -> Result<(), Resource>,
) -> Result<Vec<N>, Error> {
    let mut firsts: HashMap<&str, &N> = HashMap::with_capacity(new.len());
    let mut is_first = Vec::with_capacity(new.len());
    for new in &new {
        match firsts.entry(id(new)) {
            Entry::Vacant(place) => {
                place.insert(new);
                is_first.push(true);
            }
            Entry::Occupied(first) => {
                check(new, first.get()).map_err(Error::AlreadyExists)?;
                is_first.push(false);
            }
        }
    }
    Ok(new.into_iter().zip(is_first).filter(|(_, is_first)| *is_first).map(|(new, _)| new).collect())
}

/// Whether they were made: none is when one of them is there already.
async fn try_insert<N: NewRow>(store: &N::Store, workspace: &str, new: &[&N]) -> Result<bool, Error> {
    match N::insert(store, workspace, new).await {
        Ok(()) => Ok(true),
        Err(sqlx::Error::Database(error)) if error.is_unique_violation() => Ok(false),
        Err(error) => Err(error.into()),
    }
}
