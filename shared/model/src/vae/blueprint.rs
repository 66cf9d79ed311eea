//! Which layers encoder and decoder are made of: order, widths and official names, as data. From it come both the
//! list of tensors that a network needs and the network itself, so the two cannot differ.
//!
//! Not here: what a layer computes.
//!
//! Source: Wan2.2@42bf4cf `wan/modules/vae2_1.py` and `vae2_2.py`, `Encoder3d`, `Decoder3d`, `WanVAE_`.

use wanfarm_types::VaeKind;

use super::config::VaeConfig;
use wanfarm_weights::Param;

/// A layer and the official name of its tensors' common prefix.
#[derive(Debug)]
pub(crate) struct Named {
    pub(crate) name: String,
    pub(crate) spec: Spec,
}

/// A layer's kind and widths.
#[derive(Debug)]
pub(crate) enum Spec {
    /// 1×1×1 convolution.
    Linear { input: usize, output: usize },
    /// 3×3×3 causal convolution.
    Conv { input: usize, output: usize },
    /// Two normed convolutions, with a shortcut.
    Residual { input: usize, output: usize },
    /// Attention over the pixels of a frame.
    Attention { dim: usize },
    /// Half or double the size, and perhaps the frame rate.
    Resample { input: usize, output: usize, mode: Mode },
    /// Norm, SiLU, convolution: `Encoder3d.head`, `Decoder3d.head`.
    Head { input: usize, output: usize },
    /// All layers of a resolution, with a shortcut around them that has no parameters (Wan2.2).
    Group { layers: Vec<Named>, shortcut: Option<ShortcutSpec> },
}

/// What a [`Spec::Resample`] does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Upsample2d,
    Upsample3d,
    Downsample2d,
    Downsample3d,
}

/// A way around a group: `AvgDown3D` or `DupUp3D`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ShortcutSpec {
    pub(crate) up: bool,
    pub(crate) input: usize,
    pub(crate) output: usize,
    pub(crate) factor_t: usize,
    pub(crate) factor_s: usize,
}

/// Every tensor of an autoencoder.
pub fn parameters(config: &VaeConfig) -> Vec<Param> {
    encoder(config).iter().chain(&decoder(config)).flat_map(Named::parameters).collect()
}

/// Frames → mean and log-variance: `Encoder3d`, then `conv1`.
pub(crate) fn encoder(config: &VaeConfig) -> Vec<Named> {
    let dims: Vec<usize> = [1].iter().chain(&config.dim_mult).map(|mult| mult * config.dim).collect();
    let moments = 2 * config.z;
    let mut layers = vec![named("encoder.conv1", Spec::Conv { input: config.pixel_channels(), output: dims[0] })];
    let mut index = 0;
    for (level, pair) in dims.windows(2).enumerate() {
        let (input, output) = (pair[0], pair[1]);
        let temporal = config.temporal_downsample.get(level).copied();
        let mut specs = residuals(input, output, config.num_res_blocks);
        specs.extend(temporal.map(|temporal| {
            let mode = if temporal { Mode::Downsample3d } else { Mode::Downsample2d };
            Spec::Resample { input: output, output, mode }
        }));
        let shortcut = ShortcutSpec { up: false, input, output, ..factors(temporal) };
        layers.extend(resolution(config.kind, "encoder.downsamples", level, &mut index, specs, Some(shortcut)));
    }
    let last = dims[dims.len() - 1];
    layers.extend(middle("encoder", last));
    layers.push(named("encoder.head", Spec::Head { input: last, output: moments }));
    layers.push(named("conv1", Spec::Linear { input: moments, output: moments }));
    layers
}

