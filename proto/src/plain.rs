//! What is said to those who begin in plain text where everything is encrypted: in HTTP/1.1 to browsers and scripts, in gRPC to its
//! clients, so that each shows the words to a person.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// To browsers and scripts.
const HTTP: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n\
    What listens here encrypts: ask for https:// and the same address.\n";
/// To gRPC clients; short enough that its length is one byte.
const GRPC: &str = "it encrypts: name it as https://HOST:PORT, or give no address on a machine that has joined it";
/// What every HTTP/2 client says first (RFC 9113, section 3.4).
const PREFACE: usize = 24;
/// Kinds of frames (RFC 9113, section 6).
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const EMPTY_SETTINGS: [u8; 9] = [0, 0, 0, SETTINGS, 0, 0, 0, 0, 0];
const ACKNOWLEDGED: [u8; 9] = [0, 0, 0, SETTINGS, 1, 0, 0, 0, 0];
/// Frames before the first question; more are none of a client that means well.
const MOST: usize = 32;
/// The longest that is not agreed upon (RFC 9113, section 6.5.2).
const LONGEST: u64 = 16_384;
/// What is still taken in after the answer.
const REST: u64 = 1 << 20;

/// Says it, and returns when the other side has gone.
pub(crate) async fn turn_away(stream: &mut TcpStream) -> io::Result<()> {
    let mut begun = [0; PREFACE];
    let read = stream.read(&mut begun).await?;
    if begun[..read].starts_with(b"PRI ") {
        stream.read_exact(&mut begun[read..]).await?;
        answer_grpc(stream).await?;
    } else {
        stream.write_all(HTTP).await?;
    }
    stream.shutdown().await?;
    // Unread bytes would have the answer thrown away.
    tokio::io::copy(&mut stream.take(REST), &mut tokio::io::sink()).await.map(drop)
}

/// Answers the first question, which is to come soon.
async fn answer_grpc(stream: &mut TcpStream) -> io::Result<()> {
    stream.write_all(&EMPTY_SETTINGS).await?;
    for _ in 0..MOST {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await?;
        let [a, b, c, kind, flags, number @ ..] = head;
        let length = u64::from(u32::from_be_bytes([0, a, b, c]));
        if length > LONGEST {
            return Err(io::ErrorKind::InvalidData.into());
        }
        tokio::io::copy(&mut (&mut *stream).take(length), &mut tokio::io::sink()).await?;
        match kind {
            SETTINGS if flags & 1 == 0 => stream.write_all(&ACKNOWLEDGED).await?,
            HEADERS => return stream.write_all(&status(number)).await,
            _ => {}
        }
    }
    Err(io::ErrorKind::InvalidData.into())
}

/// The whole answer on a stream: one frame of headers, written as RFC 7541 has literals.
fn status(stream: [u8; 4]) -> Vec<u8> {
    // `:status: 200` and the name `content-type` stand in its static table.
    let mut block = vec![0x88, 0x0f, 0x10];
    let text = |block: &mut Vec<u8>, text: &str| {
        block.push(text.len() as u8);
        block.extend_from_slice(text.as_bytes());
    };
    text(&mut block, "application/grpc");
    for (name, value) in [("grpc-status", "16"), ("grpc-message", GRPC)] {
        block.push(0);
        text(&mut block, name);
        text(&mut block, value);
    }
    // The last frame of the stream, and all of the headers.
    let flags = 0x1 | 0x4;
    let [_, a, b, c] = (block.len() as u32).to_be_bytes();
    [&[a, b, c, HEADERS, flags][..], &stream, &block].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_fits_the_form_of_a_short_text() {
        assert!(GRPC.len() < 127 && GRPC.is_ascii() && !GRPC.contains('%'));
    }
}
