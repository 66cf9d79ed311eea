//! TOML → tree.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::super::node::{Budget, Entry, Node, SyntaxFault, Value};
use super::super::source::Span;

pub(super) fn parse(text: &str) -> Result<Node, Vec<SyntaxFault>> {
    let (document, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        return Err(one_per_line(text, errors));
    }
    let span = Span::new(0..0);
    let mut budget = Budget::new();
    let value = table(document.into_inner(), &mut budget).map_err(|fault| vec![fault])?;
    Ok(Node::new(span, value))
}

/// The parser goes on after an error, and what it says about the rest of that line is seldom true.
fn one_per_line(text: &str, errors: Vec<toml::de::Error>) -> Vec<SyntaxFault> {
    let mut faults: Vec<SyntaxFault> = errors
        .into_iter()
        .map(|error| SyntaxFault::new(Span::new(error.span().unwrap_or(0..0)), error.message()))
        .collect();
    faults.sort_by_key(|fault| fault.span);
    faults.dedup_by(|later, earlier| {
        let between = text.get(earlier.span.start as usize..later.span.start as usize);
        between.is_none_or(|between| !between.contains('\n'))
    });
    // A bracket or quote left open spoils every line after it.
    let open = faults.iter().position(|fault| fault.what.contains("unclosed") || fault.what.contains("array"));
    faults.truncate(open.map_or(faults.len(), |at| at + 1));
    faults
}

fn table(table: DeTable<'_>, budget: &mut Budget) -> Result<Value, SyntaxFault> {
    let mut entries = table
        .into_iter()
        .map(|(key, value)| {
            let key_span = Span::new(key.span());
            let key = key.into_inner().into_owned();
            budget.spend(key.len(), key_span)?;
            Ok(Entry { key, key_span, node: node(value, budget)? })
        })
        .collect::<Result<Vec<_>, SyntaxFault>>()?;
    entries.sort_by_key(|entry| entry.key_span);
    Ok(Value::Table(entries))
}

fn node(value: Spanned<DeValue<'_>>, budget: &mut Budget) -> Result<Node, SyntaxFault> {
    let span = Span::new(value.span());
    budget.spend(size_of::<Entry>(), span)?;
    let value = match value.into_inner() {
        DeValue::String(text) => Value::Text(text.into_owned()),
        DeValue::Boolean(yes) => Value::Bool(yes),
        DeValue::Datetime(_) => Value::Date,
        DeValue::Integer(integer) => i128::from_str_radix(integer.as_str(), integer.radix())
            .map(Value::Integer)
            .map_err(|_| SyntaxFault::new(span, "no key takes a number this large"))?,
        DeValue::Float(float) => {
            float.as_str().parse().map(Value::Float).map_err(|_| SyntaxFault::new(span, "this is not a number"))?
        }
        DeValue::Array(items) => {
            Value::List(items.into_iter().map(|item| node(item, budget)).collect::<Result<_, _>>()?)
        }
        DeValue::Table(entries) => table(entries, budget)?,
    };
    Ok(Node::new(span, value))
}
