//! Connections to coordinators and workers: in plain text, or encrypted among members of a farm.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::codegen::Service;
use tonic::transport::{Channel, Endpoint, Error, Uri};
use wanfarm_identity::{COORDINATOR, Farm, KeyError, TENSORS, explain, to};

/// How long encrypting may take, once there is a connection.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(20);

/// A coordinator: where it is, and how it is dialled.
#[derive(Debug, Clone)]
pub struct Target {
    /// Host and port.
    address: String,
    way: Way,
}

impl Target {
    /// A coordinator at `host:port`.
    pub fn new(address: &str, way: Way) -> Self {
        Self { address: address.to_owned(), way }
    }

    /// Host and port.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// How it is dialled.
    pub fn way(&self) -> &Way {
        &self.way
    }

    /// Where its pages are.
    pub fn url(&self) -> String {
        format!("{}://{}", if self.way.is_encrypted() { "https" } else { "http" }, self.address)
    }

    /// What gRPC dials. Encryption is the way's.
    ///
    /// # Errors
    /// When the address is none.
    pub fn endpoint(&self) -> Result<Endpoint, Error> {
        Endpoint::from_shared(format!("http://{}", self.address))
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.url())
    }
}

/// How others are dialled. Never in plain text by whoever belongs to a farm.
#[derive(Debug, Clone, Default)]
pub struct Way(Option<Secured>);

#[derive(Debug, Clone)]
struct Secured {
    config: Arc<ClientConfig>,
    name: &'static str,
}

impl Way {
    /// In plain text.
    pub fn plain() -> Self {
        Self(None)
    }

    /// To the coordinator of a farm.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn to_coordinator(farm: &Farm) -> Result<Self, KeyError> {
        Self::secured(farm, COORDINATOR)
    }

    /// To those who hold tensors of a farm.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn to_tensors(farm: &Farm) -> Result<Self, KeyError> {
        Self::secured(farm, TENSORS)
    }

    fn secured(farm: &Farm, name: &'static str) -> Result<Self, KeyError> {
        Ok(Self(Some(Secured { config: Arc::new(to(farm, name)?), name })))
    }

    /// True when what is sent is encrypted.
    pub fn is_encrypted(&self) -> bool {
        self.0.is_some()
    }

    /// Dials now.
    ///
    /// # Errors
    /// When nobody answers, or somebody else than is meant.
    pub async fn connect(&self, endpoint: &Endpoint) -> Result<Channel, Error> {
        match &self.0 {
            None => endpoint.connect().await,
            Some(secured) => endpoint.connect_with_connector(secured.connector()).await,
        }
    }

    /// Dials when something is first asked, and again after a connection has broken.
    pub fn connect_lazy(&self, endpoint: &Endpoint) -> Channel {
        match &self.0 {
            None => endpoint.connect_lazy(),
            Some(secured) => endpoint.connect_with_connector_lazy(secured.connector()),
        }
    }
}

impl Secured {
    fn connector(&self) -> Connector {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        Connector { tcp, secured: self.clone() }
    }
}

/// Connects by whichever family answers first, as without encryption, and encrypts.
#[derive(Clone)]
struct Connector {
    tcp: HttpConnector,
    secured: Secured,
}

impl Service<Uri> for Connector {
    type Response = TokioIo<TlsStream<TcpStream>>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.tcp.poll_ready(cx).map_err(io::Error::other)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = self.tcp.call(uri);
        let Secured { config, name } = self.secured.clone();
        Box::pin(async move {
            let stream = connecting.await.map_err(io::Error::other)?.into_inner();
            let name = ServerName::try_from(name).map_err(io::Error::other)?;
            let handshake = TlsConnector::from(config).connect(name, stream);
            let late = |_| io::Error::new(io::ErrorKind::TimedOut, "the other side does not encrypt in time");
            let shaken = tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake).await.map_err(late)?;
            shaken.map(TokioIo::new).map_err(|error| io::Error::new(error.kind(), explain(&error)))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use rustls::ServerConfig;
    use tonic::transport::Server;
    use wanfarm_identity::{Authority, Credentials, Key, of_coordinator, of_worker};
    use wanfarm_types::{Digest, TensorRef};

    use super::*;
    use crate::listen;
    use crate::tensors::{Puller, TensorSource, service};

    /// A farm, and members of it.
    struct Studio {
        authority: Authority,
        _folder: tempfile::TempDir,
    }

    impl Studio {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            Self { authority: Authority::make(&folder.path().join("authority")).unwrap(), _folder: folder }
        }

        fn member(&self, name: &str) -> Farm {
            let key = Key::draw().unwrap();
            let credentials = Credentials::new(&key).unwrap();
            let names = [name.to_owned()];
            credentials.show(&self.authority.issue(&key.public(), &names, Duration::from_secs(60)).unwrap()).unwrap();
            Farm { credentials: Arc::new(credentials), authority: self.authority.id() }
        }
    }

