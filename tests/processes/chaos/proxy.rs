//! A proxy before a worker's tensors that breaks its first connections off in the middle of the bytes.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

/// Lives as long as the test process; whom it serves is gone before.
pub(super) struct Proxy {
    /// Where others reach it.
    pub(super) address: SocketAddr,
    /// Where the worker must listen.
    pub(super) worker: SocketAddr,
    cuts: Arc<AtomicU32>,
}

impl Proxy {
    /// Starts a proxy that cuts its first `most` connections, each after a number of bytes drawn from the seed.
    pub(super) fn start(most: u32, seed: u64) -> Self {
        let any = || TcpListener::bind("127.0.0.1:0").expect("a free port");
        let listener = any();
        let address = listener.local_addr().expect("an address");
        // Free now, and nobody else asks for it while the test lasts.
        let worker = any().local_addr().expect("an address");
        let cuts = Arc::new(AtomicU32::new(0));
        let (counter, mut rng) = (cuts.clone(), SmallRng::seed_from_u64(seed));
        thread::spawn(move || {
            for (count, client) in (0..).zip(listener.incoming().flatten()) {
                let limit = (count < most).then(|| rng.random_range(500..60_000));
                let counter = counter.clone();
                thread::spawn(move || forward(client, worker, limit, &counter));
            }
        });
        Self { address, worker, cuts }
    }

    /// Connections cut so far.
    pub(super) fn cuts(&self) -> u32 {
        self.cuts.load(Ordering::Relaxed)
    }
}

fn forward(client: TcpStream, worker: SocketAddr, limit: Option<usize>, cuts: &AtomicU32) {
    let Ok(server) = TcpStream::connect(worker) else { return };
    let (Ok(mut from_client), Ok(mut to_server)) = (client.try_clone(), server.try_clone()) else { return };
    thread::spawn(move || {
        let _ = std::io::copy(&mut from_client, &mut to_server);
        let _ = to_server.shutdown(Shutdown::Both);
    });
    let (mut from, mut to) = (server, client);
    let (mut buffer, mut left) = ([0; 4096], limit.unwrap_or(usize::MAX));
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        let count = count.min(left);
        left -= count;
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
        if left == 0 {
            cuts.fetch_add(1, Ordering::Relaxed);
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}
