//! Texts with `{name}` in them. `{{` and `}}` are braces; `{name:04}` pads a whole number with zeros.

/// A text, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Name { name: String, zeros: usize },
}

/// The braces do not pair up, or hold no name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BadTemplate {
    pub(crate) what: String,
    /// The words at fault, as far as they can be found in the text.
    pub(crate) near: String,
}

/// Why a template has no text for these values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unexpandable {
    /// A name without a value.
    Unknown(String),
    /// `{name:04}` of something that is not a whole number.
    NotWhole(String),
    /// The text would be longer than allowed.
    TooLong,
}

/// Whether `name` can be written between braces.
pub(crate) fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    name.len() <= 40
        && bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

impl Template {
    pub(crate) fn parse(text: &str) -> Result<Self, BadTemplate> {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            plain.push_str(&rest[..at]);
            let brace = &rest[at..at + 1];
            let after = &rest[at + 1..];
            if let Some(after) = after.strip_prefix(brace) {
                plain.push_str(brace);
                rest = after;
                continue;
            }
            if brace == "}" {
                return Err(BadTemplate { what: "a `}` without its `{`".into(), near: "}".into() });
            }
            let Some(end) = after.find(['{', '}']).filter(|&end| after[end..].starts_with('}')) else {
                let near = rest[at..].chars().take(20).collect();
                return Err(BadTemplate { what: "a `{` without its `}`".into(), near });
            };
            if !plain.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut plain)));
            }
            parts.push(variable(&after[..end])?);
            rest = &after[end + 1..];
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Ok(Self { parts })
    }

    /// The names in it, in order, repeated ones included.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Name { name, .. } => Some(name.as_str()),
            Part::Text(_) => None,
        })
    }

    /// The text for these values, of at most `longest` bytes.
    pub(crate) fn expand<'v>(
        &self,
        value: impl Fn(&str) -> Option<&'v str>,
        longest: usize,
    ) -> Result<String, Unexpandable> {
        let mut text = String::new();
        for part in &self.parts {
            let (piece, zeros) = match part {
                Part::Text(piece) => (piece.as_str(), 0),
                Part::Name { name, zeros } => {
                    let piece = value(name).ok_or_else(|| Unexpandable::Unknown(name.clone()))?;
                    if *zeros > 0 && !piece.bytes().all(|byte| byte.is_ascii_digit()) {
                        return Err(Unexpandable::NotWhole(name.clone()));
                    }
                    (piece, zeros.saturating_sub(piece.len()))
                }
            };
            if text.len() + zeros + piece.len() > longest {
                return Err(Unexpandable::TooLong);
            }
            text.extend(std::iter::repeat_n('0', zeros));
            text.push_str(piece);
        }
        Ok(text)
    }
}

fn variable(inside: &str) -> Result<Part, BadTemplate> {
    let bad = |what: String| BadTemplate { what, near: format!("{{{inside}}}") };
    let (name, zeros) = match inside.split_once(':') {
        None => (inside, 0),
        Some((name, digits)) => {
            let zeros = digits.strip_prefix('0').and_then(|width| width.parse::<usize>().ok());
            let zeros = zeros.filter(|width| (1..=20).contains(width));
            (name, zeros.ok_or_else(|| bad("after the colon stands a width such as `04`, at most `020`".into()))?)
        }
    };
    if !is_name(name) {
        return Err(bad("between braces stands a name of letters, digits, `_` and `-`".into()));
    }
    Ok(Part::Name { name: name.to_owned(), zeros })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expand(text: &str) -> Result<String, Unexpandable> {
        let value = |name: &str| match name {
            "colour" => Some("red {x}"),
            "index" => Some("7"),
            "big" => Some("123456"),
            "low-key" => Some("l"),
            _ => None,
        };
        Template::parse(text).unwrap().expand(value, 100)
    }

    #[test]
    fn texts_that_expand() {
        for (template, want) in [
            ("", ""),
            ("plain", "plain"),
            ("a {colour} ball", "a red {x} ball"),
            ("{index:04}-{big:04}", "0007-123456"),
            ("{{{index}}}", "{7}"),
            ("{{index}}", "{index}"),
            ("é{low-key}ü", "élü"),
            ("{index}{index}", "77"),
        ] {
            assert_eq!(expand(template).as_deref(), Ok(want), "{template}");
        }
    }

    #[test]
    fn values_that_do_not() {
        assert_eq!(expand("{nope}"), Err(Unexpandable::Unknown("nope".into())));
        assert_eq!(expand("{colour:02}"), Err(Unexpandable::NotWhole("colour".into())));
        assert_eq!(expand(&"{big}".repeat(17)), Err(Unexpandable::TooLong));
    }

    #[test]
    fn braces_that_do_not_pair() {
        for (template, near) in [
            ("a } b", "}"),
            ("a {b", "{b"),
            ("{a{b}", "{a{b}"),
            ("{}", "{}"),
            ("{a b}", "{a b}"),
            ("{red|blue}", "{red|blue}"),
            ("{index:4}", "{index:4}"),
            ("{index:021}", "{index:021}"),
            ("{index:0}", "{index:0}"),
            ("{index:}", "{index:}"),
            ("{{{a}", "{a}"),
        ] {
            match Template::parse(template) {
                Err(bad) => assert_eq!(bad.near, near, "{template}"),
                Ok(parsed) => assert_eq!(template, "{{{a}", "{parsed:?}"),
            }
        }
    }

    #[test]
    fn names_are_listed() {
        let template = Template::parse("{a} {{b}} {c:02}{a}").unwrap();
        assert_eq!(template.names().collect::<Vec<_>>(), ["a", "c", "a"]);
    }
}
