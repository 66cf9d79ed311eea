//! Sockets that services listen on: on both address families, encrypted or not, patient when descriptors run out, and
//! impatient with peers that say nothing or read nothing. Not the services.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use futures::{FutureExt, Stream, StreamExt};
use rustls::ServerConfig;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Sleep, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;
use wanfarm_identity::Peer;

use crate::crowd::{Crowd, Full, Place};
use crate::plain::turn_away;
use crate::tensors::is_out_of_descriptors;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 1024;
/// How long a new connection may take to say who it is.
const PREFACE_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a peer may take nothing of what is sent to it.
const READING_TIMEOUT: Duration = Duration::from_secs(60);
/// What begins with another byte is no TLS.
const HANDSHAKE: u8 = 0x16;
/// What every HTTP/2 client says first has this many bytes.
const PREFACE: usize = 24;
/// Pause before accepting again after a failure for lack of descriptors or memory.
const ACCEPT_RETRY: Duration = Duration::from_millis(500);
/// A time without trouble after which the next one is worth a word again.
const QUIET: Duration = Duration::from_secs(600);

/// Listens on an address. `[::]` is every interface, by IPv4 too, and also where there is no IPv6.
///
/// # Errors
/// When the address or port cannot be had.
pub async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    if !(address.is_ipv6() && address.ip().is_unspecified()) {
        return TcpListener::bind(address).await;
    }
    match both_families(address) {
        Ok(listener) => TcpListener::from_std(listener),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(error),
        Err(_) => TcpListener::bind((IpAddr::from(Ipv4Addr::UNSPECIFIED), address.port())).await,
    }
}

fn both_families(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::IPV6, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_only_v6(false)?;
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Who has connected, and to where.
#[derive(Debug, Clone, Default)]
pub struct Connection {
    /// Address and port of the other side.
    pub remote: Option<SocketAddr>,
    /// Which address of this machine it has dialled.
    pub local: Option<SocketAddr>,
    /// Whose key it has shown to have; of nobody where nothing is encrypted.
    pub peer: Peer,
}

/// The connections that arrive, as far as there is room for them. Never an error: what cannot be accepted now is accepted later; `starved` is called each
/// time that one has to wait for a free file descriptor. With `tls` they are encrypted, and those that are not do not arrive.
pub fn incoming(
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
    starved: impl Fn() + Send + 'static,
) -> impl Stream<Item = io::Result<Prompt>> + Send {
    let tls = tls.map(TlsAcceptor::from);
    let begun = accepted(listener, starved).map(move |(stream, place)| begin(stream, place, tls.clone()));
    // As many at once as there may be connections: who takes long keeps nobody waiting.
    begun.buffer_unordered(usize::MAX).filter_map(|connection| async { connection.map(Ok) })
}

fn accepted(
    listener: TcpListener,
    starved: impl Fn() + Send + 'static,
) -> impl Stream<Item = (TcpStream, Place)> + Send {
    let start = (listener, [None; 2], starved, Crowd::new());
    futures::stream::unfold(start, |(listener, [mut told, mut told_full], starved, crowd)| async move {
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => {
                    let place = match crowd.admit(peer.ip()) {
                        Ok(place) => place,
                        Err(full) => {
                            if is_news(&mut told_full, Instant::now()) {
                                refused(full, peer.ip());
                            }
                            continue;
                        }
                    };
                    // Only speed is lost without.
                    let _ = stream.set_nodelay(true);
                    return Some(((stream, place), (listener, [told, told_full], starved, crowd)));
                }
                Err(error) if is_of_the_peer(&error) => {}
                Err(error) => {
                    if is_news(&mut told, Instant::now()) {
                        tracing::warn!(
                            %error,
                            "connections have to wait; if too many files are open, allow more (ulimit -n, \
                             LimitNOFILE in systemd, SoftResourceLimits in launchd)"
                        );
                    }
                    if is_out_of_descriptors(&error) {
                        starved();
                    }
                    sleep(ACCEPT_RETRY).await;
                }
            }
        }
    })
}

