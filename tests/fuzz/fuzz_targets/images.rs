//! Pictures that people give: PNG, JPEG and WebP.
#![no_main]

use std::path::Path;

use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use image::codecs::webp::WebPEncoder;
use image::{ColorType, ImageEncoder};
use libfuzzer_sys::fuzz_target;
use wanfarm_fuzz::seeds;
use wanfarm_image::{image_size, load_image};
use wanfarm_media::{Frames, png};

/// As `SECURITY.md` and the reader have it.
const MOST: (u32, u64) = (16_384, 1 << 27);
/// Pictures of more pixels take long, and their size is told all the same.
const MAX_DECODED: u64 = 1 << 21;

fuzz_target!(init: seeds::write(seeds), |data: &[u8]| {
    let size = image_size("it", data);
    let pixels = size.as_ref().map_or(0, |[width, height]| u64::from(*width) * u64::from(*height));
    assert!(pixels <= MOST.1 && size.as_ref().is_ok_and(|size| size.iter().all(|side| *side <= MOST.0)) || size.is_err());
    if pixels > MAX_DECODED {
        return;
    }
    let Ok(image) = load_image("it", data) else { return };
    let [width, height] = size.expect("what can be decoded has a size").map(|side| side as usize);
    assert_eq!((image.width(), image.height(), image.data().len()), (width, height, width * height * 3));
});

fn seeds() -> Vec<Vec<u8>> {
    let pixels: Vec<u8> = (0..8 * 6 * 3).map(|place| (place * 7) as u8).collect();
    let frames = Frames::new(&pixels, 1, 6, 8).expect("one frame");
    let mut seeds = vec![png(&frames, 0, Path::new("a.png")).expect("a picture")];
    let rgba: Vec<u8> = (0..8 * 6 * 4).map(|place| (place * 5) as u8).collect();
    let (grey, deep): (&[u8], &[u8]) = (&rgba[..48], &rgba[..96]);
    let encoded = |write: &dyn Fn(&mut Vec<u8>) -> image::ImageResult<()>| {
        let mut bytes = Vec::new();
        write(&mut bytes).expect("memory takes what is written");
        bytes
    };
    let kinds: [(&[u8], ColorType); 4] =
        [(grey, ColorType::L8), (deep, ColorType::L16), (deep, ColorType::La8), (&rgba, ColorType::Rgba8)];
    seeds.extend(
        kinds.map(|(data, kind)| encoded(&|bytes| PngEncoder::new(bytes).write_image(data, 8, 6, kind.into()))),
    );
    seeds.extend([(grey, ColorType::L8), (&pixels, ColorType::Rgb8)].map(|(data, kind)| {
        encoded(&|bytes| JpegEncoder::new_with_quality(bytes, 80).write_image(data, 8, 6, kind.into()))
    }));
    seeds.extend(
        [(&*pixels, ColorType::Rgb8), (&*rgba, ColorType::Rgba8)].map(|(data, kind)| {
            encoded(&|bytes| WebPEncoder::new_lossless(bytes).write_image(data, 8, 6, kind.into()))
        }),
    );
    seeds
}
