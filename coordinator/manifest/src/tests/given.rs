//! Manifests that come with their files.

use std::collections::BTreeMap;
use std::path::Path;

use super::super::{Faults, GivenFile, Manifest, Syntax};
use super::lines;
use wanfarm_types::Digest;

const TEXT: &str = "[job]\nname='j'\nmodel='m'\noutput='{index}-{image}'\n[[video]]\nprompt='p'\nimage='shots/*.png'\n\
    [[video]]\nprompt='q'\nimage='{n}.png'\nsweep={n=['a', 'b']}\n[[video]]\nprompt='r'\noutput='r'\nloras=['film.safetensors']";

fn with(files: &[(&str, &Path)]) -> Result<Manifest, Faults> {
    let given = |(name, path): &(&str, &Path)| {
        let blake3 = Digest(*blake3::hash(&std::fs::read(path).unwrap()).as_bytes());
        ((*name).to_owned(), GivenFile { path: path.to_path_buf(), blake3 })
    };
    Manifest::parse_with("m.toml", Syntax::Toml, TEXT, files.iter().map(given).collect::<BTreeMap<_, _>>())
}

#[test]
fn what_it_names_and_came_without_is_told() {
    let alone = Manifest::parse("m.toml", Syntax::Toml, TEXT, None).unwrap_err();
    let wanted = ["a.png", "b.png", "film.safetensors", "shots/*.png"];
    assert_eq!(alone.files().collect::<Vec<_>>(), wanted);
    assert_eq!(lines(&alone).len(), 3, "each place once: {alone}");
    let folder = tempfile::tempdir().unwrap();
    let picture = folder.path().join("0123");
    image::RgbImage::new(16, 16).save_with_format(&picture, image::ImageFormat::Png).unwrap();
    let some = with(&[("a.png", &picture), ("shots/1.png", &picture), ("shots/deep/2.png", &picture)]).unwrap_err();
    assert_eq!(some.files().collect::<Vec<_>>(), ["b.png", "film.safetensors"]);
    // What came is looked at, and called as the manifest calls it.
    let text = folder.path().join("4567");
    std::fs::write(&text, "no LoRA").unwrap();
    let all = [("a.png", &*picture), ("b.png", &*text), ("shots/1.png", &*picture), ("film.safetensors", &*text)];
    let faulty = with(&all).unwrap_err();
    assert_eq!(faulty.files().count(), 0);
    let told = lines(&faulty);
    assert!(told[0].contains("cannot use the image `b.png`") && told[1].contains("`film.safetensors`"), "{told:?}");
}
