//! What a declaration must be in itself.

use super::Fault;
use crate::listing::{Filter, Listing, Order, Test};

pub(super) fn check(listing: &Listing) -> Result<(), Fault> {
    if listing.name.is_empty() || listing.from.is_empty() || listing.columns.is_empty() {
        return Err("name, from and columns must not be empty".to_owned().into());
    }
    if !(1..=100_000).contains(&listing.examined_rows) {
        return Err("examined_rows must be 1 to 100000".to_owned().into());
    }
    if listing.orders.is_empty() {
        return Err("it must have an order".to_owned().into());
    }
    for (place, Filter { name, .. }) in listing.filters.iter().enumerate() {
        if listing.filters.iter().take(place).any(|other| other.name == *name) {
            return Err(format!("two filters are called {name}").into());
        }
    }
    listing.orders.iter().try_for_each(|order| check_order(listing, order))
}

fn check_order(listing: &Listing, Order { name, keys, indexed }: &Order) -> Result<(), Fault> {
    if !(1..=4).contains(&keys.len()) {
        return Err(format!("order \"{name}\" must have one to four keys").into());
    }
    for filter in indexed.iter().copied().flatten() {
        let declared = listing.filters.iter().find(|declared| declared.name == *filter).map(|filter| &filter.test);
        match declared {
            Some(Test::Equal(_) | Test::AnyOf(_)) => {}
            Some(Test::Prefix(_) | Test::AtLeast(_) | Test::LessThan(_) | Test::Condition(_)) => {
                return Err(format!(
                    "order \"{name}\": only a filter that tests equality can be indexed, not {filter}"
                )
                .into());
            }
            None => return Err(format!("order \"{name}\": there is no filter {filter}").into()),
        }
    }
    Ok(())
}
