//! mp4 files read back: boxes by hand, pictures through the decoder, colours by the standard's own formulas.

#![allow(clippy::unwrap_used, reason = "helpers of tests may fail as loudly as tests")]

use std::path::Path;

use mp4_atom::{Atom, Codec, Colr, Moov, StszSamples};
use openh264::decoder::Decoder;
use openh264::formats::YUVSource;
use wanfarm_image::load_image;
use wanfarm_media::{Frames, QUANTISER, psnr, write_mp4};
use wanfarm_types::FrameRate;

/// Kr and Kb of a matrix.
const BT709: (f64, f64) = (0.2126, 0.0722);
const BT601: (f64, f64) = (0.299, 0.114);

struct Mp4 {
    bytes: Vec<u8>,
    moov: Moov,
}

impl Mp4 {
    fn write(data: &[u8], shape: [usize; 3], fps: u32) -> Self {
        Self::at(data, shape, FrameRate::whole(fps))
    }

    fn at(data: &[u8], [frames, height, width]: [usize; 3], rate: FrameRate) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clip.mp4");
        write_mp4(&Frames::new(data, frames, height, width).unwrap(), rate, &path).unwrap();
        let bytes = std::fs::read(path).unwrap();
        let (_, start, end) = top_boxes(&bytes).into_iter().find(|(kind, ..)| kind == "moov").unwrap();
        let moov = Moov::decode_body(&mut &bytes[start..end]).unwrap();
        Self { bytes, moov }
    }

    fn avc1(&self) -> &mp4_atom::Avc1 {
        match &self.moov.trak[0].mdia.minf.stbl.stsd.codecs[..] {
            [Codec::Avc1(avc1)] => avc1,
            other => panic!("{other:?}"),
        }
    }

    /// The samples as the index finds them.
    fn samples(&self) -> Vec<&[u8]> {
        let stbl = &self.moov.trak[0].mdia.minf.stbl;
        let StszSamples::Different { sizes } = &stbl.stsz.samples else { panic!("one size for all") };
        let mut at = stbl.stco.as_ref().unwrap().entries[0] as usize;
        sizes
            .iter()
            .map(|&size| {
                at += size as usize;
                &self.bytes[at - size as usize..at]
            })
            .collect()
    }

    /// Decoded frames as RGB through a matrix.
    fn decode(&self, (kr, kb): (f64, f64)) -> Vec<u8> {
        let avcc = &self.avc1().avcc;
        let mut decoder = Decoder::new().unwrap();
        let mut rgb = Vec::new();
        for (index, sample) in self.samples().into_iter().enumerate() {
            let mut stream = Vec::new();
            let mut unit = |nal: &[u8]| {
                stream.extend([0, 0, 0, 1]);
                stream.extend(nal);
            };
            if index == 0 {
                unit(&avcc.sequence_parameter_sets[0]);
                unit(&avcc.picture_parameter_sets[0]);
            }
            let mut rest = sample;
            while let Some((length, tail)) = rest.split_first_chunk::<4>() {
                let (nal, tail) = tail.split_at(u32::from_be_bytes(*length) as usize);
                unit(nal);
                rest = tail;
            }
            let picture = decoder.decode(&stream).unwrap().expect("a picture per sample");
            let ((width, height), (sy, su, sv)) = (picture.dimensions(), picture.strides());
            for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
                let luma = (f64::from(picture.y()[y * sy + x]) - 16.0) / 219.0;
                let cb = (chroma_at(picture.u(), su, [width, height], x, y) - 128.0) / 224.0;
                let cr = (chroma_at(picture.v(), sv, [width, height], x, y) - 128.0) / 224.0;
                let red = luma + 2.0 * (1.0 - kr) * cr;
                let blue = luma + 2.0 * (1.0 - kb) * cb;
                let green = (luma - kr * red - kb * blue) / (1.0 - kr - kb);
                rgb.extend([red, green, blue].map(|v| (v * 255.0).round().clamp(0.0, 255.0) as u8));
            }
        }
        rgb
    }
}

