//! TLS as each kind of process speaks it.

use std::io;
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::CertificateDer;
use rustls::{AlertDescription, CertificateError, ClientConfig, DistinguishedName, Error, ServerConfig, version};
use wanfarm_types::KeyId;

use crate::TENSORS;
use crate::credentials::{Credentials, Farm};
use crate::key::{KeyError, PublicKey};
use crate::verify::{AnyKey, Issued};

/// The protocols that are spoken inside.
const BOTH: [&[u8]; 2] = [b"h2", b"http/1.1"];
const HTTP2: [&[u8]; 1] = [b"h2"];

/// Who is at the other end of a connection that was accepted.
#[derive(Debug, Clone, Default)]
pub struct Peer {
    /// The key that it has shown to have, if any.
    pub key: Option<PublicKey>,
}

impl Peer {
    /// Of a connection on which these certificates were shown.
    pub fn of(shown: Option<&[CertificateDer<'_>]>) -> Self {
        Self { key: shown.and_then(<[_]>::first).and_then(PublicKey::of) }
    }

    /// The name of its key.
    pub fn id(&self) -> Option<KeyId> {
        self.key.as_ref().map(PublicKey::id)
    }
}

fn crypto() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn spoken(protocols: &[&[u8]]) -> Vec<Vec<u8>> {
    protocols.iter().map(|protocol| protocol.to_vec()).collect()
}

/// How the coordinator answers: anybody may speak, with a key or without. Also TLS 1.2, for the programs of others.
///
/// # Errors
/// When TLS cannot be set up.
pub fn of_coordinator(credentials: Arc<Credentials>) -> Result<ServerConfig, KeyError> {
    let crypto = crypto();
    // A name that no authority has.
    let hint = vec![DistinguishedName::in_sequence(b"")];
    let verifier = Arc::new(AnyKey { hint, crypto: crypto.clone() });
    let config =
        ServerConfig::builder_with_provider(crypto).with_protocol_versions(&[&version::TLS13, &version::TLS12])?;
    let mut config = config.with_client_cert_verifier(verifier).with_cert_resolver(credentials);
    config.alpn_protocols = spoken(&BOTH);
    Ok(config)
}

/// How a worker answers those who read its tensors: only to its farm's workers and coordinator.
///
/// # Errors
/// When TLS cannot be set up.
pub fn of_worker(farm: &Farm) -> Result<ServerConfig, KeyError> {
    let crypto = crypto();
    let verifier = Arc::new(Issued { authority: farm.authority, name: TENSORS, crypto: crypto.clone() });
    let config = ServerConfig::builder_with_provider(crypto).with_protocol_versions(&[&version::TLS13])?;
    let mut config = config.with_client_cert_verifier(verifier).with_cert_resolver(farm.credentials.clone());
    config.alpn_protocols = spoken(&HTTP2);
    Ok(config)
}

/// How a member of a farm dials those of a name: [`crate::COORDINATOR`] or [`crate::TENSORS`].
///
/// # Errors
/// When TLS cannot be set up.
pub fn to(farm: &Farm, name: &'static str) -> Result<ClientConfig, KeyError> {
    let crypto = crypto();
    let verifier = Arc::new(Issued { authority: farm.authority, name, crypto: crypto.clone() });
    let config = ClientConfig::builder_with_provider(crypto).with_protocol_versions(&[&version::TLS13])?;
    let config = config.dangerous().with_custom_certificate_verifier(verifier);
    let mut config = config.with_client_cert_resolver(farm.credentials.clone());
    config.alpn_protocols = spoken(&HTTP2);
    Ok(config)
}

/// Why no encrypted connection came about, for people.
pub fn explain(error: &io::Error) -> String {
    let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) else {
        return match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => {
                "the other side hung up instead of encrypting".to_owned()
            }
            _ => error.to_string(),
        };
    };
    match tls {
        Error::General(why) => why.clone(),
        Error::InvalidMessage(_) => "what answers there does not encrypt".to_owned(),
        Error::InvalidCertificate(
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. },
        ) => {
            "the certificate of the other side is not valid by this machine's clock; set the clocks of both".to_owned()
        }
        Error::AlertReceived(AlertDescription::CertificateExpired) => {
            "the other side takes this machine's certificate as expired; set the clocks of both".to_owned()
        }
        Error::AlertReceived(
            AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnknownCA
            | AlertDescription::CertificateUnknown
            | AlertDescription::InternalError,
        ) => "the other side does not know this machine".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustls::pki_types::ServerName;
    use rustls::{ClientConnection, ServerConnection};

    use super::*;
    use crate::COORDINATOR;
    use crate::authority::Authority;
    use crate::key::Key;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    struct Studio {
        authority: Authority,
        _folder: tempfile::TempDir,
    }

    impl Studio {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            Self { authority: Authority::make(&folder.path().join("authority")).unwrap(), _folder: folder }
        }

        fn issue(&self, key: &Key, names: &[&str], valid: Duration) -> String {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            self.authority.issue(&key.public(), &names, valid).unwrap()
        }

        /// A process with a certificate that names these.
        fn with(&self, names: &[&str]) -> Farm {
            let key = Key::draw().unwrap();
            let farm = self.stranger_with(&key);
            farm.credentials.show(&self.issue(&key, names, DAY)).unwrap();
            farm
        }

        /// One with a key alone.
        fn stranger_with(&self, key: &Key) -> Farm {
            Farm { credentials: Arc::new(Credentials::new(key).unwrap()), authority: self.authority.id() }
        }
    }

    /// Shakes hands in memory: who was seen at the server's side, or what the client, else the server, has to say.
    fn shake(client: ClientConfig, server: ServerConfig) -> Result<Peer, String> {
        let name = ServerName::try_from("whatever.example").unwrap();
        let mut client = ClientConnection::new(Arc::new(client), name).unwrap();
        let mut server = ServerConnection::new(Arc::new(server)).unwrap();
        let said = |error: Error| explain(&io::Error::new(io::ErrorKind::InvalidData, error));
        for _ in 0..4 {
            let mut wire = Vec::new();
            client.write_tls(&mut wire).unwrap();
            while !wire.is_empty() {
                let mut rest = &wire[..];
                server.read_tls(&mut rest).unwrap();
                wire = rest.to_vec();
            }
            let heard = server.process_new_packets();
            let mut wire = Vec::new();
            server.write_tls(&mut wire).unwrap();
            client.read_tls(&mut &wire[..]).unwrap();
            client.process_new_packets().map_err(said)?;
            heard.map_err(said)?;
        }
        assert!(!client.is_handshaking() && !server.is_handshaking());
        Ok(Peer::of(server.peer_certificates()))
    }

    #[test]
    fn a_member_knows_the_coordinator_by_its_authority_and_is_known_by_its_key() {
        let studio = Studio::new();
        let coordinator = studio.with(&[COORDINATOR, TENSORS, "studio-1", "10.0.0.7"]);
        let key = Key::draw().unwrap();
        let member = studio.stranger_with(&key);
        let answering = || of_coordinator(coordinator.credentials.clone()).unwrap();
        let peer = shake(to(&member, COORDINATOR).unwrap(), answering()).unwrap();
        assert_eq!(peer.id(), Some(key.id()));
        assert!(peer.key.unwrap().is_of_ours());
        // Somebody else's coordinator, and a worker that plays one.
        let other = Studio::new();
        let why = shake(to(&other.stranger_with(&key), COORDINATOR).unwrap(), answering()).unwrap_err();
        assert!(why.contains("not of the farm whose authority is"), "{why}");
        let worker = of_coordinator(studio.with(&[TENSORS]).credentials).unwrap();
        let why = shake(to(&member, COORDINATOR).unwrap(), worker).unwrap_err();
        assert!(why.contains("none of a coordinator"), "{why}");
    }

    #[test]
    fn a_browser_comes_without_a_key() {
        let studio = Studio::new();
        let coordinator = studio.with(&[COORDINATOR, "whatever.example"]);
        let mut roots = rustls::RootCertStore::empty();
        let pem = studio.authority.pem();
        roots.add(rustls::pki_types::pem::PemObject::from_pem_slice(pem.as_bytes()).unwrap()).unwrap();
        let browser = || ClientConfig::builder_with_provider(crypto());
        for versions in [&[&version::TLS13], &[&version::TLS12]] {
            let browser = browser().with_protocol_versions(versions).unwrap();
            let browser = browser.with_root_certificates(roots.clone()).with_no_client_auth();
            let peer = shake(browser, of_coordinator(coordinator.credentials.clone()).unwrap()).unwrap();
            assert_eq!(peer.id(), None);
        }
    }

    #[test]
    fn workers_read_from_workers_and_nobody_else_does() {
        let studio = Studio::new();
        let worker = studio.with(&[TENSORS]);
        let answering = || of_worker(&worker).unwrap();
        for reader in [studio.with(&[TENSORS]), studio.with(&[COORDINATOR, TENSORS])] {
            shake(to(&reader, TENSORS).unwrap(), answering()).unwrap();
        }
        let refused = |reader: &Farm| shake(to(reader, TENSORS).unwrap(), answering()).unwrap_err();
        refused(&studio.with(&["studio-1"]));
        refused(&studio.stranger_with(&Key::draw().unwrap()));
        let other = Studio::new();
        let former = Farm { authority: studio.authority.id(), ..other.with(&[TENSORS]) };
        refused(&former);
        let verifier = crate::verify::Issued { authority: studio.authority.id(), name: TENSORS, crypto: crypto() };
        let nobody = ClientConfig::builder_with_provider(crypto()).with_protocol_versions(&[&version::TLS13]).unwrap();
        let nobody = nobody.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth();
        shake(nobody, answering()).unwrap_err();
    }

    #[test]
    fn a_certificate_is_taken_by_clocks_that_are_a_day_off_and_not_for_ever() {
        let studio = Studio::new();
        let reader = studio.with(&[TENSORS]);
        let key = Key::draw().unwrap();
        let worker = studio.stranger_with(&key);
        let at = |seconds_from_now: i64| {
            let verifier = crate::verify::Issued { authority: studio.authority.id(), name: TENSORS, crypto: crypto() };
            use rustls::pki_types::pem::PemObject;
            let issued = studio.issue(&key, &[TENSORS], 3 * DAY);
            let issued: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(issued.as_bytes()).collect();
            let issued = issued.unwrap();
            let now = time::OffsetDateTime::now_utc().unix_timestamp() + seconds_from_now;
            let now = rustls::pki_types::UnixTime::since_unix_epoch(Duration::from_secs(now as u64));
            use rustls::server::danger::ClientCertVerifier;
            verifier.verify_client_cert(&issued[0], &issued[1..], now).is_ok()
        };
        let day = DAY.as_secs() as i64;
        assert_eq!([-3 * day, -day, 0, day, 4 * day].map(at), [false, true, true, true, false]);
        let (then, names) = (time::OffsetDateTime::now_utc() - 2 * DAY, [TENSORS.to_owned()]);
        worker.credentials.show(&studio.authority.issue_at(then, &key.public(), &names, DAY).unwrap()).unwrap();
        let why = shake(to(&reader, TENSORS).unwrap(), of_worker(&worker).unwrap()).unwrap_err();
        assert!(why.contains("set the clocks"), "{why}");
        worker.credentials.show(&studio.issue(&key, &[TENSORS], DAY)).unwrap();
        shake(to(&reader, TENSORS).unwrap(), of_worker(&worker).unwrap()).unwrap();
        let foreign = studio.issue(&Key::draw().unwrap(), &[TENSORS], DAY);
        assert!(worker.credentials.show(&foreign).is_err());
    }
}
