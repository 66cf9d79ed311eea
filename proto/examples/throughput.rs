//! How fast tensors travel over loopback, in plain text and encrypted, as GB/s of one reader:
//!
//! ```sh
//! cargo run --release -p wanfarm-proto --example throughput
//! ```
//!
//! Both in turns, so that what else the machine does slows both. Hashing is part of it: a reader believes nothing.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tonic::transport::Server;
use wanfarm_identity::{Authority, Credentials, Farm, Key, TENSORS, of_worker};
use wanfarm_proto::dial::Way;
use wanfarm_proto::listen;
use wanfarm_proto::tensors::{Puller, TensorSource, service};
use wanfarm_types::{DType, Digest, TensorRef};

/// A checkpoint of a 720p video with 81 frames.
const BYTES: usize = 77 << 20;
const ROUNDS: usize = 9;

struct One(Bytes);

impl TensorSource for One {
    fn tensor(&self, _: &Digest) -> Option<Bytes> {
        Some(self.0.clone())
    }
}

fn member(authority: &Authority) -> Result<Farm, Box<dyn Error>> {
    let key = Key::draw()?;
    let credentials = Credentials::new(&key)?;
    credentials.show(&authority.issue(&key.public(), &[TENSORS.to_owned()], Duration::from_secs(3600))?)?;
    Ok(Farm { credentials: Arc::new(credentials), authority: authority.id() })
}

async fn serve(farm: Option<&Farm>, source: Arc<One>) -> Result<String, Box<dyn Error>> {
    let listener = listen::bind(([127, 0, 0, 1], 0).into()).await?;
    let address = listener.local_addr()?.to_string();
    let tls = farm.map(of_worker).transpose()?.map(Arc::new);
    let incoming = listen::incoming(listener, tls, || ());
    tokio::spawn(Server::builder().add_service(service(source)).serve_with_incoming(incoming));
    Ok(address)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::temp_dir().join(format!("wanfarm-throughput-{}", std::process::id()));
    let authority = Authority::make(&folder)?;
    std::fs::remove_dir_all(&folder)?;
    let bytes = Bytes::from((0..BYTES).map(|n| (n * 31) as u8).collect::<Vec<_>>());
    let digest = Digest(*blake3::hash(&bytes).as_bytes());
    let tensor = TensorRef { digest, dtype: DType::U8, shape: vec![BYTES as u64] };
    let source = Arc::new(One(bytes));
    let worker = member(&authority)?;
    let ways = [
        ("plain", Puller::new(Way::plain()), serve(None, source.clone()).await?),
        ("encrypted", Puller::new(Way::to_tensors(&member(&authority)?)?), serve(Some(&worker), source).await?),
    ];
    let mut seconds = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        for ((_, puller, address), seconds) in ways.iter().zip(&mut seconds) {
            let begun = Instant::now();
            puller.pull(&tensor, std::slice::from_ref(address)).await?;
            seconds.push(begun.elapsed().as_secs_f64());
        }
    }
    for ((name, ..), seconds) in ways.iter().zip(&mut seconds) {
        seconds.sort_by(f64::total_cmp);
        let median = seconds[seconds.len() / 2];
        println!("{name}: {:.2} GB/s, {:.1} ms a checkpoint", BYTES as f64 / median / 1e9, median * 1e3);
    }
    Ok(())
}