/// Latents → frames: `conv2`, then `Decoder3d`.
pub(crate) fn decoder(config: &VaeConfig) -> Vec<Named> {
    let mut dims: Vec<usize> = config.dim_mult.iter().rev().map(|mult| mult * config.dec_dim).collect();
    dims.insert(0, dims[0]);
    let mut layers = vec![
        named("conv2", Spec::Linear { input: config.z, output: config.z }),
        named("decoder.conv1", Spec::Conv { input: config.z, output: dims[0] }),
    ];
    layers.extend(middle("decoder", dims[0]));
    let mut index = 0;
    // In Wan2.1 upsampling halves the channels too.
    let narrowing = match config.kind {
        VaeKind::Wan21 => 2,
        VaeKind::Wan22 => 1,
    };
    for (level, pair) in dims.windows(2).enumerate() {
        let (input, output) = (if level == 0 { pair[0] } else { pair[0] / narrowing }, pair[1]);
        let temporal = config.temporal_downsample.iter().rev().nth(level).copied();
        let mut specs = residuals(input, output, config.num_res_blocks + 1);
        specs.extend(temporal.map(|temporal| {
            let mode = if temporal { Mode::Upsample3d } else { Mode::Upsample2d };
            Spec::Resample { input: output, output: output / narrowing, mode }
        }));
        let shortcut = temporal.map(|_| ShortcutSpec { up: true, input, output, ..factors(temporal) });
        layers.extend(resolution(config.kind, "decoder.upsamples", level, &mut index, specs, shortcut));
    }
    let last = dims[dims.len() - 1];
    layers.push(named("decoder.head", Spec::Head { input: last, output: config.pixel_channels() }));
    layers
}

/// `Spec`s of one resolution under their names: in one list with all others (Wan2.1), or as a group (Wan2.2).
fn resolution(
    kind: VaeKind,
    prefix: &str,
    level: usize,
    index: &mut usize,
    specs: Vec<Spec>,
    shortcut: Option<ShortcutSpec>,
) -> Vec<Named> {
    match kind {
        VaeKind::Wan21 => {
            let first = *index;
            *index += specs.len();
            specs.into_iter().enumerate().map(|(i, spec)| named(format!("{prefix}.{}", first + i), spec)).collect()
        }
        VaeKind::Wan22 => {
            let list = prefix.rsplit('.').next().unwrap_or(prefix);
            let name = |i| format!("{prefix}.{level}.{list}.{i}");
            let layers = specs.into_iter().enumerate().map(|(i, spec)| named(name(i), spec)).collect();
            vec![named(format!("{prefix}.{level}"), Spec::Group { layers, shortcut })]
        }
    }
}

fn residuals(input: usize, output: usize, count: usize) -> Vec<Spec> {
    (0..count).map(|i| Spec::Residual { input: if i == 0 { input } else { output }, output }).collect()
}

fn middle(prefix: &str, dim: usize) -> [Named; 3] {
    [
        named(format!("{prefix}.middle.0"), Spec::Residual { input: dim, output: dim }),
        named(format!("{prefix}.middle.1"), Spec::Attention { dim }),
        named(format!("{prefix}.middle.2"), Spec::Residual { input: dim, output: dim }),
    ]
}

/// A shortcut's factors; `None` is the resolution without resampling.
fn factors(temporal: Option<bool>) -> ShortcutSpec {
    let factor = |yes: bool| if yes { 2 } else { 1 };
    let (factor_t, factor_s) = (factor(temporal == Some(true)), factor(temporal.is_some()));
    ShortcutSpec { up: false, input: 0, output: 0, factor_t, factor_s }
}

fn named(name: impl Into<String>, spec: Spec) -> Named {
    Named { name: name.into(), spec }
}

