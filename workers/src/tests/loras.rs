//! Where LoRA files come from.

use std::fs;

use bytes::Bytes;
use wanfarm_types::{Digest, Expert, FailureKind, LoraRef, Report, VideoSpec};

use super::fixtures;
use super::harness::{Play, Worker, attached};

fn lora(bytes: &[u8]) -> LoraRef {
    let blake3 = Digest(*blake3::hash(bytes).as_bytes());
    LoraRef { name: "film.safetensors".into(), blake3, bytes: bytes.len() as u64, strength: 1.0, expert: None }
}

fn with(loras: Vec<LoraRef>) -> VideoSpec {
    VideoSpec { loras, ..fixtures::spec() }
}

/// Everything in the folder of files that came from the coordinator.
fn given(worker: &Worker) -> Vec<Vec<u8>> {
    let entries = fs::read_dir(worker.data.path().join("loras")).into_iter().flatten();
    entries.map(|entry| fs::read(entry.unwrap().path()).unwrap()).collect()
}

#[tokio::test]
async fn a_file_that_is_not_here_comes_from_the_coordinator_once() {
    let (mut coordinator, mut worker, mut connection) = attached().await;
    let wanted = vec![7u8; 3 << 20];
    coordinator.shelf.put_as(lora(&wanted).blake3, wanted.clone().into());
    // Of the same name, but with other bytes.
    fs::write(worker.models.path().join("loras/film.safetensors"), "another").unwrap();
    for attempt in 1..=2 {
        connection.assign_of(with(vec![lora(&wanted)]), attempt, &fixtures::contexts(), &[]).await;
        worker.hands.begun().await;
        worker.hands.play(Play::End(Ok(fixtures::state(2).into_output())));
        assert!(matches!(connection.report().await, (_, Report::Started)));
        assert!(matches!(connection.report().await, (_, Report::ItemDone { .. })));
        assert_eq!(given(&worker), std::slice::from_ref(&wanted));
    }
    let mut reads = 0;
    while let Ok(read) = coordinator.was_read.try_recv() {
        reads += u32::from(read == lora(&wanted).blake3);
    }
    assert_eq!(reads, 1);
    worker.leave(connection).await;
}

#[tokio::test]
async fn a_file_beside_the_models_is_not_fetched_nor_one_for_another_expert() {
    let (_coordinator, mut worker, connection) = attached().await;
    fs::write(worker.models.path().join("loras/film.safetensors"), "here").unwrap();
    let other = LoraRef { expert: Some(Expert::High), ..lora(b"nowhere") };
    connection.assign_of(with(vec![lora(b"here"), other]), 1, &fixtures::contexts(), &[]).await;
    worker.hands.begun().await;
    assert_eq!(given(&worker), [] as [Vec<u8>; 0]);
    worker.leave(connection).await;
}

#[tokio::test]
async fn a_file_that_nobody_has_fails_the_item_with_its_name() {
    let (coordinator, worker, mut connection) = attached().await;
    // Not there at all, and with other bytes under its digest.
    coordinator.shelf.put_as(lora(b"honest").blake3, Bytes::from_static(b"forged"));
    for (attempt, wanted) in [(1, lora(b"nowhere")), (2, lora(b"honest"))] {
        connection.assign_of(with(vec![wanted.clone()]), attempt, &fixtures::contexts(), &[]).await;
        let (_, Report::Failed(failure)) = connection.report().await else { panic!() };
        assert_eq!(failure.kind, FailureKind::Transient);
        let message = failure.message;
        assert!(message.contains("film.safetensors") && message.contains(&wanted.blake3.to_string()), "{message}");
        assert!(message.contains(&worker.models.path().join("loras").display().to_string()), "{message}");
    }
    assert_eq!(given(&worker), [] as [Vec<u8>; 0]);
    worker.leave(connection).await;
}
