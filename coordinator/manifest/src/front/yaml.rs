//! YAML 1.2 (core schema) → tree, with the merge keys (`<<`) that most readers add to it. Aliases are resolved within
//! the budget; tags beyond the core schema are refused.

use std::collections::HashMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span as Marks, Tag};

use super::super::node::{self, Budget, Entry, MAX_DEPTH, Node, SyntaxFault, Value};
use super::super::source::Span;

pub(super) fn parse(text: &str) -> Result<Node, SyntaxFault> {
    let mut tree = Tree::new(text);
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        let (event, marks) = event.map_err(|error| {
            let at = tree.bytes.at(error.marker());
            SyntaxFault::new(Span::new(at..at), error.info())
        })?;
        tree.take(event, marks)?;
    }
    tree.root.ok_or_else(|| SyntaxFault::new(Span::default(), "the file is empty"))
}

/// The tree as far as it is built, and the collections that are still open.
struct Tree<'t> {
    bytes: ByteOffsets<'t>,
    budget: Budget,
    open: Vec<Open>,
    anchored: HashMap<usize, Node>,
    root: Option<Node>,
}

struct Open {
    span: Span,
    anchor: usize,
    items: Items,
}

enum Items {
    List(Vec<Node>),
    /// Finished entries, and the key that waits for its value.
    Table(Vec<Entry>, Option<(String, Span)>),
}

impl<'t> Tree<'t> {
    fn new(text: &'t str) -> Self {
        let (bytes, budget) = (ByteOffsets::new(text), Budget::new());
        Self { bytes, budget, open: Vec::new(), anchored: HashMap::new(), root: None }
    }

    fn take(&mut self, event: Event<'_>, marks: Marks) -> Result<(), SyntaxFault> {
        let span = Span::new(self.bytes.at(&marks.start)..self.bytes.at(&marks.end));
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.budget.spend(text.len() + size_of::<Entry>(), span)?;
                if let Some(Open { items: Items::Table(_, key @ None), .. }) = self.open.last_mut() {
                    *key = Some((text.into_owned(), span));
                    return Ok(());
                }
                let value = scalar(&text, style, tag.as_deref(), span)?;
                self.close(Node::new(span, value), anchor)
            }
            Event::SequenceStart(anchor, tag) => self.open(span, anchor, tag.as_deref(), Items::List(Vec::new())),
            Event::MappingStart(anchor, tag) => self.open(span, anchor, tag.as_deref(), Items::Table(Vec::new(), None)),
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(Open { span: start, anchor, items }) => {
                    let value = match items {
                        Items::List(nodes) => Value::List(nodes),
                        Items::Table(entries, _) => self.merged(node::table(entries)?)?,
                    };
                    self.close(Node::new(Span { start: start.start, end: span.end }, value), anchor)
                }
                None => Err(SyntaxFault::new(span, "an end without a start")),
            },
            Event::Alias(anchor) => {
                let named = self.anchored.get(&anchor);
                let named = named.ok_or_else(|| SyntaxFault::new(span, "this alias names what it stands in"))?;
                self.budget.spend(named.weight(), span)?;
                let value = named.value.clone();
                self.close(Node::new(span, value), 0)
            }
            Event::DocumentStart(_) if self.root.is_some() => {
                Err(SyntaxFault::new(span, "a manifest is one document; this starts a second one"))
            }
            _ => Ok(()),
        }
    }

    fn open(&mut self, span: Span, anchor: usize, tag: Option<&Tag>, items: Items) -> Result<(), SyntaxFault> {
        self.budget.spend(size_of::<Entry>(), span)?;
        if let Some(tag) = tag.filter(|tag| !tag.is_yaml_core_schema()) {
            return Err(unknown_tag(tag, span));
        }
        if self.open.len() >= MAX_DEPTH {
            return Err(SyntaxFault::new(span, "nested deeper than a manifest may be"));
        }
        if let Some(Open { items: Items::Table(_, None), .. }) = self.open.last() {
            return Err(SyntaxFault::new(span, "a key is a text, not a list or table"));
        }
        self.open.push(Open { span, anchor, items });
        Ok(())
    }

    /// A table with what its merge key brings in: whatever the table does not say itself; of several, the first has it.
    fn merged(&self, table: Value) -> Result<Value, SyntaxFault> {
        // In quotes it is a key like any other.
        let is_merge =
            |entry: &Entry| entry.key == "<<" && self.bytes.text[entry.key_span.start as usize..].starts_with("<<");
        let Value::Table(mut entries) = table else { return Ok(table) };
        let Some(at) = entries.iter().position(is_merge) else { return Ok(Value::Table(entries)) };
        let merge = entries.remove(at);
        let tables = match merge.node.value {
            Value::List(tables) => tables,
            _ => vec![merge.node],
        };
        let mut brought: Vec<Entry> = Vec::new();
        for Node { span, value } in tables {
            let Value::Table(others) = value else {
                return Err(SyntaxFault::new(span, "`<<` takes a table, or a list of tables, mostly by an alias"));
            };
            for other in others {
                if !entries.iter().chain(&brought).any(|known| known.key == other.key) {
                    brought.push(other);
                }
            }
        }
        entries.splice(at..at, brought);
        Ok(Value::Table(entries))
    }

    /// Puts a finished node where it belongs. Anchors count from 1.
    fn close(&mut self, node: Node, anchor: usize) -> Result<(), SyntaxFault> {
        if anchor > 0 {
            self.budget.spend(node.weight(), node.span)?;
            self.anchored.insert(anchor, node.clone());
        }
        match self.open.last_mut().map(|open| &mut open.items) {
            None => self.root = Some(node),
            Some(Items::List(nodes)) => nodes.push(node),
            Some(Items::Table(entries, key)) => {
                let (key, key_span) =
                    key.take().ok_or_else(|| SyntaxFault::new(node.span, "a key is a text, not an alias"))?;
                entries.push(Entry { key, key_span, node });
            }
        }
        Ok(())
    }
}

fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>, span: Span) -> Result<Value, SyntaxFault> {
    match tag {
        Some(tag) if tag.is_yaml_core_schema() && tag.suffix == "str" => return Ok(Value::Text(text.to_owned())),
        Some(tag) if !tag.is_yaml_core_schema() => return Err(unknown_tag(tag, span)),
        _ => {}
    }
    if style != ScalarStyle::Plain {
        return Ok(Value::Text(text.to_owned()));
    }
    let radix = |digits: &str, radix| i128::from_str_radix(digits, radix).ok().map(Value::Integer);
    Ok(match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        ".nan" | ".NaN" | ".NAN" => Value::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => Value::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => Value::Float(f64::NEG_INFINITY),
        _ => text
            .strip_prefix("0x")
            .and_then(|digits| radix(digits, 16))
            .or_else(|| text.strip_prefix("0o").and_then(|digits| radix(digits, 8)))
            .or_else(|| node::number(text))
            .unwrap_or_else(|| Value::Text(text.to_owned())),
    })
}

fn unknown_tag(tag: &Tag, span: Span) -> SyntaxFault {
    SyntaxFault::new(
        span,
        format!("the tag {} has no meaning in a manifest", super::super::fault::quote(&tag.to_string())),
    )
}

/// The parser counts characters; places are bytes. One entry per `STRIDE` characters keeps long lines cheap.
struct ByteOffsets<'t> {
    text: &'t str,
    every: Vec<usize>,
}

impl<'t> ByteOffsets<'t> {
    const STRIDE: usize = 64;

    fn new(text: &'t str) -> Self {
        let every = text.char_indices().step_by(Self::STRIDE).map(|(byte, _)| byte).collect();
        Self { text, every }
    }

    fn at(&self, mark: &Marker) -> usize {
        let Some(&start) = self.every.get(mark.index() / Self::STRIDE) else { return self.text.len() };
        let rest = self.text[start..].char_indices().nth(mark.index() % Self::STRIDE);
        rest.map_or(self.text.len(), |(byte, _)| start + byte)
    }
}
