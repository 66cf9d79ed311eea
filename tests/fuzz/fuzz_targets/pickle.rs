//! Checkpoints of PyTorch. An input is a whole archive, or the pickle of one whose storages are always the same.
#![no_main]

use std::io::{Cursor, Read, Write};

use libfuzzer_sys::fuzz_target;
use wanfarm_fuzz::{held, scratch, seeds};
use wanfarm_model::Weights;
use zip::write::{SimpleFileOptions, ZipWriter};

/// Bytes of the storages that there are: of `0`, of `1`, …
const STORAGES: [usize; 4] = [32, 64, 256, 0];

fuzz_target!(init: seeds::write(seeds), |data: &[u8]| {
    let whole = data.starts_with(b"PK");
    let path = if whole { scratch::file("whole.pth", data) } else { scratch::file("m.pth", &archive(data)) };
    if let Ok(weights) = Weights::open(&[path]) {
        held::check(&weights);
    }
});

fn archive(pickle: &[u8]) -> Vec<u8> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    let mut put = |name: &str, bytes: &[u8]| {
        archive.start_file(name, SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored))?;
        archive.write_all(bytes)?;
        zip::result::ZipResult::Ok(())
    };
    let mut put = |name: &str, bytes: &[u8]| put(name, bytes).expect("memory takes what is written");
    put("archive/data.pkl", pickle);
    put("archive/byteorder", b"little");
    for (number, bytes) in STORAGES.into_iter().enumerate() {
        put(&format!("archive/data/{number}"), &vec![0x3f; bytes]);
    }
    archive.finish().expect("memory takes what is written").into_inner()
}

fn seeds() -> Vec<Vec<u8>> {
    let types = ["Float", "Half", "BFloat16", "Double", "Long", "Int", "Byte", "Bool"];
    let own = types.map(|of| pickle(&format!("torch.{of}Storage")));
    let whole = own.iter().map(|pickle| archive(pickle));
    let published = [
        "tests/golden/data/umt5/official/models_t5_umt5-xxl-enc-bf16.pth",
        "tests/golden/data/repo_t2v_from_prompt/official_repo/Wan2.1_VAE.pth",
    ];
    own.iter().cloned().chain(whole).chain(published.map(pickle_of)).collect()
}

/// A dict with a tensor of shape (2, 3), as PyTorch writes it, and an attribute.
fn pickle(storage: &str) -> Vec<u8> {
    let mut bytes =
        b"\x80\x02}q\x00(X\x01\x00\x00\x00wq\x01ctorch._utils\n_rebuild_tensor_v2\nq\x02((X\x07\x00\x00\x00storage"
            .to_vec();
    bytes.extend(format!("c{storage}\n").replace('.', "\n").as_bytes());
    bytes.extend(b"X\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x08tQK\x02K\x02K\x03\x86K\x03K\x01\x86\x89ccollections\n");
    bytes.extend(b"OrderedDict\n)RtRu}b.");
    bytes
}

fn pickle_of(path: &str) -> Vec<u8> {
    let mut archive = zip::ZipArchive::new(Cursor::new(seeds::committed(path))).expect("it is an archive");
    let place = (0..archive.len()).find(|&place| {
        let name = archive.by_index_raw(place).ok().and_then(|file| Some(file.name().ok()?.into_owned()));
        name.is_some_and(|name| name.ends_with("data.pkl"))
    });
    let mut pickle = Vec::new();
    let mut file = archive.by_index_raw(place.expect("it holds a pickle")).expect("it is an archive");
    file.read_to_end(&mut pickle).expect("it is an archive");
    pickle
}
