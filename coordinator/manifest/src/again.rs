//! The settings of one rendered video as a manifest that renders it again.

use wanfarm_types::{Digest, Nag, VideoSpec};

use super::toml_text::{quoted, table, template};

/// The manifest. It names no paths, which are known where the first one was written: LoRA files by their names, pictures by
/// names that no file has, so that they are missed and not left out. Nor does it say what decides no pictures: what the files
/// are called and of which kinds they are, so that the same pictures give the same file.
pub fn again(spec: &VideoSpec) -> String {
    let mut text = format!("[job]\nmodel = {}\n\n[[video]]\n", quoted(&spec.model));
    let mut line = |key: &str, value: String| text.push_str(&format!("{key} = {value}\n"));
    line("prompt", template(&spec.prompt));
    line("negative", template(&spec.negative));
    line("seed", spec.seed.to_string());
    for (key, value) in [("width", spec.width), ("height", spec.height), ("frames", spec.frames)] {
        line(key, value.to_string());
    }
    line("fps", quoted(&spec.fps.to_string()));
    line("steps", spec.steps.to_string());
    line("shift", format!("{:?}", spec.shift));
    line("solver", quoted(spec.solver.name()));
    line("guidance", format!("{{ high = {:?}, low = {:?} }}", spec.guidance.high, spec.guidance.low));
    if let Some(Nag { scale, tau, alpha }) = spec.nag {
        line("nag", format!("{{ scale = {scale:?}, tau = {tau:?}, alpha = {alpha:?} }}"));
    }
    if !spec.cache.is_none() {
        line("cache", table(&serde_json::to_value(&spec.cache).unwrap_or_default()));
    }
    if !spec.decode.is_full() {
        line("decode", quoted(spec.decode.kind().name()));
    }
    let lora = |lora: &wanfarm_types::LoraRef| {
        let expert = lora.expert.map(|expert| format!(", expert = {}", quoted(expert.name()))).unwrap_or_default();
        format!("{{ path = {}, strength = {:?}{expert} }}", template(&lora.name), lora.strength)
    };
    if !spec.loras.is_empty() {
        line("loras", format!("[{}]", spec.loras.iter().map(lora).collect::<Vec<_>>().join(", ")));
    }
    let picture = |digest: Digest| quoted(&format!("picture-{digest}"));
    for (key, image) in ["image", "last_image"].into_iter().zip(spec.pictures()) {
        if let Some(image) = image.and_then(|image| image.file()) {
            let carries_on = key == "image" && spec.overlap > 1;
            line(key, if carries_on { quoted(&format!("clip-{image}")) } else { picture(image) });
        }
    }
    if spec.overlap > 1 {
        line("overlap", spec.overlap.to_string());
    }
    if let Some((clip, strength)) = spec.video.and_then(|clip| clip.file()).zip(spec.strength) {
        line("video", quoted(&format!("clip-{clip}")));
        line("strength", format!("{strength:?}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Manifest, Syntax};
    use wanfarm_types::fixtures::{info, request};
    use wanfarm_types::{
        CacheRequest, Decode, Experts, FrameRate, Guidance, MagCacheRequest, ModelInfo, SenCacheRequest, TinyVae,
        VideoRequest,
    };

    #[test]
    fn it_makes_the_same_video() {
        let tiny_vae = Some(TinyVae::Here { file: "t".into(), blake3: Digest([7; 32]) });
        let info = ModelInfo { tiny_vae, ..info(Experts::Dual { boundary: 0.875 }) };
        let caches = [
            None,
            Some(CacheRequest::Magcache(MagCacheRequest { max_skip: Some(3), ..Default::default() })),
            Some(CacheRequest::Sencache(SenCacheRequest { tolerance: Some(0.25), ..Default::default() })),
        ];
        for cache in caches {
            let asked = VideoRequest {
                prompt: "a {red} fox: \"hi\"\nand more".into(),
                negative: Some(String::new()),
                seed: u64::MAX,
                fps: FrameRate::new(24_000, 1001).ok(),
                shift: Some(7.25),
                guidance: Some(Guidance { high: 4.0, low: 3.5 }),
                nag: Some(Nag::default()),
                cache,
                decode: Decode::Tiny,
                ..request()
            };
            let spec = asked.resolve(&info).unwrap();
            let text = again(&spec);
            let manifest = Manifest::parse("again.toml", Syntax::Toml, &text, None).unwrap();
            let again = manifest.check(Some(&info)).unwrap();
            let again = VideoRequest { output: spec.output.clone(), formats: spec.formats.clone(), ..again[0].clone() };
            assert_eq!(again.resolve(&info).unwrap(), spec, "{text}");
        }
    }

    #[test]
    fn a_picture_is_missed_and_not_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let info = info(Experts::Single);
        let mut spec = request().resolve(&info).unwrap();
        spec.image = Some(wanfarm_types::ImageSource::File(Digest([7; 32])));
        let faults = Manifest::parse("again.toml", Syntax::Toml, &again(&spec), Some(folder.path())).unwrap_err();
        let fault = faults.iter().next().unwrap();
        assert!(fault.key.ends_with(".image") && fault.what.contains("picture-07070707"), "{fault:?}");
    }
}
