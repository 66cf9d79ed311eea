//! The manifest as a tree of values with places, whichever syntax it was written in. It gives no key a meaning.

use super::source::Span;

/// Nesting beyond this is refused; a manifest needs five levels.
pub(crate) const MAX_DEPTH: usize = 32;

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) span: Span,
    pub(crate) value: Value,
}

/// What TOML, YAML and JSON have in common.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Integer(i128),
    Float(f64),
    Text(String),
    /// TOML alone has dates, and no key takes one.
    Date,
    List(Vec<Node>),
    /// In the order of the text, each key once.
    Table(Vec<Entry>),
}

/// A key and its value.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_span: Span,
    pub(crate) node: Node,
}

/// The text is not of its syntax, or holds more than a manifest may.
#[derive(Debug)]
pub(crate) struct SyntaxFault {
    pub(crate) span: Span,
    pub(crate) what: String,
}

/// Bounds what a tree may hold: repeated YAML aliases can name far more than the text's own bytes.
#[derive(Debug)]
pub(crate) struct Budget {
    left: usize,
}

impl Node {
    pub(crate) fn new(span: Span, value: Value) -> Self {
        Self { span, value }
    }

    /// Its type for messages, with an article.
    pub(crate) fn kind(&self) -> &'static str {
        match &self.value {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Integer(_) => "a whole number",
            Value::Float(_) => "a number with a fraction",
            Value::Text(_) => "a text",
            Value::Date => "a date",
            Value::List(_) => "a list",
            Value::Table(_) => "a table",
        }
    }

    /// What it takes from the budget, with everything below it.
    pub(crate) fn weight(&self) -> usize {
        let below = match &self.value {
            Value::Text(text) => text.len(),
            Value::List(nodes) => nodes.iter().map(Node::weight).sum(),
            Value::Table(entries) => entries.iter().map(|entry| entry.key.len() + entry.node.weight()).sum(),
            _ => 0,
        };
        below + size_of::<Entry>()
    }
}

impl SyntaxFault {
    pub(crate) fn new(span: Span, what: impl Into<String>) -> Self {
        Self { span, what: what.into() }
    }
}

impl Budget {
    /// Enough for a million videos' worth of keys.
    pub(crate) fn new() -> Self {
        Self { left: 256 << 20 }
    }

    pub(crate) fn spend(&mut self, weight: usize, span: Span) -> Result<(), SyntaxFault> {
        self.left = self
            .left
            .checked_sub(weight)
            .ok_or_else(|| SyntaxFault::new(span, "the manifest holds more values than a manifest may (256 MiB)"))?;
        Ok(())
    }
}

/// A table of entries in text order, refusing a key that stands twice.
pub(crate) fn table(entries: Vec<Entry>) -> Result<Value, SyntaxFault> {
    let mut keys = std::collections::HashSet::with_capacity(entries.len());
    match entries.iter().find(|entry| !keys.insert(entry.key.as_str())) {
        Some(twice) => Err(SyntaxFault::new(twice.key_span, "this key stands twice in one table")),
        None => Ok(Value::Table(entries)),
    }
}

/// A decimal number as YAML's core schema and JSON write them; `None` if the text is not one.
pub(crate) fn number(text: &str) -> Option<Value> {
    let digits = text.bytes().any(|byte| byte.is_ascii_digit());
    if !digits || !text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte)) {
        return None;
    }
    text.parse().map(Value::Integer).or_else(|_| text.parse().map(Value::Float)).ok()
}