/// Chroma at a luma pixel, interpolated between samples that sit on even columns and between pairs of rows.
fn chroma_at(plane: &[u8], stride: usize, [width, height]: [usize; 2], x: usize, y: usize) -> f64 {
    let (right, bottom) = (width / 2 - 1, height / 2 - 1);
    let row = |row: usize| {
        let at = |column: usize| f64::from(plane[row * stride + column.min(right)]);
        (at(x / 2) + at(x.div_ceil(2))) / 2.0
    };
    let other = if y.is_multiple_of(2) { (y / 2).saturating_sub(1) } else { (y / 2 + 1).min(bottom) };
    0.75 * row(y / 2) + 0.25 * row(other)
}

/// Kind, start and end of the bodies of the boxes on top.
fn top_boxes(bytes: &[u8]) -> Vec<(String, usize, usize)> {
    let (mut at, mut boxes) = (0, Vec::new());
    while at < bytes.len() {
        let short = u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
        let kind = String::from_utf8(bytes[at + 4..at + 8].to_vec()).unwrap();
        let (header, size) = match short {
            1 => (16, u64::from_be_bytes(bytes[at + 8..at + 16].try_into().unwrap()) as usize),
            _ => (8, short),
        };
        boxes.push((kind, at + header, at + size));
        at += size;
    }
    assert_eq!(at, bytes.len(), "the last box ends with the file");
    boxes
}

/// Fields of a sequence parameter set, in bits.
struct Bits(Vec<bool>, usize);

impl Bits {
    fn of(nal: &[u8]) -> Self {
        let mut payload = Vec::new();
        for (index, &byte) in nal.iter().enumerate().skip(1) {
            // Emulation prevention: the 3 of 0 0 3 is not data.
            if !(byte == 3 && nal[..index].ends_with(&[0, 0])) {
                payload.push(byte);
            }
        }
        Self(payload.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1 == 1)).collect(), 0)
    }

    fn take(&mut self, count: usize) -> u32 {
        self.1 += count;
        self.0[self.1 - count..self.1].iter().fold(0, |value, &bit| value << 1 | u32::from(bit))
    }

    fn golomb(&mut self) -> u32 {
        let mut zeros = 0;
        while self.take(1) == 0 {
            zeros += 1;
        }
        (1 << zeros) - 1 + self.take(zeros)
    }
}

/// Colour bars that fade a little from frame to frame.
fn bars([frames, height, width]: [usize; 3]) -> Vec<u8> {
    const BARS: [[u8; 3]; 8] = [
        [235, 235, 235],
        [220, 220, 20],
        [20, 220, 220],
        [20, 200, 20],
        [220, 20, 220],
        [220, 30, 30],
        [30, 30, 220],
        [16, 16, 16],
    ];
    (0..frames * height * width)
        .flat_map(|i| BARS[i % width * 8 / width].map(|v| v.saturating_sub((i / (height * width)) as u8)))
        .collect()
}

/// A smooth picture that moves: what 4:2:0 can carry.
fn waves([frames, height, width]: [usize; 3]) -> Vec<u8> {
    let wave = |x: f64, phase: f64| (128.0 + 90.0 * (x + phase).sin()) as u8;
    (0..frames * height * width)
        .flat_map(|i| {
            let (x, y, t) = ((i % width) as f64, (i / width % height) as f64, (i / (height * width)) as f64);
            [wave(x / 19.0, t * 0.3), wave(y / 17.0, t * 0.2), wave((x + y) / 23.0, -t * 0.1)]
        })
        .collect()
}

fn quality(data: &[u8], decoded: &[u8], [frames, height, width]: [usize; 3]) -> f64 {
    let clip = |data| Frames::new(data, frames, height, width).unwrap();
    psnr(&clip(data), &clip(decoded)).unwrap().clip.unwrap_or(f64::INFINITY)
}

