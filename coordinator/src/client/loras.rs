//! Giving the coordinator the LoRA files that a job names, piece by piece.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use wanfarm_proto::tensors::PIECE;
use wanfarm_proto::v1;

use super::{Client, ClientError};
use wanfarm_manifest::LoraFile;

/// Pieces read ahead of the network.
const AHEAD: usize = 4;

impl Client {
    /// Gives the coordinator the LoRA files it does not have yet, each once.
    ///
    /// # Errors
    /// When a file is no longer what the manifest was checked with, or the coordinator refuses it.
    pub async fn put_loras(&mut self, loras: &[LoraFile]) -> Result<(), ClientError> {
        if loras.is_empty() {
            return Ok(());
        }
        let digests = loras.iter().map(|file| file.blake3.0.to_vec()).collect();
        let missing = self.farm.missing_loras(v1::MissingLorasRequest { digests }).await?.into_inner().digests;
        for file in loras.iter().filter(|file| missing.iter().any(|digest| *digest == file.blake3.0)) {
            self.put_lora(file).await?;
        }
        Ok(())
    }

    async fn put_lora(&mut self, file: &LoraFile) -> Result<(), ClientError> {
        let (pieces, outgoing) = mpsc::channel(AHEAD);
        let (path, blake3, bytes) = (file.path.clone(), file.blake3.0.to_vec(), file.bytes);
        let read =
            tokio::task::spawn_blocking(move || read(path, v1::LoraPiece { blake3, bytes, data: Vec::new() }, pieces));
        let put = self.farm.put_lora(ReceiverStream::new(outgoing)).await;
        // What is wrong with the file says more than what the coordinator made of it.
        let unusable = |why: String| ClientError::File { path: file.path.clone(), why };
        read.await.map_err(|error| unusable(error.to_string()))?.map_err(unusable)?;
        put?;
        Ok(())
    }
}

/// Sends a file's pieces, the first of which says what it is.
fn read(path: PathBuf, mut first: v1::LoraPiece, pieces: mpsc::Sender<v1::LoraPiece>) -> Result<(), String> {
    let words = |error: std::io::Error| error.to_string();
    let (mut file, expected) = (File::open(path).map_err(words)?, first.bytes);
    let (mut hasher, digest) = (blake3::Hasher::new(), first.blake3.clone());
    loop {
        let mut data = Vec::with_capacity(PIECE);
        file.by_ref().take(PIECE as u64).read_to_end(&mut data).map_err(words)?;
        hasher.update(&data);
        // Found before the last piece leaves, so that the coordinator never has it whole.
        let more = !data.is_empty() && hasher.count() < expected;
        if !more && (hasher.count() != expected || hasher.finalize().as_bytes()[..] != digest[..]) {
            return Err("it has changed since the manifest was checked; try again".to_owned());
        }
        // Nobody listens any more: the coordinator's answer says why.
        if pieces.blocking_send(v1::LoraPiece { data, ..std::mem::take(&mut first) }).is_err() || !more {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use wanfarm_types::{Digest, LoraRef, VideoRequest};

    use super::*;
    use crate::server::{self, Coordinator, ServerConfig};
    use wanfarm_manifest::{Submission, Taken};
    use wanfarm_types::fixtures::request;

    async fn coordinator(folder: &Path) -> (Coordinator, Client) {
        let config = ServerConfig {
            listen: ([127, 0, 0, 1], 0).into(),
            data: folder.join("data"),
            output: folder.join("output"),
            wanted: None,
            retention: None,
            scheduler: wanfarm_scheduler::Config::default(),
        };
        let coordinator = server::start(config).await.unwrap();
        let client = Client::connect(&format!("http://{}", coordinator.address)).await.unwrap();
        (coordinator, client)
    }

    fn submission(lora: &LoraFile, strength: f64) -> Submission {
        let LoraFile { name, blake3, bytes, .. } = lora.clone();
        let loras = vec![LoraRef { name, blake3, bytes, strength, expert: None }];
        Submission {
            client_key: String::new(),
            name: "n".into(),
            model: "m".into(),
            priority: 50,
            early_look: false,
            taken: Taken::Refuse,
            videos: vec![VideoRequest { loras, output: format!("cat-{strength}"), ..request() }],
        }
    }

    #[tokio::test]
    async fn files_come_before_the_job_that_names_them_and_stay_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("film.safetensors");
        // Several pieces, the last of them short.
        let bytes: Vec<u8> = (0..(3 << 20) + 5).map(|at: u32| (at % 251) as u8).collect();
        std::fs::write(&path, &bytes).unwrap();
        let blake3 = Digest(*blake3::hash(&bytes).as_bytes());
        let lora = LoraFile { name: "film.safetensors".into(), blake3, bytes: bytes.len() as u64, path: path.clone() };
        let name = blake3.to_string();
        let stored = folder.path().join("data/artifacts").join(&name[..2]).join(&name);

        let (first, mut client) = coordinator(folder.path()).await;
        let refused = client.submit(submission(&lora, 1.0)).await.unwrap_err();
        assert!(matches!(&refused, ClientError::Refused(why) if why.contains(&name)), "{refused}");
        client.submit(submission(&lora, 0.0)).await.expect("of strength 0 nobody needs it");

        let other = LoraFile { bytes: lora.bytes - 1, ..lora.clone() };
        let changed = client.put_loras(&[other]).await.unwrap_err();
        assert!(changed.to_string().contains("it has changed"), "{changed}");
        assert!(!stored.exists(), "nothing is left of it");
        client.put_loras(std::slice::from_ref(&lora)).await.unwrap();
        assert_eq!(std::fs::read(&stored).unwrap(), bytes);
        client.submit(submission(&lora, 1.0)).await.unwrap();
        std::fs::remove_file(&path).unwrap();
        client.put_loras(std::slice::from_ref(&lora)).await.expect("what is there is not read again");
        first.stop().await;

        let (second, mut client) = coordinator(folder.path()).await;
        assert!(stored.exists(), "a job names it");
        client.submit(submission(&lora, 0.5)).await.unwrap();
        second.stop().await;
    }

    #[tokio::test]
    async fn a_file_that_no_job_names_goes_at_the_next_start() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("film.safetensors");
        std::fs::write(&path, "film").unwrap();
        let blake3 = Digest(*blake3::hash(b"film").as_bytes());
        let lora = LoraFile { name: "film.safetensors".into(), blake3, bytes: 4, path };
        let (first, mut client) = coordinator(folder.path()).await;
        client.put_loras(std::slice::from_ref(&lora)).await.unwrap();
        first.stop().await;
        let (second, mut client) = coordinator(folder.path()).await;
        assert!(client.submit(submission(&lora, 1.0)).await.is_err());
        second.stop().await;
    }

    #[tokio::test]
    async fn forged_bytes_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (coordinator, mut client) = coordinator(folder.path()).await;
        let piece = |bytes, data: &[u8]| v1::LoraPiece { blake3: vec![7; 32], bytes, data: data.to_vec() };
        for (pieces, why) in [
            (vec![piece(4, b"film")], "other bytes"),
            (vec![piece(3, b"film")], "more came"),
            (vec![piece(9, b"film")], "other bytes"),
            (vec![piece(1 << 50, b"film")], "at most 8 GiB"),
            (vec![], "no piece"),
        ] {
            let refused = client.farm.put_lora(futures::stream::iter(pieces)).await.unwrap_err();
            assert!(refused.code() == tonic::Code::InvalidArgument && refused.message().contains(why), "{refused}");
        }
        coordinator.stop().await;
    }
}
