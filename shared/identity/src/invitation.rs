//! The one line that somebody joins with: `wanfarm://host:7700/token#authority`.

use std::fmt;
use std::str::FromStr;

use wanfarm_types::KeyId;

use crate::secret::Secret;

/// The scheme of such lines.
const SCHEME: &str = "wanfarm://";

/// Where the coordinator is, by which authority to know it, and what to show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invitation {
    /// Host and port.
    pub coordinator: String,
    /// What is shown; `None` for a member that is to know the farm by another authority.
    pub token: Option<Secret>,
    /// By which the coordinator is known.
    pub authority: KeyId,
}

/// The text is no such line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "this is no line to join with: {0}; copy all of what `coordinator serve` or `coordinator access grant` printed, \
         wanfarm://HOST:PORT/TOKEN#AUTHORITY, and quote it"
)]
pub struct BadInvitation(&'static str);

impl fmt::Display for Invitation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let token = self.token.as_ref().map_or("", Secret::reveal);
        write!(f, "{SCHEME}{}/{token}#{}", self.coordinator, self.authority)
    }
}

impl FromStr for Invitation {
    type Err = BadInvitation;

    fn from_str(text: &str) -> Result<Self, BadInvitation> {
        let rest = text.trim().strip_prefix(SCHEME).ok_or(BadInvitation("it does not begin with wanfarm://"))?;
        let (rest, authority) = rest.split_once('#').ok_or(BadInvitation("what follows # is missing"))?;
        let authority = authority.parse().map_err(|_| BadInvitation("what follows # is no 64 hexadecimal digits"))?;
        let (coordinator, token) = rest.split_once('/').unwrap_or((rest, ""));
        let port = coordinator.rsplit_once(':').map(|(host, port)| (host, port.parse::<u16>()));
        if !matches!(port, Some((host, Ok(1..))) if !host.is_empty()) {
            return Err(BadInvitation("it names no host and port"));
        }
        let token = match token {
            "" => None,
            token => Some(token.parse().map_err(|_| BadInvitation("what follows / is no token"))?),
        };
        Ok(Self { coordinator: coordinator.to_owned(), token, authority })
    }
}

#[cfg(test)]
mod tests {
    use wanfarm_types::Digest;

    use super::*;

    #[test]
    fn a_line_says_where_who_and_what() {
        let authority = KeyId(Digest([0xab; 32]));
        for (coordinator, token) in
            [("studio-1:7700", Some(Secret::draw())), ("[fd07::1]:7701", Some(Secret::draw())), ("10.0.0.7:1", None)]
        {
            let invitation = Invitation { coordinator: coordinator.to_owned(), token, authority };
            assert_eq!(format!(" {invitation}\n").parse(), Ok(invitation));
        }
        let digits = "ab".repeat(32);
        for bad in [
            String::new(),
            format!("https://studio-1:7700/wf_1#{digits}"),
            "wanfarm://studio-1:7700/wf_1".to_owned(),
            "wanfarm://studio-1:7700/wf_1#abab".to_owned(),
            format!("wanfarm://studio-1/wf_1#{digits}"),
            format!("wanfarm://:7700/wf_1#{digits}"),
            format!("wanfarm://studio-1:0/wf_1#{digits}"),
            format!("wanfarm://studio-1:7700/wf 1#{digits}"),
        ] {
            assert!(bad.parse::<Invitation>().unwrap_err().to_string().contains("access grant"), "{bad}");
        }
    }
}
