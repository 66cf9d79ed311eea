//! A manifest written anew as JSON, in the order of its text: to be carried where its file is not.

use super::front;
use super::node::{Entry, Node, Value};
use super::read::Manifest;
use super::source::Span;

impl Manifest {
    /// The manifest as JSON, with the name that its job has. Braces are never two together, so that programs which replace
    /// `{{name}}` in texts leave it as it is. `None`: it can be read no more.
    pub fn to_json(&self) -> Option<String> {
        let mut root = front::parse(&self.source).ok()?;
        if let Value::Table(entries) = &mut root.value
            && let Some(Node { value: Value::Table(job), .. }) =
                entries.iter_mut().find(|entry| entry.key == "job").map(|entry| &mut entry.node)
            && !job.iter().any(|entry| entry.key == "name")
        {
            let span = Span::new(0..0);
            let node = Node::new(span, Value::Text(self.name.clone()));
            job.insert(0, Entry { key: "name".to_owned(), key_span: span, node });
        }
        let mut text = String::new();
        write(&root, 0, &mut text);
        text.push('\n');
        Some(text)
    }
}

fn write(node: &Node, depth: usize, out: &mut String) {
    match &node.value {
        Value::Null => out.push_str("null"),
        Value::Bool(yes) => out.push_str(if *yes { "true" } else { "false" }),
        Value::Integer(number) => out.push_str(&number.to_string()),
        Value::Float(number) if number.is_finite() => out.push_str(&format!("{number:?}")),
        // JSON has no word for it; as a text it stands in prompts as it did.
        Value::Float(number) => out.push_str(&quoted(&number.to_string())),
        Value::Text(text) => out.push_str(&quoted(text)),
        Value::Date => out.push_str("null"),
        Value::List(items) => lines(items, ['[', ']'], depth, out, |item, out| write(item, depth + 1, out)),
        Value::Table(entries) => lines(entries, ['{', '}'], depth, out, |entry, out| {
            out.push_str(&quoted(&entry.key));
            out.push_str(": ");
            write(&entry.node, depth + 1, out);
        }),
    }
}

/// Each on a line of its own.
fn lines<T>(of: &[T], around: [char; 2], depth: usize, out: &mut String, write: impl Fn(&T, &mut String)) {
    out.push(around[0]);
    for (place, one) in of.iter().enumerate() {
        out.push_str(if place == 0 { "\n" } else { ",\n" });
        out.push_str(&" ".repeat(depth + 1));
        write(one, out);
    }
    out.push('\n');
    out.push_str(&" ".repeat(depth));
    out.push(around[1]);
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string().replace("{{", "{\\u007b").replace("}}", "}\\u007d")
}

#[cfg(test)]
mod tests {
    use super::super::source::Syntax;
    use super::*;

    #[test]
    fn what_is_written_asks_for_the_same_videos() {
        let text = "[job]\nmodel = 'm'\n[defaults]\nfps = 12.5\nnegative = 'é \"x\" {{b}}'\n[[video]]\n\
            prompt = 'a {n} {{{{braces}}}} {z}'\nzip = { z = [1e9, 2.0], n = ['b', 'a'] }\nsweep = { seed = [3, 1] }\n";
        let read = |syntax, text: &str| Manifest::parse("my night.toml", syntax, text, None).unwrap();
        let manifest = read(Syntax::Toml, text);
        let json = manifest.to_json().unwrap();
        assert!(!json.contains("{{") && !json.contains("}}"), "{json}");
        let again = Manifest::parse("other.json", Syntax::Json, &json, None).unwrap();
        assert_eq!((&again.name, again.check(None).unwrap()), (&manifest.name, manifest.check(None).unwrap()));
        assert_eq!(again.to_json().unwrap(), json);
    }
}
