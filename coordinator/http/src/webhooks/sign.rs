//! Signatures as Standard Webhooks 1.0 has them: HMAC-SHA256 of id, time and body, in base64.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;

/// How secrets are marked.
const PREFIX: &str = "whsec_";

/// What messages to one target are signed with.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Secret(Vec<u8>);

impl Secret {
    /// A new one.
    pub(super) fn draw() -> Self {
        Self(rand::random::<[u8; 32]>().into())
    }

    /// One that was written down.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let bytes = text.strip_prefix(PREFIX).and_then(|bytes| STANDARD.decode(bytes).ok());
        let bytes = bytes.filter(|bytes| (24..=64).contains(&bytes.len()));
        bytes.map(Self).ok_or_else(|| format!("write {PREFIX} and 24 to 64 bytes in base64, or leave it out"))
    }

    /// As it is written down.
    pub(super) fn text(&self) -> String {
        format!("{PREFIX}{}", STANDARD.encode(&self.0))
    }

    /// The signature of a message that was sent at `seconds` since 1970.
    pub(super) fn sign(&self, id: &str, seconds: u64, body: &[u8]) -> String {
        let mut signed = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &self.0));
        signed.update(format!("{id}.{seconds}.").as_bytes());
        signed.update(body);
        format!("v1,{}", STANDARD.encode(signed.sign()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made with Python's hmac and base64, key and message as below.
    #[test]
    fn a_signature_is_what_others_compute() {
        let secret = Secret::read("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signed = secret.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert_eq!(secret.text(), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    }

    #[test]
    fn a_secret_is_long_enough_and_marked() {
        let with = |bytes: usize| Secret::read(&format!("whsec_{}", STANDARD.encode(vec![7; bytes])));
        assert!(with(24).is_ok() && with(64).is_ok() && with(23).is_err() && with(65).is_err());
        for bad in
            ["", "whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_é", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa!!"]
        {
            assert!(Secret::read(bad).is_err(), "{bad}");
        }
        assert!(Secret::draw() != Secret::draw());
    }
}