    struct One(Bytes);

    impl TensorSource for One {
        fn tensor(&self, _: &Digest) -> Option<Bytes> {
            Some(self.0.clone())
        }
    }

    async fn serve(config: Option<ServerConfig>, bytes: &Bytes) -> String {
        let listener = listen::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let incoming = listen::incoming(listener, config.map(Arc::new), || ());
        let source = Arc::new(One(bytes.clone()));
        tokio::spawn(Server::builder().add_service(service(source)).serve_with_incoming(incoming));
        address.to_string()
    }

    fn tensor(bytes: &Bytes) -> TensorRef {
        let digest = Digest(*blake3::hash(bytes).as_bytes());
        TensorRef { digest, dtype: wanfarm_types::DType::U8, shape: vec![bytes.len() as u64] }
    }

    #[tokio::test]
    async fn members_read_from_one_another_and_nothing_falls_back_to_plain_text() {
        let bytes = Bytes::from((0..3_000_000u32).map(|n| n as u8).collect::<Vec<_>>());
        let tensor = tensor(&bytes);
        let (ours, theirs) = (Studio::new(), Studio::new());
        let worker = ours.member(TENSORS);
        let secured = serve(Some(of_worker(&worker).unwrap()), &bytes).await;
        let plain = serve(None, &bytes).await;
        let reader = Puller::new(Way::to_tensors(&ours.member(TENSORS)).unwrap());
        assert_eq!(reader.pull(&tensor, std::slice::from_ref(&secured)).await.unwrap(), bytes);
        let why = reader.pull(&tensor, std::slice::from_ref(&plain)).await.unwrap_err().to_string();
        assert!(why.contains("encrypt"), "{why}");
        let former = Puller::new(Way::to_tensors(&theirs.member(TENSORS)).unwrap());
        let why = former.pull(&tensor, std::slice::from_ref(&secured)).await.unwrap_err().to_string();
        assert!(why.contains("not of the farm whose authority"), "{why}");
        let open = Puller::new(Way::plain());
        assert_eq!(open.pull(&tensor, &[plain]).await.unwrap(), bytes);
        assert!(open.pull(&tensor, &[secured]).await.unwrap_err().is_unreachable());
    }

    #[tokio::test]
    async fn a_grpc_client_that_does_not_encrypt_is_told_so_in_its_own_words() {
        use crate::v1::ReadRequest;
        use crate::v1::tensors_client::TensorsClient;
        let ours = Studio::new();
        let address = serve(Some(of_worker(&ours.member(TENSORS)).unwrap()), &Bytes::from_static(b"x")).await;
        let channel = Way::plain().connect(&Target::new(&address, Way::plain()).endpoint().unwrap()).await.unwrap();
        let asked = TensorsClient::new(channel).read(ReadRequest { digest: vec![0; 32], offset: 0 }).await;
        let status = asked.unwrap_err();
        assert_eq!(status.code(), tonic::Code::Unauthenticated);
        assert!(status.message().starts_with("it encrypts: name it as https://"), "{status:?}");
    }

    #[tokio::test]
    async fn what_is_not_encrypted_is_told_so_in_its_own_words() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let ours = Studio::new();
        let config = of_coordinator(ours.member(COORDINATOR).credentials).unwrap();
        let address = serve(Some(config), &Bytes::from_static(b"x")).await;
        let mut browser = TcpStream::connect(&address).await.unwrap();
        browser.write_all(b"GET / HTTP/1.1\r\nHost: studio-1\r\n\r\n").await.unwrap();
        let mut heard = String::new();
        browser.read_to_string(&mut heard).await.unwrap();
        assert!(heard.starts_with("HTTP/1.1 400 ") && heard.contains("https://"), "{heard}");
    }
}