#[test]
fn colours_come_back_and_only_through_the_right_matrix() {
    let shape = [5, 64, 128];
    let data = bars(shape);
    let mp4 = Mp4::write(&data, shape, 8);
    let decoded = mp4.decode(BT709);
    // The middle of each bar, where no neighbour bleeds in.
    let mean = |data: &[u8], bar: usize, channel: usize| {
        let samples: Vec<f64> = (0..5 * 64)
            .flat_map(|row| (5..11).map(move |x| (row * 128 + bar * 16 + x) * 3 + channel))
            .map(|i| f64::from(data[i]))
            .collect();
        samples.iter().sum::<f64>() / samples.len() as f64
    };
    for bar in 0..8 {
        for channel in 0..3 {
            let (want, got) = (mean(&data, bar, channel), mean(&decoded, bar, channel));
            assert!((want - got).abs() < 2.0, "bar {bar}, channel {channel}: {got} for {want}");
        }
    }
    let wrong = mp4.decode(BT601);
    assert!((mean(&data, 3, 1) - mean(&wrong, 3, 1)).abs() > 10.0, "this test tells the matrices apart");
}

#[test]
fn pictures_stay_close() {
    for shape in [[17, 240, 416], [9, 416, 240], [3, 16, 16], [40, 64, 64]] {
        let data = waves(shape);
        let mp4 = Mp4::write(&data, shape, 16);
        let psnr = quality(&data, &mp4.decode(BT709), shape);
        println!("{shape:?}: {psnr:.1} dB, {} bytes", mp4.bytes.len());
        assert!(psnr > 42.0, "{shape:?}: {psnr} dB");
    }
    let strip = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/red_circle.png");
    let data = load_image("strip", &std::fs::read(strip).unwrap()).unwrap().data().to_vec();
    let mp4 = Mp4::write(&data, [17, 64, 64], 8);
    let psnr = quality(&data, &mp4.decode(BT709), [17, 64, 64]);
    println!("render: {psnr:.1} dB, {} bytes", mp4.bytes.len());
    assert!(psnr > 38.0, "a red edge on black is what 4:2:0 does worst: {psnr} dB");
}

/// Uniform noise, the same every time: grey, or in every channel on its own.
fn noise([frames, height, width]: [usize; 3], colours: usize) -> Vec<u8> {
    let mut state = 1u32;
    let mut next = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..frames * height * width)
        .flat_map(|_| if colours == 1 { [next(); 3] } else { [(); 3].map(|()| next()) })
        .collect()
}

/// Nothing skipped and nothing starved, however much there is to encode.
#[test]
fn noise_keeps_its_frames() {
    let shape = [12, 96, 96];
    let data = noise(shape, 1);
    let mp4 = Mp4::write(&data, shape, 240);
    let psnr = quality(&data, &mp4.decode(BT709), shape);
    println!("noise: {psnr:.1} dB, {} bytes", mp4.bytes.len());
    assert!(psnr > 40.0, "{psnr}");
}

