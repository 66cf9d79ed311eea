//! Frames per second as a fraction, so that the rates of film and television are exact. No clocks and no durations:
//! writers of files count in ticks of their own.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize, Serializer};

/// Frames per second, reduced: 1 to 240, with a denominator of at most 1001.
///
/// As a text and in JSON whole rates are numbers (`24`), all others fractions (`"24000/1001"`); decimals are read too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "Written")]
pub struct FrameRate {
    numerator: u32,
    denominator: u32,
}

/// A rate that no file is written with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadFrameRate {
    /// It is no number and no fraction.
    #[error("{0:?} is no frame rate; one is 24, 23.976 or \"24000/1001\"")]
    Unreadable(String),
    /// It is outside 1 to 240.
    #[error("{0} frames per second is not in 1 to 240")]
    OutOfRange(String),
    /// It would need finer ticks than files count in.
    #[error("{0} frames per second needs a denominator above 1001; three decimals are enough, or a fraction")]
    TooFine(String),
}

/// Whole rates whose slower television twin, n·1000/1001, people write as a rounded decimal.
const TELEVISION: [u32; 5] = [24, 30, 48, 60, 120];
/// Denominator of those.
const TELEVISION_DENOMINATOR: u32 = 1001;
const MIN_RATE: u32 = 1;
const MAX_RATE: u32 = 240;

impl FrameRate {
    /// A whole rate that is known to the program.
    ///
    /// # Panics
    /// Outside 1 to 240; in a constant that is an error of the compiler.
    pub const fn whole(rate: u32) -> Self {
        assert!(rate >= MIN_RATE && rate <= MAX_RATE, "a frame rate is 1 to 240");
        Self { numerator: rate, denominator: 1 }
    }

    /// `numerator` frames in `denominator` seconds.
    ///
    /// # Errors
    /// [`BadFrameRate`] outside the bounds of the type.
    pub fn new(numerator: u32, denominator: u32) -> Result<Self, BadFrameRate> {
        let text = || if denominator == 1 { numerator.to_string() } else { format!("{numerator}/{denominator}") };
        let (n, d) = (u64::from(numerator), u64::from(denominator));
        if n < d * u64::from(MIN_RATE) || n > d * u64::from(MAX_RATE) || d == 0 {
            return Err(BadFrameRate::OutOfRange(text()));
        }
        let common = gcd(numerator, denominator);
        let (numerator, denominator) = (numerator / common, denominator / common);
        if denominator > TELEVISION_DENOMINATOR {
            return Err(BadFrameRate::TooFine(text()));
        }
        Ok(Self { numerator, denominator })
    }

    /// A rate given as a decimal number: exact as it is written, but for the customary short forms of the television
    /// rates (23.976 and 23.98, 29.97, 47.952, 59.94, 119.88), which mean n·1000/1001.
    ///
    /// # Errors
    /// [`BadFrameRate`] outside the bounds of the type.
    pub fn from_decimal(rate: f64) -> Result<Self, BadFrameRate> {
        // The shortest decimal of a number is the one that was written.
        if rate.is_finite() { rate.to_string().parse() } else { Err(BadFrameRate::OutOfRange(rate.to_string())) }
    }

    /// Frames in [`Self::denominator`] seconds.
    pub const fn numerator(self) -> u32 {
        self.numerator
    }

    /// Seconds in which there are [`Self::numerator`] frames.
    pub const fn denominator(self) -> u32 {
        self.denominator
    }

    /// Frames per second, rounded to a float.
    pub fn per_second(self) -> f64 {
        f64::from(self.numerator) / f64::from(self.denominator)
    }
}

impl fmt::Display for FrameRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.denominator {
            1 => write!(f, "{}", self.numerator),
            denominator => write!(f, "{}/{denominator}", self.numerator),
        }
    }
}

impl FromStr for FrameRate {
    type Err = BadFrameRate;

    fn from_str(text: &str) -> Result<Self, BadFrameRate> {
        let unreadable = || BadFrameRate::Unreadable(text.chars().take(40).collect());
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = |text: &str| if digits(text) { Ok(text.parse().unwrap_or(u32::MAX)) } else { Err(unreadable()) };
        if let Some((numerator, denominator)) = text.split_once('/') {
            return Self::new(number(numerator.trim())?, number(denominator.trim())?);
        }
        let (whole, decimals) = text.trim().split_once('.').unwrap_or((text.trim(), "0"));
        let (whole, _) = (number(whole)?, number(decimals)?);
        if whole > MAX_RATE {
            return Err(BadFrameRate::OutOfRange(text.trim().chars().take(40).collect()));
        }
        let decimals = decimals.trim_end_matches('0');
        if let Some(rate) = television(whole, decimals) {
            return Ok(rate);
        }
        if decimals.len() > 3 {
            return Err(BadFrameRate::TooFine(text.trim().chars().take(40).collect()));
        }
        let thousandths = format!("{decimals:0<3}").parse().unwrap_or(0);
        let exact = Self::new(whole * 1000 + thousandths, 1000);
        exact.map_err(|_| BadFrameRate::OutOfRange(text.trim().to_owned()))
    }
}