impl Named {
    fn parameters(&self) -> Vec<Param> {
        let name = &self.name;
        let conv = |suffix: &str, output: usize, input: usize, kernel: &[usize]| {
            let weight = [&[output, input], kernel].concat();
            [Param::new(format!("{name}{suffix}.weight"), weight), Param::new(format!("{name}{suffix}.bias"), [output])]
        };
        let norm = |suffix: &str, dim: usize| [Param::new(format!("{name}{suffix}.gamma"), [dim, 1, 1, 1])];
        match self.spec {
            Spec::Linear { input, output } => conv("", output, input, &[1, 1, 1]).into(),
            Spec::Conv { input, output } => conv("", output, input, &[3, 3, 3]).into(),
            Spec::Residual { input, output } => {
                let mut params = Vec::new();
                params.extend(norm(".residual.0", input));
                params.extend(conv(".residual.2", output, input, &[3, 3, 3]));
                params.extend(norm(".residual.3", output));
                params.extend(conv(".residual.6", output, output, &[3, 3, 3]));
                if input != output {
                    params.extend(conv(".shortcut", output, input, &[1, 1, 1]));
                }
                params
            }
            Spec::Attention { dim } => {
                let mut params = vec![Param::new(format!("{name}.norm.gamma"), [dim, 1, 1])];
                params.extend(conv(".to_qkv", 3 * dim, dim, &[1, 1]));
                params.extend(conv(".proj", dim, dim, &[1, 1]));
                params
            }
            Spec::Resample { input, output, mode } => {
                let mut params: Vec<Param> = conv(".resample.1", output, input, &[3, 3]).into();
                match mode {
                    Mode::Upsample3d => params.extend(conv(".time_conv", 2 * input, input, &[3, 1, 1])),
                    Mode::Downsample3d => params.extend(conv(".time_conv", output, output, &[3, 1, 1])),
                    Mode::Upsample2d | Mode::Downsample2d => {}
                }
                params
            }
            Spec::Head { input, output } => {
                let mut params: Vec<Param> = norm(".0", input).into();
                params.extend(conv(".2", output, input, &[3, 3, 3]));
                params
            }
            Spec::Group { ref layers, .. } => layers.iter().flat_map(Named::parameters).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::vae::LatentStatistics;
    use wanfarm_weights::Naming;

    type Shapes = BTreeMap<String, Vec<usize>>;

    fn config(kind: VaeKind, num_res_blocks: usize) -> VaeConfig {
        VaeConfig { num_res_blocks, ..VaeConfig::published(kind) }
    }

    fn shapes(config: &VaeConfig) -> Shapes {
        let params = parameters(config);
        let shapes: Shapes = params.iter().map(|param| (param.name.clone(), param.shape.clone())).collect();
        assert_eq!(shapes.len(), params.len(), "a name is there twice");
        shapes
    }

    #[test]
    fn published_files_hold_exactly_these_tensors() {
        let files = [
            (VaeKind::Wan21, include_str!("../../../weights/tests/data/vae-2.1.json")),
            (VaeKind::Wan21, include_str!("../../../weights/tests/data/diffusers-vae-2.1.json")),
            (VaeKind::Wan22, include_str!("../../../weights/tests/data/vae-2.2.json")),
            (VaeKind::Wan22, include_str!("../../../weights/tests/data/diffusers-vae-2.2.json")),
        ];
        for (kind, file) in files {
            let file: Shapes = serde_json::from_str(file).unwrap();
            let naming = Naming::of(&file.keys().map(String::as_str).collect::<BTreeSet<_>>());
            let official: Shapes =
                file.iter().map(|(name, shape)| (naming.official(name).unwrap(), shape.clone())).collect();
            assert_eq!(official.len(), file.len(), "two tensors have one official name");
            assert_eq!(official, shapes(&config(kind, 2)));
            let read = VaeConfig::from_shapes(|name| official.get(name).cloned(), None).unwrap();
            assert_eq!(read, config(kind, 2));
        }
    }

    #[test]
    fn dimensions_can_be_read_off_the_shapes() {
        for kind in [VaeKind::Wan21, VaeKind::Wan22] {
            for (blocks, dim_mult, temporal) in [
                (1, vec![1, 2, 4, 4], vec![false, true, true]),
                (3, vec![1, 2], vec![true]),
                (2, vec![2, 2, 6], vec![true, false]),
                (1, vec![1], vec![]),
            ] {
                let config = VaeConfig { dim_mult, temporal_downsample: temporal, ..config(kind, blocks) };
                let shapes = shapes(&config);
                let read = VaeConfig::from_shapes(|name| shapes.get(name).cloned(), None).unwrap();
                assert_eq!(read, config);
            }
        }
    }

    /// Convolutions in order, each with its kernel, channels, scale against the latents, and frames for a latent frame.
    type Convolution = ([usize; 3], usize, usize, usize, usize);

    fn convolutions(layers: &[Named], at: &mut (usize, usize), found: &mut Vec<Convolution>) {
        for Named { spec, .. } in layers {
            let (scale, frames) = (&mut at.0, &mut at.1);
            let mut add = |kernel, input, output, scale, frames| found.push((kernel, input, output, scale, frames));
            match *spec {
                Spec::Linear { input, output } => add([1; 3], input, output, *scale, *frames),
                Spec::Conv { input, output } | Spec::Head { input, output } => {
                    add([3; 3], input, output, *scale, *frames);
                }
                Spec::Residual { input, output } => {
                    add([3; 3], input, output, *scale, *frames);
                    add([3; 3], output, output, *scale, *frames);
                    if input != output {
                        add([1; 3], input, output, *scale, *frames);
                    }
                }
                Spec::Attention { dim } => {
                    add([1; 3], dim, 3 * dim, *scale, *frames);
                    add([1; 3], dim, dim, *scale, *frames);
                }
                Spec::Resample { input, output, mode } => match mode {
                    Mode::Upsample2d | Mode::Upsample3d => {
                        if mode == Mode::Upsample3d {
                            add([3, 1, 1], input, 2 * input, *scale, *frames);
                            *frames *= 2;
                        }
                        *scale *= 2;
                        add([1, 3, 3], input, output, *scale, *frames);
                    }
                    Mode::Downsample2d | Mode::Downsample3d => {
                        *scale /= 2;
                        add([1, 3, 3], input, output, *scale, *frames);
                        if mode == Mode::Downsample3d {
                            *frames /= 2;
                            add([3, 1, 1], output, output, *scale, *frames);
                        }
                    }
                },
                Spec::Group { ref layers, .. } => convolutions(layers, at, found),
            }
        }
    }

    #[test]
    fn the_roofline_counts_these_layers() {
        use wanfarm_roofline::vae::{Operation, Way, layers};
        for kind in [VaeKind::Wan21, VaeKind::Wan22] {
            let config = config(kind, 2);
            for (way, blueprint, mut start) in
                [(Way::Encode, encoder(&config), (8, 4)), (Way::Decode, decoder(&config), (1, 1))]
            {
                let mut built = Vec::new();
                convolutions(&blueprint, &mut start, &mut built);
                let counted = layers(kind, way).into_iter().filter_map(|layer| match layer.operation {
                    Operation::Convolution { kernel, input } => {
                        Some((kernel, input, layer.output, layer.scale, layer.frames))
                    }
                    Operation::Norm | Operation::Sum | Operation::Attention => None,
                });
                assert_eq!(counted.collect::<Vec<_>>(), built, "{kind:?} {way:?}");
            }
        }
    }

    #[test]
    fn what_is_no_autoencoder_is_refused() {
        let shapes = shapes(&config(VaeKind::Wan21, 2));
        let without = |left_out: &str| {
            let shape = |name: &str| shapes.get(name).filter(|_| name != left_out).cloned();
            VaeConfig::from_shapes(shape, None).unwrap_err().to_string()
        };
        for name in ["encoder.conv1.weight", "conv2.weight", "decoder.head.0.gamma"] {
            assert!(without(name).contains(name));
        }
        assert!(without("encoder.downsamples.0.residual.2.weight").contains("0 resolutions"));
        // A tensor without numbers takes no room, however wide it is.
        for (wide, shape) in [("conv2.weight", [1 << 60, 0, 1, 1, 1]), ("encoder.conv1.weight", [1 << 40, 3, 0, 3, 3])]
        {
            let shape = |name: &str| if name == wide { Some(shape.to_vec()) } else { shapes.get(name).cloned() };
            let error = VaeConfig::from_shapes(shape, None).unwrap_err();
            assert!(error.contains("channels, and 65536 are the most") || error.contains("zero"), "{error}");
        }
        // Behind each resolution stands the next one: a pixel would stand for 2⁶⁴ others.
        let endless = |name: &str| {
            let block =
                name.strip_prefix("encoder.downsamples.").and_then(|name| name.strip_suffix(".residual.2.weight"));
            let block = block.and_then(|block| block.parse::<usize>().ok());
            match (block, name.ends_with(".resample.1.weight")) {
                (Some(block), _) => block.is_multiple_of(2).then(|| vec![16, 16, 3, 3, 3]),
                (None, true) => Some(vec![16, 16, 3, 3]),
                (None, false) => shapes.get(name).cloned(),
            }
        };
        let error = VaeConfig::from_shapes(endless, None).unwrap_err();
        assert!(error.contains("9 resolutions with 9 steps between them"), "{error}");
        let statistics = LatentStatistics { mean: vec![0.; 48], std: vec![1.; 48] };
        let error = VaeConfig::from_shapes(|name| shapes.get(name).cloned(), Some(statistics)).unwrap_err();
        assert!(error.to_string().contains("48 means for 16 latent channels"), "{error}");
    }
}
