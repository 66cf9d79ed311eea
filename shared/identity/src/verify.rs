//! Whose certificate is taken. Not what its holder may then do.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme};
use wanfarm_types::KeyId;

use crate::key::PublicKey;

/// Takes certificates that an authority has issued to those of one name.
#[derive(Debug)]
pub(crate) struct Issued {
    pub(crate) authority: KeyId,
    pub(crate) name: &'static str,
    pub(crate) crypto: Arc<CryptoProvider>,
}

/// Takes any certificate, for the key in it: who has that is known elsewhere. That its holder has the key is checked.
#[derive(Debug)]
pub(crate) struct AnyKey {
    /// Told to browsers, so that they offer no certificate which is meant for others.
    pub(crate) hint: Vec<DistinguishedName>,
    pub(crate) crypto: Arc<CryptoProvider>,
}

/// That the holder of a certificate has its key, as TLS itself has it checked.
macro_rules! signatures {
    () => {
        fn verify_tls12_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls12_signature(message, certificate, signed, &self.crypto.signature_verification_algorithms)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls13_signature(message, certificate, signed, &self.crypto.signature_verification_algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.crypto.signature_verification_algorithms.supported_schemes()
        }
    };
}

impl Issued {
    fn check(
        &self,
        certificate: &CertificateDer<'_>,
        behind: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        let is_authority = |certificate: &&CertificateDer<'_>| {
            PublicKey::of(certificate).is_some_and(|key| key.id() == self.authority)
        };
        let Some(authority) = behind.iter().find(is_authority) else {
            return Err(Error::General(format!(
                "the other side is not of the farm whose authority is {}",
                self.authority.short()
            )));
        };
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone().into_owned())?;
        let parsed = ParsedCertificate::try_from(certificate)?;
        let algorithms = self.crypto.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&parsed, &roots, &[], now, algorithms)?;
        let name = ServerName::try_from(self.name).map_err(|error| Error::General(error.to_string()))?;
        verify_server_name(&parsed, &name)
            .map_err(|_| Error::General(format!("the certificate of the other side is none of a {}", self.name)))
    }
}

impl ServerCertVerifier for Issued {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        behind: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check(certificate, behind, now).map(|()| ServerCertVerified::assertion())
    }

    signatures!();
}

impl ClientCertVerifier for Issued {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        behind: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.check(certificate, behind, now).map(|()| ClientCertVerified::assertion())
    }

    signatures!();
}

impl ClientCertVerifier for AnyKey {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hint
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        ParsedCertificate::try_from(certificate).map(|_| ClientCertVerified::assertion())
    }

    signatures!();
}
