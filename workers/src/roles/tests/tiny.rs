//! Videos that a tiny autoencoder decodes.

use std::fs;

use wanfarm_types::{Decoder, Digest};
use wanfarm_weights::digest_files;

use super::*;

/// A worker with the tiny autoencoder of a golden case beside its model, and the digest of its file.
fn bench() -> (Bench, std::path::PathBuf, Digest) {
    let models = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(golden("repo_t2v_from_prompt/official_repo"), models.path().join("cat")).unwrap();
    let file = models.path().join("vae_approx/taew2_1.safetensors");
    fs::create_dir(file.parent().unwrap()).unwrap();
    fs::copy(golden("tiny21/taehv/taew2_1.safetensors"), &file).unwrap();
    let digest = digest_files(models.path(), std::slice::from_ref(&file)).unwrap()[0].blake3;
    (Bench::serving(models), file, digest)
}

/// Latents of 48x32 pixels and 5 frames, to be decoded by this.
fn finished(decode: Decoder, latents: &[f32]) -> PreparedItem {
    let tensors = vec![HostTensor::from_f32(&[16, 2, 4, 6], latents)];
    let mut item = item(Stage::Decode, "", 0..0);
    item.spec.decode = decode;
    PreparedItem { state: Some(State { steps_done: STEPS, tensors }), ..item }
}

fn latents() -> Vec<f32> {
    (0..16 * 2 * 24).map(|at| ((at * at) as f32 * 0.37).sin() * 2.).collect()
}

#[test]
fn a_draft_is_another_picture_of_the_same_size_and_always_the_same() {
    let (mut bench, file, digest) = bench();
    let mut decode = |decoder| bench.run(&finished(decoder, &latents())).1.remove(0);
    let (full, tiny) = (decode(Decoder::Full), decode(Decoder::Tiny(digest)));
    assert_eq!((tiny.shape(), full.shape()), (vec![5, 32, 48, 3], vec![5, 32, 48, 3]));
    assert_ne!(full.bytes, tiny.bytes);
    assert_eq!(decode(Decoder::Full).bytes, full.bytes, "the model's own is still there");
    // What is in memory stays, whatever becomes of the file.
    fs::write(&file, b"no").unwrap();
    assert_eq!(decode(Decoder::Tiny(digest)).bytes, tiny.bytes);
}

#[test]
fn a_file_that_is_another_one_is_left_to_other_workers() {
    let (mut bench, file, digest) = bench();
    let mut refused = |digest| {
        let failure = bench.roles.run(&finished(Decoder::Tiny(digest), &latents()), &mut Observer::default());
        let failure = failure.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Transient);
        failure.message
    };
    let other = refused(Digest([7; 32]));
    assert!(other.contains("taew2_1.safetensors is now"), "{other}");
    fs::remove_file(&file).unwrap();
    let gone = refused(digest);
    assert!(gone.contains("taew2_1.safetensors"), "{gone}");
}

#[test]
fn latents_that_are_not_finite_are_told() {
    let (mut bench, _file, digest) = bench();
    let mut latents = latents();
    latents[100] = f32::NAN;
    let failure = bench.roles.run(&finished(Decoder::Tiny(digest), &latents), &mut Observer::default()).unwrap_err();
    assert_eq!(failure.kind, FailureKind::NotFinite);
}