/// Noise is what wrong weights give, and then a person wants to look at it.
#[test]
fn a_clip_that_does_not_fit_the_encoder_is_written_more_coarsely() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clip.mp4");
    let write = |data: &[u8], [frames, height, width]: [usize; 3]| {
        write_mp4(&Frames::new(data, frames, height, width).unwrap(), FrameRate::whole(16), &path).unwrap()
    };
    for shape in [[3, 64, 64], [2, 240, 416], [2, 480, 832]] {
        let data = noise(shape, 3);
        let quantiser = write(&data, shape);
        let again = std::fs::read(&path).unwrap();
        let mp4 = Mp4::write(&data, shape, 16);
        assert_eq!(mp4.bytes, again, "equal frames give equal bytes");
        let decoded = mp4.decode(BT709);
        assert_eq!(decoded.len(), data.len());
        // Half the colour is lost to 4:2:0; the light is what the quantiser leaves.
        let light = |rgb: &[u8]| -> Vec<u8> {
            let grey =
                |p: &[u8]| (0.2126 * f64::from(p[0]) + 0.7152 * f64::from(p[1]) + 0.0722 * f64::from(p[2])) as u8;
            rgb.chunks_exact(3).flat_map(|pixel| [grey(pixel); 3]).collect()
        };
        let psnr = quality(&light(&data), &light(&decoded), shape);
        println!("{shape:?}: quantiser {quantiser}, {psnr:.1} dB, {} bytes", mp4.bytes.len());
        assert!(quantiser > QUANTISER, "this test gives more than fits");
    }
    // A clip that turns into noise is as coarse from its start; any other keeps its quantiser.
    let shape = [20, 64, 64];
    let mut data = waves(shape);
    assert_eq!(write(&data, shape), QUANTISER);
    let half = data.len() / 2;
    data[half..].copy_from_slice(&noise([10, 64, 64], 3));
    assert!(write(&data, shape) > QUANTISER);
    assert_eq!(Mp4::write(&data, shape, 16).samples().len(), 20);
}

#[test]
fn the_index_comes_first_and_is_exact() {
    for (frames, rate, keys_apart) in [
        (1usize, "24", 24),
        (17, "16", 16),
        (81, "16", 16),
        (30, "240", 240),
        (5, "1", 1),
        (61, "29", 29),
        (49, "23.976", 24),
        (81, "30000/1001", 30),
        (61, "59.94", 60),
        (27, "12.5", 13),
        (9, "1001/1000", 1),
    ] {
        let rate: FrameRate = rate.parse().unwrap();
        let shape = [frames, 32, 48];
        let mp4 = Mp4::at(&waves(shape), shape, rate);
        let order: Vec<String> = top_boxes(&mp4.bytes).into_iter().map(|(kind, ..)| kind).collect();
        assert_eq!(order, ["ftyp", "moov", "mdat"]);

        let trak = &mp4.moov.trak[0];
        let stbl = &trak.mdia.minf.stbl;
        let (movie, media) = (&mp4.moov.mvhd, &trak.mdia.mdhd);
        // Ticks that last as long as so many frames, in whole numbers.
        let lasts = |ticks: u64, timescale: u32, frames: usize| {
            let [ticks, timescale, frames] = [ticks, timescale.into(), frames as u64].map(u128::from);
            let [numerator, denominator] = [rate.numerator(), rate.denominator()].map(u128::from);
            ticks * numerator == frames * denominator * timescale
        };
        assert!(lasts(movie.duration, movie.timescale, frames), "{rate}: {movie:?}");
        assert!(lasts(trak.tkhd.duration, movie.timescale, frames), "{rate}: {:?}", trak.tkhd);
        assert!(lasts(media.duration, media.timescale, frames), "{rate}: {media:?}");
        assert!(media.timescale >= 1000, "{rate}: {media:?}");
        assert_eq!(stbl.stts.entries.len(), 1);
        assert_eq!(stbl.stts.entries[0].sample_count as usize, frames);
        assert!(lasts(stbl.stts.entries[0].sample_delta.into(), media.timescale, 1), "{rate}: {:?}", stbl.stts);
        assert_eq!((trak.tkhd.width.integer(), trak.tkhd.height.integer()), (48, 32));

        let samples = mp4.samples();
        let (_, start, end) = top_boxes(&mp4.bytes).pop().unwrap();
        assert_eq!(samples.len(), frames);
        assert_eq!(samples[0].as_ptr(), mp4.bytes[start..].as_ptr());
        assert_eq!(samples.iter().map(|sample| sample.len()).sum::<usize>(), end - start);
        let keys = &stbl.stss.as_ref().unwrap().entries;
        for (number, sample) in (1u32..).zip(&samples) {
            assert_eq!(sample[4] & 0x1F == 5, keys.contains(&number), "sample {number}");
        }
        assert_eq!(keys.len(), frames.div_ceil(keys_apart));
        assert_eq!(mp4.decode(BT709).len(), frames * 32 * 48 * 3);
    }
}

