use crate::value::Value;

/// The least text that sorts after every text with this prefix, in the collation `"C"`, which sorts by code point.
/// `None` if no such text exists.
pub(crate) fn successor(prefix: &Value) -> Option<Value> {
    let end = successor_of(prefix.as_text()?)?;
    Some(Value { bytes: Some(end.into_bytes()), is_text: true })
}

fn successor_of(prefix: &str) -> Option<String> {
    let mut chars: Vec<char> = prefix.chars().collect();
    while let Some(last) = chars.pop() {
        // A range of chars skips the surrogates.
        if let Some(next) = (last..=char::MAX).nth(1) {
            chars.push(next);
            return Some(chars.into_iter().collect());
        }
    }
    None
}
