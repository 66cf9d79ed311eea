//! What makes a video faster or another, in words: its step cache, its normalized attention guidance, its LoRA files and a
//! tiny autoencoder. For people; programs get the settings themselves.

use std::collections::BTreeMap;

use wanfarm_types::{CacheSettings, Decode, Expert, LoraRef, Nag, VideoSpec, VideoStatus};

/// What of a video is told.
#[derive(Debug, Clone, Copy, Default)]
pub struct Accelerated<'v> {
    cache: Option<&'v CacheSettings>,
    nag: Option<Nag>,
    decode: Decode,
    loras: &'v [LoraRef],
}

impl<'v> From<&'v VideoSpec> for Accelerated<'v> {
    fn from(spec: &'v VideoSpec) -> Self {
        Self { cache: Some(&spec.cache), nag: spec.nag, decode: spec.decode.kind(), loras: &spec.loras }
    }
}

impl<'v> From<&'v VideoStatus> for Accelerated<'v> {
    fn from(video: &'v VideoStatus) -> Self {
        Self { cache: video.cache.as_ref(), nag: video.nag, decode: video.decode, loras: &video.loras }
    }
}

/// A step cache with its settings; `None` without one.
fn cache_words(cache: &CacheSettings) -> Option<String> {
    let settings = match cache {
        CacheSettings::None => return None,
        CacheSettings::Magcache(cache) => {
            let curve = cache.curve.name();
            let joint = if cache.joint { ", joint" } else { "" };
            let (threshold, max_skip, retention) = (cache.threshold, cache.max_skip, cache.retention);
            format!("threshold {threshold}, max_skip {max_skip}, retention {retention}, curve {curve}{joint}")
        }
        CacheSettings::Teacache(cache) => {
            format!("threshold {}{}", cache.threshold, if cache.projected { ", projected" } else { "" })
        }
        CacheSettings::CfgCache(cache) => {
            format!("interval {}, {:.2} to {:.2}, alpha {}", cache.interval, cache.start, cache.end, cache.alpha)
        }
        CacheSettings::Sencache(cache) => format!(
            "tolerance {}, max_skip {}, {:.2} to {:.2}",
            cache.tolerance, cache.max_skip, cache.start, cache.end
        ),
    };
    Some(format!("step cache {} ({settings})", cache.name()))
}

/// Normalized attention guidance with its settings.
fn nag_words(nag: Nag) -> String {
    format!("nag (scale {}, tau {}, alpha {})", nag.scale, nag.tau, nag.alpha)
}

/// A LoRA file at its strength.
fn lora_words(lora: &LoraRef) -> String {
    let expert = match lora.expert {
        Some(Expert::High) => ", high-noise expert",
        Some(Expert::Low) => ", low-noise expert",
        Some(Expert::Single) | None => "",
    };
    let digest = lora.blake3.to_string();
    format!("LoRA {} x {}{expert} ({})", lora.name, lora.strength, digest.get(..8).unwrap_or_default())
}

/// The accelerations of these videos, each with the number of videos that have it.
pub fn accelerations<'v>(videos: impl IntoIterator<Item = Accelerated<'v>>) -> Vec<String> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for Accelerated { cache, nag, decode, loras } in videos {
        let words = cache.and_then(cache_words).into_iter().chain(nag.map(nag_words));
        let draft = (!decode.is_full()).then(|| "decoded by a tiny VAE, for drafts".to_owned());
        for words in words.chain(loras.iter().map(lora_words)).chain(draft) {
            *counts.entry(words).or_default() += 1;
        }
    }
    let line = |(words, count): (String, usize)| format!("{words}: {count} video{}", if count == 1 { "" } else { "s" });
    counts.into_iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use wanfarm_types::{CfgCache, Digest, MagCache, MagCurve};

    #[test]
    fn what_is_on_is_told_once_with_its_count() {
        let mag = CacheSettings::Magcache(MagCache::published(MagCurve::T2vA14b));
        let cfg = CacheSettings::CfgCache(CfgCache::default());
        let lora = |strength, expert| LoraRef {
            name: "film.safetensors".into(),
            blake3: Digest([0xab; 32]),
            bytes: 1,
            strength,
            expert,
        };
        let both = [lora(1.0, None), lora(0.5, Some(Expert::Low))];
        assert_eq!(
            accelerations([
                Accelerated { cache: Some(&mag), loras: &both, ..Accelerated::default() },
                Accelerated { cache: Some(&mag), nag: Some(Nag::default()), ..Accelerated::default() },
                Accelerated { cache: Some(&cfg), decode: Decode::Tiny, ..Accelerated::default() },
                Accelerated { cache: Some(&CacheSettings::None), loras: &both[..1], ..Accelerated::default() },
                Accelerated::default(),
            ]),
            [
                "LoRA film.safetensors x 0.5, low-noise expert (abababab): 1 video",
                "LoRA film.safetensors x 1 (abababab): 2 videos",
                "decoded by a tiny VAE, for drafts: 1 video",
                "nag (scale 11, tau 2.5, alpha 0.25): 1 video",
                "step cache cfg-cache (interval 5, 0.33 to 0.90, alpha 0.2): 1 video",
                "step cache magcache (threshold 0.04, max_skip 2, retention 0.2, curve t2v-a14b): 2 videos",
            ]
        );
    }
}
