"""Makes the files of this folder with MLX itself: its packed matrices, and what it makes of them.

    pip install mlx[cpu]==0.32.4 numpy
    python make.py

The networks are those of the golden cases `lora` (a DiT) and `umt5`. For each there is a file of the same stem in f32: what
MLX's matrices stand for, decoded by MLX.
"""

import json
from pathlib import Path

import mlx.core as mx
import numpy as np

HERE = Path(__file__).parent
GOLDEN = HERE / "../../../../../tests/golden/data"
BITS, GROUPS, DTYPES = (2, 3, 4, 5, 6, 8), (32, 64, 128), (mx.float32, mx.float16, mx.bfloat16)


def decoded(packed, scales, biases, group, bits):
    """In f32, whatever the factors are stored in: then nothing but the format decides."""
    return mx.dequantize(packed, scales.astype(mx.float32), biases.astype(mx.float32), group_size=group, bits=bits)


def matrices():
    """Every width with every size of groups, as a transformer's queries, whose inputs its bias of patches tells."""
    draw = np.random.default_rng(11)
    inputs, rows = 256, 3
    x = mx.array(draw.standard_normal((4, inputs)).astype(np.float32))
    files = {"patch_embedding.bias": mx.zeros(inputs)}
    truth = {"x": x}
    for i, (bits, group) in enumerate((bits, group) for bits in BITS for group in GROUPS):
        # Groups with means and spreads of their own: to take another group's, or none, is far off.
        groups = draw.standard_normal((rows, inputs // 32, 1)) * 2 + 1
        numbers = draw.standard_normal((rows, inputs // 32, 32)) * draw.uniform(0.3, 3, (rows, inputs // 32, 1)) + groups
        matrix = mx.array(numbers.reshape(rows, inputs).astype(np.float32)).astype(DTYPES[(i + i // 3) % 3])
        packed, scales, biases = mx.quantize(matrix, group_size=group, bits=bits)
        layer = f"blocks.{i}.self_attn.q"
        files |= {f"{layer}.weight": packed, f"{layer}.scales": scales, f"{layer}.biases": biases}
        truth[f"{layer}.weight"] = decoded(packed, scales, biases, group, bits)
        wide = (factors.astype(mx.float32) for factors in (scales, biases))
        truth[f"{layer}.product"] = mx.quantized_matmul(x, packed, *wide, group_size=group, bits=bits)
    mx.save_safetensors(str(HERE / "matrices.safetensors"), files)
    mx.save_safetensors(str(HERE / "matrices-mlx.safetensors"), truth)


def quantised(tensors, how):
    """The tensors with the layers packed that `how(path, inputs)` gives a size of groups and bits, and what they mean."""
    files, means = {}, {}
    for name, tensor in tensors.items():
        path = name.removesuffix(".weight")
        way = how(path, tensor.shape[-1]) if name.endswith(".weight") and tensor.ndim == 2 else None
        if not way:
            files[name], means[name] = tensor, tensor.astype(mx.float32)
            continue
        packed, scales, biases = mx.quantize(tensor, group_size=way[0], bits=way[1])
        files |= {f"{path}.weight": packed, f"{path}.scales": scales, f"{path}.biases": biases}
        means[name] = decoded(packed, scales, biases, *way)
    return files, means


def save(stem, files, means, official=lambda name: name):
    mx.save_safetensors(str(HERE / f"{stem}.safetensors"), files)
    mx.save_safetensors(str(HERE / f"{stem}-mlx.safetensors"), {official(name): mean for name, mean in means.items()})


PAIRS = (("patch_embedding.", "patch_embedding_proj."), ("text_embedding.0.", "text_embedding_0."),
         ("text_embedding.2.", "text_embedding_1."), ("time_embedding.0.", "time_embedding_0."),
         ("time_embedding.2.", "time_embedding_1."), ("time_projection.1.", "time_projection."), (".ffn.0.", ".ffn.fc1."),
         (".ffn.2.", ".ffn.fc2."))


def renamed(name, pairs):
    for old, new in pairs:
        name = name.replace(old, new)
    return name


def folder():
    """As Blaizzy/mlx-video@9efdd78 converts and quantises: bf16, the matrices of attention and of feed-forward layers
    packed. Some of them otherwise, which its `config.json` says by their paths, as mlx-lm writes it."""
    tensors = mx.load(str(GOLDEN / "lora/official/diffusion_pytorch_model.safetensors"))
    ours = {renamed(name, PAIRS): tensor.astype(mx.bfloat16) for name, tensor in tensors.items()}
    patches = ours["patch_embedding_proj.weight"]
    ours["patch_embedding_proj.weight"] = patches.reshape(patches.shape[0], -1)
    own = {"blocks.0.ffn.fc2": {"group_size": 64, "bits": 8}, "blocks.1.self_attn.v": {"group_size": 32, "bits": 6},
           "blocks.1.cross_attn.k": False}

    def how(path, inputs):
        layers = [f".{attention}.{name}" for attention in ("self_attn", "cross_attn") for name in "qkvo"]
        way = own.get(path, {"group_size": 32, "bits": 4})
        return way and path.endswith((*layers, ".ffn.fc1", ".ffn.fc2")) and (way["group_size"], way["bits"])

    files, means = quantised(ours, how)
    back = [(new, old) for old, new in PAIRS]
    means["patch_embedding_proj.weight"] = means["patch_embedding_proj.weight"].reshape(patches.shape)
    save("dit", files, means, lambda name: renamed(name, back))
    config = json.loads((GOLDEN / "lora/official/config.json").read_text())
    config["quantization"] = {"group_size": 32, "bits": 4} | own
    (HERE / "config.json").write_text(json.dumps(config, indent=2) + "\n")


def whole():
    """Under the official names, and every matrix packed that can be, in one way and without a word about it: then the
    timestep's first layer, whose inputs nothing tells, is as the others are."""
    tensors = mx.load(str(GOLDEN / "lora/official/diffusion_pytorch_model.safetensors"))
    save("dit-whole", *quantised(tensors, lambda path, inputs: (32, 6) if inputs % 32 == 0 else None))


def encoder():
    """A text encoder as mlx-video names it, its vocabulary packed as `nn.quantize` does that."""
    tensors = mx.load(str(GOLDEN / "umt5/official/models_t5_umt5-xxl-enc.safetensors"))
    theirs = {name.replace(".ffn.gate.0.", ".ffn.gate_proj."): tensor for name, tensor in tensors.items()}
    halves = {name: tensor.astype(mx.float16) for name, tensor in theirs.items()}
    save("umt5", *quantised(halves, lambda path, inputs: (32, 8) if inputs % 32 == 0 else None))


if __name__ == "__main__":
    matrices()
    folder()
    whole()
    encoder()
