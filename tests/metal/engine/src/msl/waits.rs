//! Which kernels need fibers: those whose threads may wait for one another. All others run as a loop.
//!
//! Told from the text: a kernel waits if its own words, or those of anything it names that the library defines, are a
//! barrier, a simdgroup operation or memory of the threadgroup. That errs towards waiting, and the compiler refuses a
//! waiting operation in a kernel that was taken for a loop.

use std::collections::{HashMap, HashSet};

use super::tokens::{Kind, Token, tokens};
use super::translate::Kernel;

/// The words that each definition of a library is made of, by its name.
type Definitions<'a> = HashMap<&'a str, HashSet<&'a str>>;

/// Notes of each kernel whether it waits.
pub(super) fn waiting(text: &[Token], kernels: &mut [Kernel]) {
    let definitions = definitions(text);
    for kernel in kernels {
        let simd = |parameter: &String| parameter.starts_with("TgMemory") || parameter.contains("Simd");
        let expression = tokens(&kernel.expression);
        let words = expression.iter().filter(|t| t.kind == Kind::Word).map(|t| t.text.as_str()).collect();
        kernel.waits = kernel.parameters.iter().any(simd) || reaches_a_wait(words, &definitions);
    }
}

/// Whether any of these words, or of the definitions they lead to, is an operation that waits.
fn reaches_a_wait<'a>(mut open: Vec<&'a str>, definitions: &'a Definitions<'a>) -> bool {
    let mut seen: HashSet<&str> = HashSet::new();
    while let Some(word) = open.pop() {
        let is_simd = ["simd_", "simdgroup_", "quad_"].iter().any(|start| word.starts_with(start));
        // A variable of the threadgroup is one token by now.
        if is_simd || word == "threadgroup_barrier" || word.contains("tg_static") {
            return true;
        }
        if let Some(words) = definitions.get(word).filter(|_| seen.insert(word)) {
            open.extend(words);
        }
    }
    false
}

/// Everything defined at the level of namespaces.
fn definitions(text: &[Token]) -> Definitions<'_> {
    let mut definitions = Definitions::new();
    let mut head: Vec<&Token> = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let token = &text[at];
        at += 1;
        match token.text.as_str() {
            "{" if head.iter().any(|t| t.is("namespace")) || head.iter().any(|t| t.is("extern") || t.is("\"C\"")) => {
                head.clear();
            }
            "{" => {
                let end = after(text, at);
                let words = head.iter().copied().chain(&text[at..end]);
                define(&mut definitions, &head, words);
                at = end;
                head.clear();
            }
            ";" | "}" => {
                define(&mut definitions, &head, head.iter().copied());
                head.clear();
            }
            _ if token.kind != Kind::Space => head.push(token),
            _ => {}
        }
    }
    definitions
}

/// The index after the brace that closes the one before `at`.
fn after(text: &[Token], at: usize) -> usize {
    let mut depth = 1;
    for (index, token) in text.iter().enumerate().skip(at) {
        depth += i32::from(token.is("{")) - i32::from(token.is("}"));
        if depth == 0 {
            return index + 1;
        }
    }
    text.len()
}

/// Adds the words of a definition to those of its name: the word before the first parenthesis outside `<>`, or after
/// `struct`, `using` and the like.
fn define<'a>(definitions: &mut Definitions<'a>, head: &[&'a Token], words: impl Iterator<Item = &'a Token>) {
    let mut depth = 0;
    let mut last = None;
    let mut name = None;
    for (index, token) in head.iter().enumerate() {
        depth += i32::from(token.is("<")) - i32::from(token.is(">"));
        let introduced =
            index > 0 && ["struct", "class", "union", "enum", "using"].iter().any(|w| head[index - 1].is(w));
        let opens = token.is("(") && !matches!(last, Some("__attribute__" | "decltype"));
        if depth == 0 && (introduced && token.kind == Kind::Word || opens) {
            name = if token.is("(") { last } else { Some(token.text.as_str()) };
            break;
        }
        if token.kind == Kind::Word && depth == 0 {
            last = Some(token.text.as_str());
        }
    }
    // A typedef's or a variable's name is its last word.
    if let Some(name) = name.or(last) {
        let words = words.filter(|t| t.kind == Kind::Word).map(|t| t.text.as_str());
        definitions.entry(name).or_default().extend(words);
    }
}

#[cfg(test)]
mod tests {
    use super::super::translate::translate;

    fn waits(name: &str) -> bool {
        let text = r#"
            namespace metal { template <typename T> T doubled(T x) { return x + x; } }
            struct Sum { template <typename T> T operator()(T x) { return simd_sum(x); } };
            struct Twice { template <typename T> T operator()(T x) { return doubled(x); } };
            inline float indirect(float x) { return Sum()(x); }
            typedef Sum Other;
            kernel void plain(device float *y, uint i [[thread_position_in_grid]]) { y[i] = Twice()(y[i]); }
            kernel void calls(device float *y, uint i [[thread_position_in_grid]]) { y[i] = indirect(y[i]); }
            kernel void lane(device float *y, uint i [[thread_index_in_simdgroup]]) { y[i] = 1; }
            kernel void shares(device float *y, uint i [[thread_position_in_grid]]) { threadgroup float t[4]; y[i] = t[0]; }
            template <typename Op> [[kernel]] void by(device float *y, uint i [[thread_position_in_grid]]) { y[i] = Op()(y[i]); }
            template [[host_name("by_twice")]] [[kernel]] void by<Twice>(device float *, uint);
            template [[host_name("by_sum")]] [[kernel]] void by<Sum>(device float *, uint);
            template [[host_name("by_other")]] [[kernel]] void by<Other>(device float *, uint);
        "#;
        let library = translate(text);
        library.kernels.iter().find(|k| k.name == name).unwrap_or_else(|| panic!("no {name}")).waits
    }

    #[test]
    fn kernels_wait_by_what_they_name() {
        for name in ["calls", "lane", "shares", "by_sum", "by_other"] {
            assert!(waits(name), "{name}");
        }
        for name in ["plain", "by_twice"] {
            assert!(!waits(name), "{name}");
        }
    }
}
