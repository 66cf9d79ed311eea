//! What is shown once in the place of a key: by somebody who joins, or with every request by a script or a browser.

use std::fmt;
use std::str::FromStr;

use wanfarm_types::Digest;

/// The longest that is looked at.
const LONGEST: usize = 128;

/// A text that nobody guesses. It is kept nowhere but with its holder; what is kept is its digest.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// A new one, of 128 random bits.
    pub fn draw() -> Self {
        let bytes: [u8; 16] = rand::random();
        Self(bytes.iter().fold("wf_".to_owned(), |text, byte| text + &format!("{byte:02x}")))
    }

    /// By which it is known again.
    pub fn digest(&self) -> Digest {
        Digest(*blake3::hash(self.0.as_bytes()).as_bytes())
    }

    /// The text, to be told to its holder.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

/// Logs have no secrets in them.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl FromStr for Secret {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_one = !text.is_empty()
            && text.len() <= LONGEST
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
        if is_one { Ok(Self(text.to_owned())) } else { Err("it is no token") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_known_again_and_not_told_by_accident() {
        let secret = Secret::draw();
        assert_eq!(secret.reveal().len(), 35);
        assert_ne!(secret, Secret::draw());
        let again: Secret = secret.reveal().parse().unwrap();
        assert_eq!(again.digest(), secret.digest());
        assert_eq!(format!("{secret:?}"), "Secret");
        for bad in ["", "a b", "a/b", &"a".repeat(129)] {
            assert!(bad.parse::<Secret>().is_err(), "{bad}");
        }
    }
}
