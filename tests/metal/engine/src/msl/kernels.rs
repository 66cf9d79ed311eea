//! Kernels: definitions become ordinary functions, instantiations of templates names, attributes of parameters the types
//! that `msl_types.h` fetches them by.

use super::tokens::{Kind, Token};
use super::translate::{Kernel, Pass};

/// A kernel that is a template: only its instantiations can be called.
pub(super) struct Template {
    name: String,
    parameters: Vec<String>,
    gates: Vec<Option<String>>,
    max_threads: Option<u32>,
}

impl Pass {
    /// Notes each kernel definition and makes it an ordinary function.
    pub(super) fn kernels(&mut self) {
        let mut i = 0;
        while i < self.t.len() {
            let (start, after_word) = if self.is(i, "kernel") && !self.in_attribute(i) {
                (i, i + 1)
            } else if self.attribute_at(i) && self.attribute_words(i).iter().any(|w| w == "kernel") {
                (i, self.after(i, "[", "]"))
            } else {
                i += 1;
                continue;
            };
            let host_name = self.attribute_before(start).or_else(|| self.attribute_text(start));
            let max_threads = self.attribute_number(start, "max_total_threads_per_threadgroup");
            // To the parameter list; an instantiation has none or has template arguments before it.
            let mut open = after_word;
            while open < self.t.len() && !self.is(open, "(") && !self.is(open, ";") && !self.is(open, "<") {
                open += 1;
            }
            let close = self.after(open, "(", ")");
            let body = self.next(close);
            if !self.is(open, "(") || !self.is(body, "{") {
                i = after_word;
                continue;
            }
            let name = self.previous(open).map(|k| self.t[k].text.clone()).unwrap_or_default();
            let (parameters, gates) = self.parameters(open + 1, close - 1);
            let is_template = self.template_before(start);
            self.blank(start, after_word);
            if is_template {
                self.templates.push(Template { name, parameters, gates, max_threads });
            } else {
                self.set(start, "static inline ");
                let host = host_name.unwrap_or_else(|| name.clone());
                self.out.kernels.push(Kernel {
                    name: host,
                    expression: name,
                    parameters,
                    gates,
                    max_threads,
                    waits: true,
                });
            }
            i = body;
        }
    }

    fn in_attribute(&self, at: usize) -> bool {
        let before = (0..at)
            .rev()
            .take(40)
            .find(|&k| self.is(k, ";") || self.is(k, "}") || self.is(k, "]") || self.attribute_at(k));
        before.is_some_and(|k| self.attribute_at(k))
    }

    fn attribute_words(&self, at: usize) -> Vec<String> {
        let end = self.after(at, "[", "]");
        self.t[at..end].iter().filter(|t| t.kind == Kind::Word).map(|t| t.text.clone()).collect()
    }

    fn attribute_text(&self, at: usize) -> Option<String> {
        if !self.attribute_at(at) {
            return None;
        }
        let end = self.after(at, "[", "]");
        let words: Vec<&Token> = self.t[at..end].iter().filter(|t| t.kind == Kind::Text).collect();
        words.iter().any(|_| true).then(|| words.iter().map(|t| t.text.trim_matches('"')).collect())
    }

    fn attribute_number(&self, at: usize, word: &str) -> Option<u32> {
        let end = self.after(at, "[", "]");
        let word = (at..end).find(|&k| self.is(k, word))?;
        let parts: Vec<&str> = self.t[word + 1..end].iter().map(|t| t.text.trim()).collect();
        let text: String = parts.concat().trim_matches(|c| "()[]".contains(c)).into();
        text.split('*').map(|n| n.trim_matches(|c| "()".contains(c)).parse::<u32>().ok()).product::<Option<u32>>()
    }

    /// The host name of an attribute right before.
    fn attribute_before(&self, at: usize) -> Option<String> {
        let close = self.previous(at)?;
        if !self.is(close, "]") {
            return None;
        }
        let open = (0..close).rev().find(|&k| self.attribute_at(k))?;
        self.attribute_text(open)
    }

    /// Whether `template <…>` with at least one parameter stands right before.
    fn template_before(&self, at: usize) -> bool {
        let mut end = self.previous(at);
        while let Some(k) = end.filter(|&k| self.is(k, "]")) {
            let Some(open) = (0..k).rev().find(|&k| self.attribute_at(k)) else { break };
            end = self.previous(open);
        }
        end.is_some_and(|k| self.is(k, ">"))
    }