/// The rates of film are what other programs expect of them, and whole rates keep a thousand ticks a frame.
#[test]
fn frames_of_film_last_1001_ticks() {
    for (rate, per_second, per_frame) in [("23.976", 24_000, 1001), ("59.94", 60_000, 1001), ("24", 24_000, 1000)] {
        let mp4 = Mp4::at(&waves([2, 16, 16]), [2, 16, 16], rate.parse().unwrap());
        let media = &mp4.moov.trak[0].mdia;
        let ticks = (media.mdhd.timescale, media.minf.stbl.stts.entries[0].sample_delta);
        assert_eq!(ticks, (per_second, per_frame), "{rate}");
    }
}

#[test]
fn the_tags_say_bt709_limited() {
    let shape = [2, 144, 176];
    let mp4 = Mp4::write(&waves(shape), shape, 25);
    let avc1 = mp4.avc1();
    let nclx =
        Colr::Nclx { colour_primaries: 1, transfer_characteristics: 1, matrix_coefficients: 1, full_range_flag: false };
    assert_eq!(avc1.colr, Some(nclx));
    assert_eq!((avc1.visual.width, avc1.visual.height), (176, 144));
    assert_eq!((avc1.avcc.length_size, avc1.avcc.configuration_version), (4, 1));

    let sps = &avc1.avcc.sequence_parameter_sets[0];
    assert_eq!(sps[0] & 0x1F, 7);
    assert_eq!(avc1.avcc.picture_parameter_sets[0][0] & 0x1F, 8);
    let mut bits = Bits::of(sps);
    assert_eq!(bits.take(8), 66, "baseline, so that no chroma format precedes");
    assert_eq!([avc1.avcc.profile_compatibility, avc1.avcc.avc_level_indication], [sps[2], sps[3]]);
    bits.take(16);
    bits.golomb(); // id
    bits.golomb(); // frame number length
    assert_eq!(bits.golomb(), 2, "pictures are shown in the order they are coded");
    bits.golomb(); // reference frames
    bits.take(1); // gaps
    assert_eq!([(bits.golomb() + 1) * 16, (bits.golomb() + 1) * 16], [176, 144]);
    assert_eq!(bits.take(1), 1, "frames, not fields");
    bits.take(1); // direct 8x8
    assert_eq!(bits.take(1), 0, "no cropping");
    assert_eq!(bits.take(1), 1, "usability information");
    assert_eq!(bits.take(1), 0, "aspect ratio");
    assert_eq!(bits.take(1), 0, "overscan");
    assert_eq!(bits.take(1), 1, "video signal type");
    bits.take(3); // video format
    assert_eq!(bits.take(1), 0, "limited range");
    assert_eq!(bits.take(1), 1, "colour description");
    assert_eq!([bits.take(8), bits.take(8), bits.take(8)], [1, 1, 1]);
}

#[test]
fn equal_frames_give_equal_bytes() {
    let shape = [20, 64, 96];
    let data = waves(shape);
    assert_eq!(Mp4::write(&data, shape, 8).bytes, Mp4::write(&data, shape, 8).bytes);
}

/// Even sizes off the macroblock grid are cropped by the stream, not by us.
#[test]
fn even_sizes_keep_their_size() {
    for (height, width) in [(18, 34), (16, 3840), (2160, 16)] {
        let shape = [2, height, width];
        let data = waves(shape);
        let mp4 = Mp4::write(&data, shape, 24);
        assert!(quality(&data, &mp4.decode(BT709), shape) > 38.0);
    }
}
