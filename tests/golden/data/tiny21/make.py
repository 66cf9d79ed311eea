"""Makes the data of `tiny21` and `tiny22` and prints their entries in MANIFEST.json.

    python make.py taehv.py

The decoders are those of madebyollin/taehv@1f14a56 `taehv.py`, as they stand there but for their widths, with random weights,
run in f64. Also told: how far typical mistakes are from them. With `--names FOLDER` the names and shapes of the published
files' tensors are written there instead.
"""

import json
import sys
import types
from pathlib import Path

import torch
from safetensors.torch import save_file

HERE = Path(__file__).parent
WIDTHS = "n_f = [256, 128, 64, 64]"
NARROW = "n_f = [16, 12, 8, 8]"
# Latent frames, height and width of the latents.
SIZES = [(3, 3, 5), (2, 5, 2)]


def reference(path, narrow=True):
    """The module `taehv`, its decoder narrow."""
    text = Path(path).read_text()
    assert text.count(WIDTHS) == 1
    module = types.ModuleType("taehv")
    exec(compile(text.replace(WIDTHS, NARROW) if narrow else text, str(path), "exec"), module.__dict__)
    return module


def network(taehv, kind):
    channels, patch = {"tiny21": (16, 1), "tiny22": (48, 2)}[kind]
    return taehv.TAEHV(checkpoint_path=None, latent_channels=channels, patch_size=patch)


def fill(taehv, net, dtype):
    """Weights as a file of that type holds them: what blocks add is smaller than what they get, and few frames go beyond 0
    and 1."""
    for name, tensor in net.decoder.named_parameters():
        scale = (2.0 / tensor[0].numel()) ** 0.5 if name.endswith("weight") else 0.1
        scale *= 0.3 if ".conv.4." in name else 1
        tensor.data = torch.randn(tensor.shape, dtype=torch.float64) * scale
    last = net.decoder[-1]
    last.bias.data.zero_()
    latents = torch.randn(1, 3, net.latent_channels, 6, 6, dtype=torch.float64) * 2
    last.weight.data *= 0.25 / decode(taehv, net, latents).std()
    last.bias.data += 0.5
    for tensor in net.decoder.parameters():
        tensor.data = tensor.data.to(dtype).double()


def decode(taehv, net, latents, shuffle=None, trim=True):
    """Frames `(3, frames, height, width)`, not clamped, as `decode_video` has them before it clamps."""
    with torch.no_grad():
        x = taehv.apply_model_with_memblocks(net.decoder, latents, True, False)[0]
    if net.patch_size > 1:
        x = (shuffle or torch.nn.functional.pixel_shuffle)(x, net.patch_size)
    count = x.shape[0] - net.frames_to_trim
    return (x[net.frames_to_trim :] if trim else x[:count]).transpose(0, 1)


