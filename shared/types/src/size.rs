//! Sizes of memory, as people write and read them.

use std::fmt;
use std::str::FromStr;

/// Bytes, as people write them: `48GiB`, `48GB`, `51539607552`. Shown in binary units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

/// The text is no size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no size of memory; write for example 48GiB, 48GB or a number of bytes")]
pub struct BadSize(String);

/// Names of the units, decimal and binary, and their powers.
const UNITS: [(&str, u32); 5] = [("", 0), ("K", 1), ("M", 2), ("G", 3), ("T", 4)];

impl FromStr for Size {
    type Err = BadSize;

    fn from_str(text: &str) -> Result<Self, BadSize> {
        let bad = || BadSize(text.to_owned());
        let unit_at = text.find(|c: char| c != '.' && !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(unit_at);
        let unit = unit.trim_start().to_ascii_uppercase();
        let (prefix, base) = match unit.strip_suffix("IB").filter(|prefix| !prefix.is_empty()) {
            Some(prefix) => (prefix, 1024f64),
            None => (unit.strip_suffix('B').unwrap_or(&unit), 1000.),
        };
        let power = UNITS.iter().find(|(name, _)| *name == prefix).ok_or_else(bad)?.1;
        let number: f64 = number.parse().map_err(|_| bad())?;
        let bytes = number * base.powi(power as i32);
        if bytes < 1. || bytes > u64::MAX as f64 {
            return Err(bad());
        }
        Ok(Self(bytes as u64))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mebibytes = self.0 as f64 / (1 << 20) as f64;
        if mebibytes < 1024. { write!(f, "{mebibytes:.1} MiB") } else { write!(f, "{:.1} GiB", mebibytes / 1024.) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, bytes) in [
            ("48GiB", 48 << 30),
            ("48 gib", 48 << 30),
            ("1.5MiB", 3 << 19),
            ("48GB", 48_000_000_000),
            ("48G", 48_000_000_000),
            ("7kB", 7000),
            ("51539607552", 51_539_607_552),
            ("1B", 1),
        ] {
            assert_eq!(text.parse(), Ok(Size(bytes)), "{text}");
        }
        for bad in ["", "GiB", "-1GiB", "48 apples", "1e3", "0", "0GiB", "1..5GB", "99999999TiB", "48GiB!", "48ib"] {
            let error = bad.parse::<Size>().unwrap_err().to_string();
            assert!(error.contains(bad) && error.contains("48GiB"), "{bad}: {error}");
        }
        assert_eq!(Size(3 << 29).to_string(), "1.5 GiB");
        assert_eq!(Size(3 << 19).to_string(), "1.5 MiB");
    }
}
