//! What C++ cannot read in MSL, taken out or written otherwise, and noted: attributes, kernels, instantiations,
//! threadgroup variables, function constants, casts of vectors. Everything else is done by `msl_types.h`.
//!
//! Kernels and their instantiations are `kernels.rs`.

use super::kernels::Template;
use super::tokens::{Kind, Token, tokens};
use super::waits::waiting;

/// A library: its text for C++ and what can be called.
#[derive(Debug, Default)]
pub struct Translated {
    pub text: String,
    pub kernels: Vec<Kernel>,
    pub constants: Vec<Constant>,
}

/// A kernel under the name that the host knows.
#[derive(Clone, Debug)]
pub struct Kernel {
    pub name: String,
    /// How C++ names it: `f` or `f<half, 4>`.
    pub expression: String,
    /// One per parameter: a type of `msl_types.h` such as `Buffer<0>`.
    pub parameters: Vec<String>,
    /// Per parameter, the function constant without which there is none.
    pub gates: Vec<Option<String>>,
    pub max_threads: Option<u32>,
    /// Whether threads may wait for one another, or know their simdgroup: then they need fibers.
    pub waits: bool,
}

/// A constant whose value the pipeline gives.
#[derive(Clone, Debug)]
pub struct Constant {
    pub index: usize,
    pub name: String,
    pub type_name: String,
}

/// Elements of vectors that casts may name.
const VECTORS: [&str; 9] = ["float", "half", "bfloat", "int", "uint", "short", "ushort", "uchar", "char"];

/// Translates a library whose macros are expanded.
pub fn translate(preprocessed: &str) -> Translated {
    let mut pass = Pass { t: tokens(preprocessed), out: Translated::default(), templates: Vec::new() };
    pass.remove_defaults();
    pass.function_constants();
    pass.kernels();
    pass.instantiations();
    pass.remove_attributes();
    pass.threadgroup_variables();
    pass.number_barriers();
    pass.vector_casts();
    pass.remove_repeats();
    let mut out = pass.out;
    waiting(&pass.t, &mut out.kernels);
    out.text = pass.t.iter().map(|t| t.text.as_str()).collect();
    out
}

/// The text on its way.
pub(super) struct Pass {
    pub(super) t: Vec<Token>,
    pub(super) out: Translated,
    pub(super) templates: Vec<Template>,
}

impl Pass {
    pub(super) fn is(&self, at: usize, text: &str) -> bool {
        self.t.get(at).is_some_and(|t| t.is(text))
    }

    /// The next token that is not space, at or after.
    pub(super) fn next(&self, mut at: usize) -> usize {
        while self.t.get(at).is_some_and(|t| t.kind == Kind::Space) {
            at += 1;
        }
        at
    }

    /// The last token before that is not space.
    pub(super) fn previous(&self, at: usize) -> Option<usize> {
        (0..at).rev().find(|&i| self.t[i].kind != Kind::Space)
    }

    /// The index after the bracket that closes the one at `at`.
    pub(super) fn after(&self, at: usize, open: &str, close: &str) -> usize {
        let mut depth = 0usize;
        for i in at..self.t.len() {
            if self.is(i, open) {
                depth += 1;
            } else if self.is(i, close) {
                depth -= 1;
                if depth == 0 {
                    return i + 1;
                }
            }
        }
        self.t.len()
    }

    pub(super) fn text(&self, from: usize, to: usize) -> String {
        self.t[from..to]
            .iter()
            .map(|t| t.text.as_str())
            .collect::<String>()
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
    }

    pub(super) fn blank(&mut self, from: usize, to: usize) {
        for token in &mut self.t[from..to] {
            *token = Token { kind: Kind::Space, text: if token.text.contains('\n') { "\n" } else { " " }.into() };
        }
    }

    pub(super) fn set(&mut self, at: usize, text: impl Into<String>) {
        self.t[at] = Token { kind: Kind::Word, text: text.into() };
    }

    pub(super) fn attribute_at(&self, at: usize) -> bool {
        self.is(at, "[") && self.is(at + 1, "[")
    }

    /// Constructors given once per address space: `T() threadgroup = default;`.
    fn remove_defaults(&mut self) {
        for i in 0..self.t.len() {
            if !["threadgroup", "thread", "device", "constant"].iter().any(|s| self.is(i, s)) {
                continue;
            }
            let equals = self.next(i + 1);
            let default = self.next(equals + 1);
            if self.is(equals, "=") && self.is(default, "default") {
                let start = (0..i).rev().find(|&k| [";", "{", "}"].iter().any(|s| self.is(k, s))).map_or(0, |k| k + 1);
                let end = self.next(default + 1) + 1;
                self.blank(start, end);
            }
        }
    }

    /// `constant bool X [[function_constant(3)]];` leaves the text; the pipeline defines X.
    fn function_constants(&mut self) {
        let mut i = 0;
        while i < self.t.len() {
            if self.is(i, "constant") {
                let end = (i..self.t.len())
                    .find(|&k| self.is(k, ";") || self.is(k, "(") && !self.is(k - 1, "function_constant"));
                let attribute = (i..end.unwrap_or(i)).find(|&k| self.attribute_at(k));
                if let (Some(end), Some(attribute)) = (end, attribute)
                    && let Some(name) = self.previous(attribute)
                    && let Some(word) = (attribute..end).find(|&k| self.is(k, "function_constant"))
                    && self.is(end, ";")
                {
                    let number = self.next(self.next(word + 1) + 1);
                    if let Ok(index) = self.t[number].text.parse() {
                        let constant =
                            Constant { index, name: self.t[name].text.clone(), type_name: self.text(i + 1, name) };
                        self.out.constants.push(constant);
                        self.blank(i, end + 1);
                    }
                }
            }
            i += 1;
        }
    }

