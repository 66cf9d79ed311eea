//! Lines of logs.

use wanfarm_types as domain;

use super::lenient::{known, some};
use crate::v1;

impl From<domain::LogLine> for v1::LogLine {
    fn from(line: domain::LogLine) -> Self {
        let domain::LogLine { at, level, text } = line;
        Self { at: at.unwrap_or_default(), level: v1::LogLevel::from(level).into(), text }
    }
}

impl From<v1::LogLine> for domain::LogLine {
    fn from(wire: v1::LogLine) -> Self {
        // A level of a later version is of no more weight than usual.
        let level = known(wire.level).unwrap_or(domain::LogLevel::Info);
        Self { at: some(wire.at), level, text: wire.text }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_crosses_the_wire_unchanged() {
        for level in domain::LogLevel::ALL {
            let line = domain::LogLine { at: None, level, text: "it slipped".into() };
            assert_eq!(domain::LogLine::from(v1::LogLine::from(line.clone())), line);
        }
        let odd = v1::LogLine { at: String::new(), level: 99, text: String::new() };
        assert_eq!(domain::LogLine::from(odd).level, domain::LogLevel::Info);
    }
}
