//! JSON → tree, strictly: no comments, no trailing commas.

use jsonc_parser::ast::{ObjectPropName, Value as Json};
use jsonc_parser::common::{Range, Ranged};
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};

use super::super::node::{self, Budget, Entry, MAX_DEPTH, Node, SyntaxFault, Value};
use super::super::source::Span;

const STRICT: ParseOptions = ParseOptions {
    allow_comments: false,
    allow_loose_object_property_names: false,
    allow_trailing_commas: false,
    allow_missing_commas: false,
    allow_single_quoted_strings: false,
    allow_hexadecimal_numbers: false,
    allow_unary_plus_numbers: false,
    allow_bare_decimal_point_numbers: false,
    allow_non_finite_numbers: false,
    allow_extended_string_escapes: false,
};

pub(super) fn parse(text: &str) -> Result<Node, SyntaxFault> {
    let parsed = parse_to_ast(text, &CollectOptions::default(), &STRICT)
        .map_err(|error| SyntaxFault::new(span(error.range()), error.kind().to_string()))?;
    let root = parsed.value.ok_or_else(|| SyntaxFault::new(Span::default(), "the file is empty"))?;
    node(root, 0, &mut Budget::new())
}

fn span(range: Range) -> Span {
    Span::new(range.start..range.end)
}

fn node(json: Json<'_>, depth: usize, budget: &mut Budget) -> Result<Node, SyntaxFault> {
    let span = span(json.range());
    budget.spend(size_of::<Entry>(), span)?;
    if depth > MAX_DEPTH {
        return Err(SyntaxFault::new(span, "nested deeper than a manifest may be"));
    }
    let value = match json {
        Json::NullKeyword(_) => Value::Null,
        Json::BooleanLit(boolean) => Value::Bool(boolean.value),
        Json::StringLit(text) => Value::Text(text.value.into_owned()),
        Json::NumberLit(number) => {
            node::number(number.value).ok_or_else(|| SyntaxFault::new(span, "this is not a number"))?
        }
        Json::Array(array) => {
            Value::List(array.elements.into_iter().map(|item| node(item, depth + 1, budget)).collect::<Result<_, _>>()?)
        }
        Json::Object(object) => {
            let entries = object.properties.into_iter().map(|property| {
                let key_span = self::span(property.name.range());
                let key = match property.name {
                    ObjectPropName::String(text) => text.value.into_owned(),
                    ObjectPropName::Word(word) => word.value.to_owned(),
                };
                Ok(Entry { key, key_span, node: node(property.value, depth + 1, budget)? })
            });
            node::table(entries.collect::<Result<_, SyntaxFault>>()?)?
        }
    };
    Ok(Node::new(span, value))
}