    fn remove_attributes(&mut self) {
        for i in 0..self.t.len() {
            if self.attribute_at(i) {
                let end = self.after(i, "[", "]");
                self.blank(i, end);
            }
        }
    }

    /// `threadgroup T x[N];` in a body becomes a reference to memory of the group.
    fn threadgroup_variables(&mut self) {
        let mut slot = 0;
        let mut depth = 0i32;
        for i in 0..self.t.len() {
            depth += i32::from(self.is(i, "{")) - i32::from(self.is(i, "}"));
            if depth == 0 {
                slot = 0;
            }
            let starts = self.previous(i).is_some_and(|k| [";", "{", "}", ":"].iter().any(|s| self.is(k, s)));
            if depth == 0 || !self.is(i, "threadgroup") || !starts {
                continue;
            }
            // To what ends a declarator, outside of its brackets.
            let mut brackets = 0i32;
            let end = (i..self.t.len()).find(|&k| {
                brackets += i32::from(self.is(k, "[")) - i32::from(self.is(k, "]"));
                brackets == 0 && [";", "=", "{", "("].iter().any(|s| self.is(k, s))
            });
            let end = end.unwrap_or(i);
            // A pointer, a reference or a function is no variable of the group; `*` inside `[]` is arithmetic.
            let first_bracket = (i..end).find(|&k| self.is(k, "[")).unwrap_or(end);
            if !self.is(end, ";") && !self.is(end, "(")
                || (i..first_bracket).any(|k| self.is(k, "*") || self.is(k, "&") || self.is(k, "("))
            {
                continue;
            }
            let end = (i..self.t.len()).find(|&k| self.is(k, ";")).unwrap_or(end);
            if first_bracket >= end && !self.is(end, ";") {
                continue;
            }
            let Some(name) = self.previous(first_bracket.min(end)) else { continue };
            let (element, variable) = (self.text(i + 1, name), self.t[name].text.clone());
            let dimensions = self.text(first_bracket.min(end), end);
            let text = format!(
                "typedef {element} msl_tg_{variable}{dimensions}; msl_tg_{variable} &{variable} = *(msl_tg_{variable} *)::msl::tg_static({slot}, sizeof(msl_tg_{variable}))"
            );
            slot += 1;
            self.blank(i, end);
            self.set(i, text);
        }
    }

    /// `threadgroup_barrier(f)` becomes `threadgroup_barrier(f, n)`: a barrier's name that no optimiser can copy or merge.
    fn number_barriers(&mut self) {
        let mut number = 0;
        for i in 0..self.t.len() {
            let open = self.next(i + 1);
            if self.is(i, "threadgroup_barrier") && self.is(open, "(") {
                number += 1;
                let close = self.after(open, "(", ")") - 1;
                self.set(close, format!(", {number}u)"));
            }
        }
    }

    /// Overloads and specialisations for several address spaces, which are one and the same without them: keeps the
    /// first.
    fn remove_repeats(&mut self) {
        let mut seen = std::collections::HashSet::new();
        let mut start = 0;
        let mut i = 0;
        while i < self.t.len() {
            if self.is(i, ";") {
                start = i + 1;
            } else if self.is(i, "{") {
                let key: Vec<&str> = self.t[start..i]
                    .iter()
                    .filter(|t| {
                        t.kind != Kind::Space
                            && !["device", "thread", "threadgroup", "constant", "const"].contains(&t.text.as_str())
                    })
                    .map(|t| t.text.as_str())
                    .collect();
                let end = self.after(i, "{", "}");
                let is_declaration = key.contains(&"(") || key.contains(&"struct") && key.first() != Some(&"typedef");
                if is_declaration && !seen.insert(key.join(" ")) {
                    let end = if self.is(self.next(end), ";") { self.next(end) + 1 } else { end };
                    self.blank(start, end);
                }
                i = end;
                start = end;
                continue;
            }
            i += 1;
        }
    }

    /// `(float4) x` converts in MSL and reinterprets in C++.
    fn vector_casts(&mut self) {
        for i in 0..self.t.len() {
            if !self.is(i, "(") {
                continue;
            }
            let word = self.next(i + 1);
            let close = self.next(word + 1);
            let is_vector = self.t.get(word).is_some_and(|t| {
                let (name, n) = t.text.split_at(t.text.len() - usize::from(t.text.len() > 1));
                ["2", "3", "4"].contains(&n) && VECTORS.contains(&name)
            });
            let operand = self.next(close + 1);
            let starts = self.t.get(operand).is_some_and(|t| t.kind != Kind::Punct || t.is("(") || t.is("*"));
            // A call's or sizeof's parenthesis follows a word; a cast's does not, except after `return`.
            let called = self
                .previous(i)
                .is_some_and(|k| self.t[k].kind == Kind::Word && !self.is(k, "return") || self.is(k, ">"));
            if is_vector && self.is(close, ")") && starts && !called {
                let text = format!("::msl::cast<{}>{{}} ->* ", self.t[word].text);
                self.blank(i, close + 1);
                self.set(i, text);
            }
        }
    }
}
