//! No tensor of the largest video has 2³¹ elements, beyond which kernels count wrongly. By arithmetic: none is made.

use wanfarm_model::ops::chunks::TOKENS;

/// Frames of pixels, height and width of the largest video that is meant to be rendered: 5 seconds in 720p, doubled.
const LARGEST: [usize; 3] = [161, 720, 1280];
/// Of the 14B transformer: width, of a feed-forward layer, heads, channels of a head.
const DIM: usize = 5120;
const FFN: usize = 13_824;
const HEADS: usize = 40;
const HEAD_DIM: usize = 128;
/// Most channels of a frame at full size in the autoencoders.
const CHANNELS: usize = 96;

#[test]
fn tensors_of_the_largest_video_stay_below_two_to_the_31() {
    let [frames, height, width] = LARGEST;
    // The autoencoder takes 4 frames and 8×8 pixels to one; the transformer 2×2 of those to a token.
    let tokens = ((frames - 1) / 4 + 1) * (height / 16) * (width / 16);
    let sizes = [
        ("tokens", tokens * DIM),
        ("queries, keys or values", HEADS * tokens * HEAD_DIM),
        ("rotary positions", tokens * HEAD_DIM / 2),
        ("a chunk in a feed-forward layer", TOKENS * FFN),
        ("modulation of a chunk", TOKENS * 6 * DIM),
        ("a frame", height * width * CHANNELS),
        ("a frame beside its neighbours in a row", height * width * CHANNELS * 3),
    ];
    for (what, elements) in sizes {
        println!("{what:<42} {elements:>13}");
        assert!(elements < 1 << 31, "{what}: {elements}");
    }
}
