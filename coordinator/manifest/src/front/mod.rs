//! The three syntaxes, each read into the same tree. What the keys mean is decided once, elsewhere.

mod json;
mod toml;
mod yaml;

use super::node::{Node, SyntaxFault};
use super::source::{Source, Syntax};

/// The tree of a text.
///
/// # Errors
/// What keeps the text from being of its syntax, in the order of the text.
pub(crate) fn parse(source: &Source) -> Result<Node, Vec<SyntaxFault>> {
    match source.syntax {
        Syntax::Toml => toml::parse(&source.text),
        Syntax::Yaml => yaml::parse(&source.text).map_err(|fault| vec![fault]),
        Syntax::Json => json::parse(&source.text).map_err(|fault| vec![fault]),
    }
}
