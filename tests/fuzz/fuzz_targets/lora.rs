//! Headers of LoRA files. The first byte says how much longer than its data a file is.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wanfarm_fuzz::{header, models, scratch, seeds};
use wanfarm_model::lora::{Adapters, Lora};
use wanfarm_types::fixtures::TINY;
use wanfarm_types::{Expert, Transformer};
use wanfarm_weights::lora::LoraContents;
use wanfarm_weights::transformer::parameters;

fuzz_target!(init: seeds::write(seeds), |data: &[u8]| {
    let [more, head @ ..] = data else { return };
    let more = if (-8..=8).contains(&more.cast_signed()) { more.cast_signed() } else { 0 };
    let path = scratch::file("l.safetensors", &header::file(head, more));
    let Ok(lora) = LoraContents::open(&path) else { return };
    assert!(LoraContents::has_adapters(&path));
    let outline = lora.outline().expect("what was opened can be told");
    assert!(!outline.is_empty(), "what changes nothing is refused");
    for change in &outline {
        assert!(change.scale.is_finite() && change.rank != Some(0), "{change:?}");
        assert!(change.rank.is_some() || change.has_difference, "{change:?}");
    }
    for (sizes, expert) in networks() {
        let fits = lora.check(&sizes, expert);
        // The numbers of a large network are not to be read here.
        if sizes.dim > TINY.dim {
            continue;
        }
        let network = parameters(&sizes);
        let read = Lora::open(&path, &network, expert);
        assert_eq!(fits.is_ok(), read.is_ok(), "{fits:?} {read:?}");
        if let Ok(read) = read {
            assert!(read.names().all(|name| network.iter().any(|param| param.name == name)));
            let _ = Adapters::new(vec![(read.into(), 0.5)]);
        }
    }
});

fn networks() -> Vec<(Transformer, Expert)> {
    let published = models::all().map(|info| (info.transformer, Expert::High));
    [(TINY, Expert::Single), (TINY, Expert::Low)].into_iter().chain(published).collect()
}

fn seeds() -> Vec<Vec<u8>> {
    let golden = ["diffusers_peft", "kohya_musubi", "original_AB_partial"];
    let golden = golden.map(|name| format!("tests/golden/data/lora/lora_{name}.safetensors"));
    let golden = golden.iter().map(|path| {
        let file = seeds::committed(path);
        let length = u64::from_le_bytes(file[..8].try_into().expect("eight bytes")) as usize;
        file[8..8 + length].to_vec()
    });
    let q = "blocks.1.self_attn.q";
    let (down, up) = (format!("{q}.lora_A.weight"), format!("{q}.lora_B.weight"));
    let (alpha, diff) = (format!("{q}.alpha"), format!("{q}.diff_b"));
    let pair: [(&str, &[usize]); 4] = [(&down, &[3, 8]), (&up, &[8, 3]), (&alpha, &[]), (&diff, &[8])];
    let of_two = ["transformer", "transformer_2"]
        .map(|side| ["A.weight", "B.weight"].map(|end| format!("{side}.blocks.0.ffn.net.0.proj.lora_{end}")));
    let [[a, b], [c, d]] = &of_two;
    let of_two: [(&str, &[usize]); 4] = [(a, &[2, 8]), (b, &[12, 2]), (c, &[2, 8]), (d, &[12, 2])];
    let others: [(&str, &[usize]); 3] = [
        ("head.diff_m", &[2, 8]),
        ("patch_embedding.diff", &[8, 16, 1, 2, 2]),
        ("lora_unet_img_emb_proj_1.diff_b", &[8]),
    ];
    let own = [pair.to_vec(), of_two.to_vec(), others.to_vec()].map(header::f32);
    golden.chain(own).map(|header| seeds::behind(0, header)).collect()
}
