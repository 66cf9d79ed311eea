//! `coordinator run` with workers that compute on the device: from a manifest to frames, held against the reference.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use safetensors::SafeTensors;

/// As many as the networks' own test demands on the CPU. The reference is f32; so are these workers.
const LEAST_PSNR: f64 = 45.;

/// The repository.
fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..")
}

/// The manifest of the reference videos, cut after the first.
fn manifest() -> Result<String> {
    let text = std::fs::read_to_string(repository().join("tests/processes/data/reference.toml"))?;
    let (second, _) = text.match_indices("[[video]]").nth(1).context("there is a second video")?;
    Ok(text[..second].to_owned())
}

/// The frames in a folder of PNG files, one after the other, as RGB.
fn frames(folder: &Path) -> Result<Vec<u8>> {
    let entries = std::fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let mut files: Vec<PathBuf> = entries.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    files.sort();
    let mut rgb = Vec::new();
    for file in files {
        rgb.extend_from_slice(wanfarm_image::load_image("frame", &std::fs::read(file)?)?.data());
    }
    Ok(rgb)
}

fn psnr(got: &[u8], want: &[u8]) -> Result<f64> {
    ensure!(got.len() == want.len(), "{} bytes of frames instead of {}", got.len(), want.len());
    let square = |(a, b): (&u8, &u8)| f64::from(a.abs_diff(*b)).powi(2);
    let mean = got.iter().zip(want).map(square).sum::<f64>() / got.len() as f64;
    Ok(20. * (255. / mean.sqrt()).log10())
}

#[test]
fn the_first_reference_video_is_rendered() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let place = |name: &str| dir.path().join(name);
    std::fs::write(place("manifest.toml"), manifest()?)?;
    let ended = Command::new(env!("CARGO_BIN_EXE_coordinator"))
        .args(["run", "--device", "metal", "--dtype", "f32"])
        .arg(place("manifest.toml"))
        .arg("--models")
        .arg(repository().join("deploy/demo"))
        .arg("--output")
        .arg(place("output"))
        .arg("--data")
        .arg(place("data"))
        .output()?;
    let said = String::from_utf8_lossy(&ended.stderr);
    ensure!(ended.status.success(), "{}\n{said}", ended.status);
    let reference = std::fs::read(repository().join("tests/processes/data/reference.safetensors"))?;
    let want = SafeTensors::deserialize(&reference)?.tensor("0000.frames_u8")?.data().to_vec();
    let psnr = psnr(&frames(&place("output").join("0000"))?, &want)?;
    println!("PSNR of the first reference video: {psnr:.1} dB");
    ensure!(psnr >= LEAST_PSNR, "{psnr:.1} dB\n{said}");
    Ok(())
}
