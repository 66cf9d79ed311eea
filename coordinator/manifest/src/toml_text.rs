//! Values as a manifest in TOML has them.

/// A text.
pub(crate) fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            letter if letter.is_control() => quoted.push_str(&format!("\\u{:04X}", u32::from(letter))),
            letter => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}

/// A text in which braces stand for themselves.
pub(crate) fn template(text: &str) -> String {
    quoted(&text.replace('{', "{{").replace('}', "}}"))
}

/// An inline table of the plain values among these.
pub(crate) fn table(values: &serde_json::Value) -> String {
    use serde_json::Value;
    let pairs = values.as_object().into_iter().flatten().filter_map(|(key, value)| match value {
        Value::String(text) => Some(format!("{key} = {}", quoted(text))),
        Value::Bool(_) | Value::Number(_) => Some(format!("{key} = {value}")),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    });
    format!("{{ {} }}", pairs.collect::<Vec<_>>().join(", "))
}