/// The television rate that is this decimal when it is rounded to as many places, of two or more.
fn television(whole: u32, decimals: &str) -> Option<FrameRate> {
    if !(2..=9).contains(&decimals.len()) {
        return None;
    }
    let scale = 10u64.pow(decimals.len() as u32);
    let written = u64::from(whole) * scale + decimals.parse::<u64>().ok()?;
    let rounded = |rate: u32| {
        let d = u64::from(TELEVISION_DENOMINATOR);
        (u64::from(rate) * 1000 * scale + d / 2) / d
    };
    let rate = TELEVISION.into_iter().find(|&rate| rounded(rate) == written)?;
    FrameRate::new(rate * 1000, TELEVISION_DENOMINATOR).ok()
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// What stands in JSON.
#[derive(Deserialize)]
#[serde(untagged, expecting = "a frame rate is 24, 23.976 or \"24000/1001\"")]
enum Written {
    Number(f64),
    Text(String),
}

impl TryFrom<Written> for FrameRate {
    type Error = BadFrameRate;

    fn try_from(written: Written) -> Result<Self, BadFrameRate> {
        match written {
            Written::Number(rate) => Self::from_decimal(rate),
            Written::Text(text) => text.parse(),
        }
    }
}

impl Serialize for FrameRate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.denominator {
            1 => serializer.serialize_u32(self.numerator),
            _ => serializer.collect_str(self),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_as_people_write_them() {
        for (text, numerator, denominator) in [
            ("1", 1, 1),
            ("24", 24, 1),
            ("24.0", 24, 1),
            ("24.000", 24, 1),
            ("240", 240, 1),
            ("12.5", 25, 2),
            ("29.5", 59, 2),
            ("23.976", 24_000, 1001),
            ("23.98", 24_000, 1001),
            ("23.976024", 24_000, 1001),
            ("29.97", 30_000, 1001),
            ("29.970", 30_000, 1001),
            ("47.952", 48_000, 1001),
            ("59.94", 60_000, 1001),
            ("119.88", 120_000, 1001),
            ("23.975", 959, 40),
            ("29.971", 29_971, 1000),
            ("24.98", 1249, 50),
            ("24000/1001", 24_000, 1001),
            ("48000 / 2002", 24_000, 1001),
            ("2997/100", 2997, 100),
            ("50/2", 25, 1),
        ] {
            let rate: FrameRate = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!((rate.numerator(), rate.denominator()), (numerator, denominator), "{text}");
            if let Ok(number) = text.parse() {
                assert_eq!(FrameRate::from_decimal(number), Ok(rate), "{text}");
            }
            assert_eq!(rate.to_string().parse(), Ok(rate), "{text}");
        }
    }

    #[test]
    fn rates_that_no_file_has() {
        use BadFrameRate::{OutOfRange, TooFine, Unreadable};
        let bad = |text: &str| text.parse::<FrameRate>().unwrap_err();
        for text in ["0", "0.999", "241", "240.001", "1000", "4294967296", "1/2", "24/0", "0/0", "9999999999/1"] {
            assert!(matches!(bad(text), OutOfRange(_)), "{text}: {}", bad(text));
        }
        for text in ["", " ", "-24", "24fps", "24/", "/1001", "24.", ".5", "1e2", "24000/1001/1", "24000:1001", "NaN"] {
            assert!(matches!(bad(text), Unreadable(_)), "{text}: {}", bad(text));
        }
        for text in ["23.9761", "24000/1003", "24.0001"] {
            assert!(matches!(bad(text), TooFine(_)), "{text}: {}", bad(text));
        }
        for rate in [f64::NAN, f64::INFINITY, -24.0, 0.0, 1e300, 1e-300] {
            assert!(FrameRate::from_decimal(rate).is_err(), "{rate}");
        }
        assert!(bad(&"9".repeat(1 << 20)).to_string().len() < 200);
    }
}