def shuffled(axes):
    def shuffle(x, patch):
        n, c, h, w = x.shape
        parts = x.reshape(n, *axes[0](c // patch**2, patch), h, w)
        return parts.permute(axes[1]).reshape(n, c // patch**2, h * patch, w * patch)

    return shuffle


def mistakes(taehv, kind, net, latents, truth):
    """What comes of each, by its name."""
    swap = taehv.MemBlock.forward
    clamp = taehv.Clamp.forward
    grow = taehv.TGrow.forward

    def with_block(forward):
        taehv.MemBlock.forward = forward
        try:
            return decode(taehv, net, latents)
        finally:
            taehv.MemBlock.forward = swap

    def with_clamp(forward):
        taehv.Clamp.forward = forward
        try:
            return decode(taehv, net, latents)
        finally:
            taehv.Clamp.forward = clamp

    def later(x, _):
        return torch.cat([x[1:], torch.zeros_like(x[:1])])

    def grow_apart(self, x):
        n, _, h, w = x.shape
        parts = self.conv(x).reshape(n, -1, self.stride, h, w)
        return parts.transpose(1, 2).reshape(n * self.stride, -1, h, w)

    made = {
        "no clamp": with_clamp(lambda self, x: x),
        "tanh without the thirds": with_clamp(lambda self, x: torch.tanh(x)),
        "hard clamp": with_clamp(lambda self, x: x.clamp(-3, 3)),
        "memory of the next frame": with_block(lambda self, x, past: swap(self, x, later(x, past))),
        "memory of the frame itself": with_block(lambda self, x, past: swap(self, x, x)),
        "no memory": with_block(lambda self, x, past: swap(self, x, past * 0)),
        "memory before the frame": with_block(
            lambda self, x, past: self.act(self.conv(torch.cat([past, x], 1)) + self.skip(x))
        ),
        "no trim": decode(taehv, net, latents, trim=False),
    }
    taehv.TGrow.forward = grow_apart
    made["frames of every second channel"] = decode(taehv, net, latents)
    taehv.TGrow.forward = grow
    if kind == "tiny22":
        turned = shuffled((lambda c, p: (c, p, p), (0, 1, 4, 3, 5, 2)))
        outside = shuffled((lambda c, p: (p, p, c), (0, 3, 4, 1, 5, 2)))
        made["columns before rows"] = decode(taehv, net, latents, shuffle=turned)
        made["colours last"] = decode(taehv, net, latents, shuffle=outside)
    return {name: far(got, truth) for name, got in made.items()}


def far(got, truth):
    return {"rel_l2": float((got - truth).norm() / truth.norm()), "max_abs": float((got - truth).abs().max())}


def case(taehv, kind, dtype):
    torch.manual_seed(21 if kind == "tiny21" else 22)
    net = network(taehv, kind).double()
    fill(taehv, net, dtype)
    folder = HERE.parent / kind
    (folder / "taehv").mkdir(exist_ok=True)
    weights = {f"decoder.{name}": tensor.to(dtype) for name, tensor in net.decoder.state_dict().items()}
    save_file(weights, folder / "taehv" / {"tiny21": "taew2_1.safetensors", "tiny22": "taew2_2.safetensors"}[kind])
    stride = 8 * net.patch_size
    tensors, beyond, rounding, wrong = {}, {}, {}, {}
    for frames, height, width in SIZES:
        name = f"f{4 * frames - 3}_{height * stride}x{width * stride}"
        # Some are far beyond where they are bent.
        latents = (torch.randn(1, frames, net.latent_channels, height, width, dtype=torch.float64) * 2).float().double()
        truth = decode(taehv, net, latents)
        narrow = network(taehv, kind)
        narrow.load_state_dict(net.state_dict())
        beyond[name] = float(((truth < 0) | (truth > 1)).double().mean())
        rounding[name] = far(decode(taehv, narrow, latents.float()).double(), truth)
        wrong[name] = mistakes(taehv, kind, net, latents, truth)
        tensors[f"{name}.latents"] = latents[0].transpose(0, 1).float()
        tensors[f"{name}.frames"] = truth.float()
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "io.safetensors")
    return {
        "case": kind,
        "tests": "tiny autoencoder: latents as the transformers have them to frames, in [0, 1] but for those beyond, which are "
        "not clamped here",
        "source": "madebyollin/taehv@1f14a56 taehv.py TAEHV.decode_video in float64, narrow; tiny21/make.py",
        "torch": torch.__version__,
        "clamped_fraction": beyond,
        "f32_vs_f64": rounding,
        "mistakes": wrong,
        "suggested_f32_tolerance": {"rel_l2": 1e-5, "max_abs_over_ref_max": 1e-5},
    }


def main():
    torch.set_num_threads(1)
    if sys.argv[2:3] == ["--names"]:
        taehv = reference(sys.argv[1], narrow=False)
        for kind, name in [("tiny21", "taew2_1"), ("tiny22", "taew2_2")]:
            shapes = {key: list(tensor.shape) for key, tensor in network(taehv, kind).state_dict().items()}
            lines = ",\n".join(f" {json.dumps(key)}: {json.dumps(shape)}" for key, shape in sorted(shapes.items()))
            Path(sys.argv[3], f"{name}.json").write_text(f"{{\n{lines}\n}}\n")
        return
    taehv = reference(sys.argv[1])
    entries = [case(taehv, "tiny21", torch.float16), case(taehv, "tiny22", torch.float32)]
    print(json.dumps({entry["case"]: entry for entry in entries}, indent=1))


if __name__ == "__main__":
    main()
