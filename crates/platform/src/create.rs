use std::collections::{HashMap, hash_map::Entry};

use crate::{Error, Resource};

/// How many consecutive attempts may find no more existing rows than before, until [`create`] gives up.
const ATTEMPTS: usize = 8;

/// A row to insert, alone or as part of a batch.
pub trait NewRow: Sized + Sync {
    /// The service that stores these rows.
    type Store: Sync;
    /// An existing row, with the columns that [`is_as`](Self::is_as) compares.
    type Existing: Send + Sync;

    /// Inserts all rows in one statement, or none: if a row exists, the statement fails with a unique violation. Rows
    /// are inserted in the order of a key, so that two calls with the same rows do not deadlock.
    fn insert(store: &Self::Store, workspace: &str, new: &[&Self]) -> impl Future<Output = sqlx::Result<()>> + Send;

    /// Finds, for each new row, the existing row that conflicts with it.
    fn find(
        store: &Self::Store,
        workspace: &str,
        new: &[Self],
    ) -> impl Future<Output = Result<Vec<Option<Self::Existing>>, Error>> + Send;

    /// The values of this row that are unique in a workspace, always in the same order.
    fn keys(&self) -> Vec<&str>;

    /// What [`find`](Self::find) returns for this row after it was inserted.
    fn as_existing(&self) -> Self::Existing;

    /// Whether the existing row is identical to this one, as far as requests can tell.
    fn is_as(&self, existing: &Self::Existing) -> bool;

    /// This row, as errors name it: by the field that conflicts with the existing row, if there is one.
    fn resource(&self, existing: Option<&Self::Existing>) -> Resource;
}

/// What [`create`] does when rows exist already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// Inserts nothing. The first existing row is [`Error::AlreadyExists`].
    Refused,
    /// Skips rows that are identical to an existing row or to an earlier one. The first row that differs is [`Error::AlreadyExists`].
    PassedOver,
}

/// Inserts rows, all or none. Returns, for each new row, the existing row because of which it was skipped, or the earlier
/// row that it repeats.
///
/// # Errors
///
/// [`Error::AlreadyExists`] as [`Existing`] says; [`Error::Aborted`] when other calls keep inserting and deleting the
/// same rows.
pub async fn create<N: NewRow>(
    store: &N::Store,
    workspace: &str,
    new: &[N],
    existing_is: Existing,
) -> Result<Vec<Option<N::Existing>>, Error> {
    let Some(first) = new.first() else { return Ok(Vec::new()) };
    let firsts = if existing_is == Existing::PassedOver { firsts(new)? } else { vec![None; new.len()] };
    let mut existing: Vec<Option<N::Existing>> = new.iter().map(|_| None).collect();
    let (mut attempts, mut most) = (ATTEMPTS, 0);
    while attempts > 0 {
        let missing = new.iter().zip(&firsts).zip(&existing);
        let missing = missing.filter(|((_, first), existing)| first.is_none() && existing.is_none());
        let missing: Vec<&N> = missing.map(|((new, _), _)| new).collect();
        if missing.is_empty() || try_insert(store, workspace, &missing).await? {
            let skipped = existing.into_iter().zip(firsts);
            return Ok(skipped.map(|(existing, first)| existing.or_else(|| Some(first?.as_existing()))).collect());
        }
        existing = N::find(store, workspace, new).await?;
        for (new, existing) in new.iter().zip(&existing) {
            match existing {
                Some(existing) if existing_is == Existing::Refused || !new.is_as(existing) => {
                    return Err(Error::AlreadyExists(new.resource(Some(existing))));
                }
                // The row was deleted since the attempt, or does not exist yet.
                Some(_) | None => {}
            }
        }
        // More existing rows than before are progress: at some point all of them exist.
        let count = existing.iter().flatten().count();
        attempts = if count > most { ATTEMPTS } else { attempts - 1 };
        most = most.max(count);
    }
    Err(Error::Aborted(first.resource(None)))
}

/// Finds, for each row, the earlier row that it repeats.
///
/// # Errors
///
/// [`Error::AlreadyExists`] for the first row that has a key of an earlier row and differs from it.
fn firsts<N: NewRow>(new: &[N]) -> Result<Vec<Option<&N>>, Error> {
    let mut by_key: HashMap<(usize, &str), &N> = HashMap::new();
    let mut firsts = Vec::with_capacity(new.len());
    for new in new {
        let mut first = None;
        for key in new.keys().into_iter().enumerate() {
            let earlier = *by_key.entry(key).or_insert(new);
            if std::ptr::eq(earlier, new) {
                continue;
            }
            let existing = earlier.as_existing();
            if !new.is_as(&existing) {
                return Err(Error::AlreadyExists(new.resource(Some(&existing))));
            }
            first = Some(earlier);
        }
        firsts.push(first);
    }
    Ok(firsts)
}

/// Finds, for each new row, the existing row with the same key. The keys are tried in order, and the first match
/// counts.
pub fn matched<N, E: Clone>(new: &[N], existing: &[E], keys: &[KeyPair<N, E>]) -> Vec<Option<E>> {
    let by_key = keys.iter().map(|(of_new, of_existing)| {
        let existing: HashMap<&str, &E> = existing.iter().map(|existing| (of_existing(existing), existing)).collect();
        (of_new, existing)
    });
    let by_key: Vec<_> = by_key.collect();
    let find = |new| by_key.iter().find_map(|(of_new, existing)| existing.get(of_new(new)).copied());
    new.iter().map(|new| find(new).cloned()).collect()
}

/// Two functions that return the same key as text: of a new row, and of an existing row.
pub type KeyPair<N, E> = (fn(&N) -> &str, fn(&E) -> &str);

/// Drops rows that repeat the id of an earlier row. `check` compares such a row with the earlier one; if they differ,
/// it returns the row as the error names it.
///
/// # Errors
///
/// [`Error::AlreadyExists`] for the first row that differs.
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

/// Returns whether the rows were inserted. If any of them exists, none is.
async fn try_insert<N: NewRow>(store: &N::Store, workspace: &str, new: &[&N]) -> Result<bool, Error> {
    match N::insert(store, workspace, new).await {
        Ok(()) => Ok(true),
        Err(sqlx::Error::Database(error)) if error.is_unique_violation() => Ok(false),
        Err(error) => Err(error.into()),
    }
}
