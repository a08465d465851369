use crate::InvalidArgument;

/// Finds an `order_by` among the orders that a list has, by their names, of which there is at least one. Empty means the
/// first. Redundant spaces do not count, as [AIP-132](https://google.aip.dev/132#ordering) has it: `"create_time  desc , id"`
/// is `"create_time desc, id"`.
///
/// # Errors
///
/// A violation of the field `order_by` that names the orders there are.
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