    /// The kinds of the parameters between two tokens, and the constants they hang on.
    fn parameters(&self, from: usize, to: usize) -> (Vec<String>, Vec<Option<String>>) {
        let mut kinds: Vec<Option<String>> = Vec::new();
        let mut gates = Vec::new();
        let mut start = from;
        let mut depth = 0i32;
        for i in from..=to {
            if i == to || self.is(i, ",") && depth == 0 {
                if self.next(start) < i {
                    kinds.push(self.parameter(start, i));
                    let gate = (start..i).find(|&k| self.is(k, "function_constant"));
                    gates.push(gate.map(|k| self.t[self.next(self.next(k + 1) + 1)].text.clone()));
                }
                start = i + 1;
            } else if ["(", "[", "<", "{"].iter().any(|s| self.is(i, s)) {
                depth += 1;
            } else if [")", "]", ">", "}"].iter().any(|s| self.is(i, s)) {
                depth -= 1;
            }
        }
        // Buffers without an index take the free ones in order.
        let taken = kinds.clone();
        let mut free = (0..).filter(|n| !taken.iter().flatten().any(|k| *k == format!("Buffer<{n}>")));
        let kinds =
            kinds.into_iter().map(|kind| kind.unwrap_or_else(|| format!("Buffer<{}>", free.next().unwrap_or(0))));
        (kinds.collect(), gates)
    }

    /// `None` for a buffer without an index.
    fn parameter(&self, from: usize, to: usize) -> Option<String> {
        let attribute = (from..to).find(|&k| self.attribute_at(k))?;
        let words: Vec<&Token> =
            self.t[attribute..to].iter().filter(|t| matches!(t.kind, Kind::Word | Kind::Number)).collect();
        let number = words.iter().find(|t| t.kind == Kind::Number).map_or("0", |t| &t.text);
        Some(match words.first()?.text.as_str() {
            "buffer" => format!("Buffer<{number}>"),
            "threadgroup" => format!("TgMemory<{number}>"),
            "function_constant" => return None,
            builtin => format!("Value<{}>", builtin_name(builtin)),
        })
    }

    /// `template [[host_name("x")]] kernel T f<A>…;` leaves the text and becomes a kernel.
    pub(super) fn instantiations(&mut self) {
        let mut i = 0;
        while i < self.t.len() {
            let attribute = self.next(i + 1);
            if !self.is(i, "template") || !self.attribute_at(attribute) {
                i += 1;
                continue;
            }
            let name = self.attribute_text(attribute).unwrap_or_default();
            let end = (i..self.t.len()).find(|&k| self.is(k, ";")).unwrap_or(self.t.len() - 1);
            // The last kernel named outside parentheses is the one: `decltype(f<A>) f<A>` names it twice.
            let mut depth = 0i32;
            let mut found = None;
            for k in self.after(attribute, "[", "]")..end {
                depth += i32::from(self.is(k, "(")) - i32::from(self.is(k, ")"));
                if depth == 0 && found.is_none() && self.is(self.next(k + 1), "<") {
                    found = self.templates.iter().position(|t| self.is(k, &t.name)).map(|t| (k, t));
                }
            }
            if let Some((at, template)) = found {
                let close = self.after(self.next(at + 1), "<", ">");
                let template = &self.templates[template];
                self.out.kernels.push(Kernel {
                    name,
                    expression: self.text(at, close),
                    parameters: template.parameters.clone(),
                    gates: template.gates.clone(),
                    max_threads: template.max_threads,
                    waits: true,
                });
            }
            self.blank(i, end + 1);
            i = end + 1;
        }
    }
}

fn builtin_name(attribute: &str) -> &'static str {
    match attribute {
        "thread_position_in_grid" => "kThreadInGrid",
        "thread_position_in_threadgroup" => "kThreadInGroup",
        "threadgroup_position_in_grid" => "kGroupInGrid",
        "threads_per_threadgroup" | "dispatch_threads_per_threadgroup" => "kThreadsPerGroup",
        "threadgroups_per_grid" => "kGroupsPerGrid",
        "threads_per_grid" => "kThreadsPerGrid",
        "thread_index_in_threadgroup" => "kIndexInGroup",
        "simdgroup_index_in_threadgroup" => "kSimdInGroup",
        "thread_index_in_simdgroup" => "kLaneInSimd",
        "simdgroups_per_threadgroup" => "kSimdsPerGroup",
        "threads_per_simdgroup" | "thread_execution_width" => "kThreadsPerSimd",
        _ => "kUnknownAttribute",
    }
}
