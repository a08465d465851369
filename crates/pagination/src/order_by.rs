use crate::InvalidArgument;

/// Finds an `order_by` among the names of a list's orders, and returns its index. An empty `order_by` means the first
/// order; `names` must not be empty. Redundant spaces are ignored, as in
/// [AIP-132](https://google.aip.dev/132#ordering): `"create_time  desc , id"` is `"create_time desc, id"`.
///
/// # Errors
///
/// A violation of the field `order_by` that lists the names of the orders.
pub fn find_order<'a>(order_by: &str, names: impl Iterator<Item = &'a str> + Clone) -> Result<usize, InvalidArgument> {
    let wanted = canonical(order_by);
    if wanted.is_empty() {
        return Ok(0);
    }
    names.clone().position(|name| name == wanted).ok_or_else(|| {
        let names: Vec<_> = names.map(|name| format!("\"{name}\"")).collect();
        InvalidArgument::field("order_by", format!("must be one of {}", names.join(", ")))
    })
}

fn canonical(order_by: &str) -> String {
    let keys = order_by.split(',').map(|key| {
        let words: Vec<_> = key.split(' ').filter(|word| !word.is_empty()).collect();
        words.join(" ")
    });
    keys.collect::<Vec<_>>().join(", ")
}