/// Encrypts a connection, if it is to be.
async fn begin(stream: TcpStream, place: Place, tls: Option<TlsAcceptor>) -> Option<Prompt> {
    let (remote, local) = (stream.peer_addr().ok(), stream.local_addr().ok());
    let Some(tls) = tls else {
        let about = Connection { remote, local, peer: Peer::default() };
        return Some(Prompt::within(Inner::Plain(stream), about, PREFACE_TIMEOUT, Some(place)));
    };
    match timeout(PREFACE_TIMEOUT, encrypt(stream, tls)).await {
        Ok(Ok(stream)) => {
            let peer = Peer::of(stream.get_ref().1.peer_certificates());
            let about = Connection { remote, local, peer };
            Some(Prompt::within(Inner::Encrypted(Box::new(stream)), about, PREFACE_TIMEOUT, Some(place)))
        }
        Ok(Err(error)) => {
            let peer = remote.map(|remote| remote.ip().to_canonical());
            tracing::debug!(?peer, why = wanfarm_identity::explain(&error), "a connection was not encrypted");
            None
        }
        Err(_) => None,
    }
}

async fn encrypt(mut stream: TcpStream, tls: TlsAcceptor) -> io::Result<TlsStream<TcpStream>> {
    let mut first = [0];
    if stream.peek(&mut first).await? == 1 && first[0] != HANDSHAKE {
        turn_away(&mut stream).await?;
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it began in plain text"));
    }
    tls.accept(stream).await
}

fn refused(full: Full, peer: IpAddr) {
    match full {
        Full::All => {
            tracing::warn!(%peer, "a connection is refused: there are as many as this process may have; allow more \
             (ulimit -n, LimitNOFILE in systemd, SoftResourceLimits in launchd)")
        }
        Full::Address => {
            tracing::warn!(%peer, "a connection is refused: this address has half of all that there may be")
        }
    }
}

/// A connection that was gone before it was accepted.
fn is_of_the_peer(error: &io::Error) -> bool {
    use io::ErrorKind;
    matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::Interrupted)
}

/// True for the first trouble after a quiet time: it is told once, however often it happens.
fn is_news(told: &mut Option<Instant>, now: Instant) -> bool {
    told.replace(now).is_none_or(|last| now > last + QUIET)
}

/// A connection that has to begin with an HTTP/2 preface before long, and whose peer has to read.
#[derive(Debug)]
pub struct Prompt {
    stream: Inner,
    about: Connection,
    /// Until it has: by when, and how much has come.
    awaited: Option<(Pin<Box<Sleep>>, usize)>,
    /// While the peer takes nothing: by when it has to.
    unread: Option<Pin<Box<Sleep>>>,
    /// How long that may last.
    reading: Duration,
    /// Its place among all connections.
    place: Option<Place>,
}

#[derive(Debug)]
enum Inner {
    Plain(TcpStream),
    Encrypted(Box<TlsStream<TcpStream>>),
}

impl Prompt {
    fn within(stream: Inner, about: Connection, patience: Duration, place: Option<Place>) -> Self {
        let awaited = Some((Box::pin(sleep(patience)), 0));
        Self { stream, about, awaited, unread: None, reading: READING_TIMEOUT, place }
    }

    /// What came of sending. HTTP/2 notices by itself a peer that reads nothing, as it answers no ping; HTTP/1.1 does not.
    fn sent<T>(&mut self, cx: &mut Context<'_>, sent: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if sent.is_ready() {
            self.unread = None;
            return sent;
        }
        let reading = self.reading;
        match self.unread.get_or_insert_with(|| Box::pin(sleep(reading))).poll_unpin(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the peer reads nothing"))),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl Connected for Prompt {
    type ConnectInfo = Connection;

    fn connect_info(&self) -> Connection {
        self.about.clone()
    }
}

/// The stream below, of whatever kind.
macro_rules! below {
    ($prompt:expr, $stream:ident => $act:expr) => {
        match &mut $prompt.stream {
            Inner::Plain($stream) => $act,
            Inner::Encrypted($stream) => $act,
        }
    };
}

impl AsyncRead for Prompt {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.place.as_ref().is_some_and(|place| place.poll_lost(cx).is_ready()) {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::ConnectionAborted, "others need its place")));
        }
        let Some((late, _)) = &mut self.awaited else {
            return below!(self, stream => Pin::new(stream).poll_read(cx, buf));
        };
        if late.poll_unpin(cx).is_ready() {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the peer says nothing")));
        }
        let before = buf.filled().len();
        let read = ready!(below!(self, stream => Pin::new(stream).poll_read(cx, buf)));
        if let Some((_, arrived)) = &mut self.awaited {
            *arrived += buf.filled().len() - before;
            if *arrived >= PREFACE {
                self.awaited = None;
            }
        }
        Poll::Ready(read)
    }
}

