//! Faults as people read them: the line, a caret under it, the reason, the remedy.

use std::fmt;

use annotate_snippets::renderer::{DecorStyle, Renderer};
use annotate_snippets::{AnnotationKind, Group, Level, Origin, Snippet};

use super::fault::{Fault, Faults};
use super::source::{Source, Span};

/// A longer excerpt (one-line JSON, say) tells nobody anything.
const MAX_EXCERPT: usize = 2_000;

impl Faults {
    /// For a terminal; in colour if it is one that shows colour.
    pub fn render(&self, colour: bool) -> String {
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        let renderer = renderer.decor_style(DecorStyle::Ascii);
        let mut text = String::new();
        for fault in self.iter() {
            text += &renderer.render(&[group(fault, &self.source)]);
            text += "\n\n";
        }
        let count = self.count();
        let hidden = count - self.iter().count();
        let faults = if count == 1 { "fault" } else { "faults" };
        text += &format!("{count} {faults} in {}", super::fault::clipped(self.file()));
        if hidden > 0 {
            text += &format!(", {hidden} of them not shown");
        }
        text
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Faults {}

fn group<'a>(fault: &'a Fault, source: &'a Source) -> Group<'a> {
    let mut group = Group::with_title(Level::ERROR.primary_title(&*fault.what));
    let mut seen_related = false;
    match (fault.span, fault.at) {
        (Some(span), Some(at)) => {
            let related = fault.related.as_ref().map(|related| related.span);
            let window = window(source, span, related);
            if window.len() <= MAX_EXCERPT {
                let inside = |span: Span| excerpt(source, span, &window);
                let first = source.position(window.start as u32).line as usize;
                let mut snippet = Snippet::source(&source.text[window.clone()])
                    .line_start(first)
                    .path(&source.name)
                    .annotation(AnnotationKind::Primary.span(inside(span)).label(&*fault.why));
                if let Some(related) =
                    fault.related.as_ref().filter(|other| window.contains(&(other.span.start as usize)))
                {
                    seen_related = true;
                    snippet =
                        snippet.annotation(AnnotationKind::Context.span(inside(related.span)).label(&related.label));
                }
                group = group.element(snippet);
            } else {
                let origin = Origin::path(&source.name).line(at.line as usize).char_column(at.column as usize);
                group = group.element(origin).element(Level::NOTE.message(&*fault.why));
            }
        }
        _ => group = group.element(Level::NOTE.message(&*fault.why)),
    }
    if let Some(related) = fault.related.as_ref().filter(|_| !seen_related) {
        let at = related.at;
        group = group.element(Level::NOTE.message(format!("{}:{}: {}", at.line, at.column, related.label)));
    }
    if !fault.key.is_empty() && !fault.what.contains(&*fault.key) {
        group = group.element(Level::NOTE.message(format!("the key is {}", fault.key)));
    }
    group.element(Level::HELP.message(&*fault.help))
}

/// The lines to show: those of the fault, and those up to the related place if it is not far.
fn window(source: &Source, span: Span, related: Option<Span>) -> std::ops::Range<usize> {
    // A table's place is many lines; its first one tells which.
    let line = |span: Span| source.lines_of(Span { start: span.start, end: span.start });
    let own = line(span);
    let both = related.map(line).map(|other| own.start.min(other.start)..own.end.max(other.end));
    both.filter(|both| both.len() <= MAX_EXCERPT).unwrap_or(own)
}

/// A place within the window: cut at the end of its first line, at least one character wide where there is one.
fn excerpt(source: &Source, span: Span, window: &std::ops::Range<usize>) -> std::ops::Range<usize> {
    let line_end = source.lines_of(Span { start: span.start, end: span.start }).end;
    let start = source.text.floor_char_boundary((span.start as usize).clamp(window.start, window.end));
    let end = source.text.floor_char_boundary((span.end as usize).clamp(start, line_end.max(start).min(window.end)));
    start - window.start..end - window.start
}
