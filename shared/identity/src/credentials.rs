//! What a process shows of itself when it dials and when it is dialled: its key, with the certificate of the moment.

use std::sync::{Arc, PoisonError, RwLock};

use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::{CertifiedKey, SigningKey};
use wanfarm_types::KeyId;

use crate::key::{Key, KeyError, PublicKey};

/// A key with a certificate, which may be replaced while connections are made.
#[derive(Debug)]
pub struct Credentials {
    public: PublicKey,
    signing: Arc<dyn SigningKey>,
    shown: RwLock<Arc<CertifiedKey>>,
}

/// A process that belongs to a farm: what it shows, and by which authority it knows the others.
#[derive(Debug, Clone)]
pub struct Farm {
    /// What it shows of itself.
    pub credentials: Arc<Credentials>,
    /// By which it knows the others.
    pub authority: KeyId,
}

impl Credentials {
    /// Of a key, with a certificate that it signs itself.
    ///
    /// # Errors
    /// When TLS cannot use the key.
    pub fn new(key: &Key) -> Result<Self, KeyError> {
        let signing = key.signing()?;
        let shown = CertifiedKey::new(vec![key.own_certificate()?], signing.clone());
        Ok(Self { public: key.public(), signing, shown: RwLock::new(Arc::new(shown)) })
    }

    /// The public half of the key.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Shows this certificate from now on: as PEM, with that of its authority behind it.
    ///
    /// # Errors
    /// When it is none, or of another key.
    pub fn show(&self, issued: &str) -> Result<(), KeyError> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(issued.as_bytes()).collect();
        let chain = chain.map_err(|error| rustls::Error::General(error.to_string()))?;
        if chain.is_empty() {
            return Err(rustls::Error::NoCertificatesPresented.into());
        }
        let shown = CertifiedKey::new(chain, self.signing.clone());
        shown.keys_match()?;
        *self.shown.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(shown);
        Ok(())
    }

    fn shown(&self) -> Arc<CertifiedKey> {
        self.shown.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ResolvesServerCert for Credentials {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.shown())
    }
}

/// Whatever authorities the other side hints at: it is hinted at for browsers.
impl ResolvesClientCert for Credentials {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.shown())
    }

    fn has_certs(&self) -> bool {
        true
    }
}