impl AsyncWrite for Prompt {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let sent = below!(self, stream => Pin::new(stream).poll_write(cx, bytes));
        self.sent(cx, sent)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let sent = below!(self, stream => Pin::new(stream).poll_write_vectored(cx, bytes));
        self.sent(cx, sent)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Inner::Plain(stream) => stream.is_write_vectored(),
            Inner::Encrypted(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let sent = below!(self, stream => Pin::new(stream).poll_flush(cx));
        self.sent(cx, sent)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let sent = below!(self, stream => Pin::new(stream).poll_shutdown(cx));
        self.sent(cx, sent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn every_interface_is_reached_by_both_families() {
        let listener = bind("[::]:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        TcpStream::connect(("127.0.0.1", address.port())).await.unwrap();
        // A machine without IPv6 has fallen back.
        if address.is_ipv6() {
            TcpStream::connect(("::1", address.port())).await.unwrap();
        }
        let taken = bind(address).await.unwrap_err();
        assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
    }

    /// Both ends of a connection that has to begin within so many milliseconds.
    async fn pair(milliseconds: u64) -> (TcpStream, Prompt) {
        let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let dialled = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (accepted, _) = listener.accept().await.unwrap();
        let about = Connection::default();
        (dialled, Prompt::within(Inner::Plain(accepted), about, Duration::from_millis(milliseconds), None))
    }

    #[tokio::test]
    async fn a_peer_that_says_nothing_or_not_enough_is_cut() {
        for words in [&b""[..], b"PRI * HTTP/2.0"] {
            let (mut peer, mut connection) = pair(50).await;
            peer.write_all(words).await.unwrap();
            let mut heard = Vec::new();
            let error = connection.read_to_end(&mut heard).await.unwrap_err();
            assert_eq!((error.kind(), &heard[..]), (io::ErrorKind::TimedOut, words));
        }
    }

    #[tokio::test]
    async fn a_peer_that_has_begun_may_take_its_time() {
        let (mut peer, mut connection) = pair(50).await;
        peer.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
        let mut preface = [0; PREFACE];
        connection.read_exact(&mut preface).await.unwrap();
        let mut byte = [0; 1];
        let waited = tokio::time::timeout(Duration::from_millis(200), connection.read(&mut byte)).await;
        assert!(waited.is_err(), "{waited:?}");
    }

    #[tokio::test]
    async fn a_peer_that_reads_nothing_is_cut_and_one_that_reads_is_not() {
        let (mut peer, mut connection) = pair(1000).await;
        connection.reading = Duration::from_millis(100);
        let much = vec![0; 1 << 20];
        let error = loop {
            if let Err(error) = connection.write_all(&much).await {
                break error;
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        connection.reading = Duration::from_secs(60);
        connection.unread = None;
        let reading = tokio::spawn(async move { tokio::io::copy(&mut peer, &mut tokio::io::sink()).await });
        connection.write_all(&much).await.unwrap();
        drop(connection);
        reading.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn connections_arrive_one_after_another() {
        let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut incoming = std::pin::pin!(incoming(listener, None, || ()));
        for _ in 0..2 {
            let dialled = TcpStream::connect(address).await.unwrap();
            let accepted = incoming.next().await.unwrap().unwrap();
            assert_eq!(accepted.connect_info().remote, dialled.local_addr().ok());
        }
    }

    #[test]
    fn trouble_is_told_once_until_it_has_been_quiet() {
        let (mut told, start) = (None, Instant::now());
        let news = [0, 1, 600, 1100, 1701, 1702].map(|second| is_news(&mut told, start + Duration::from_secs(second)));
        assert_eq!(news, [true, false, false, false, true, false]);
    }
}
