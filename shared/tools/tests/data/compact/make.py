"""Makes the files of this folder with the reference implementations of the formats: `gguf` and `ml_dtypes`.

    pip install gguf==0.19.0 ml_dtypes==0.6.0 safetensors==0.8.0
    python make.py

For each compact file there is a file of the same stem that holds what its matrices stand for, in f32, as the reference
decodes them. The networks are those of the golden cases `lora` (a DiT) and `umt5`; that of the blocks of 256 numbers,
which no golden case is wide enough for, has random weights. `gguf` encodes only types with blocks of 32, so blocks of 256
are encoded here, naively; decoding them is the reference's.
"""

from pathlib import Path

import gguf
import ml_dtypes
import numpy as np
from gguf import GGMLQuantizationType as T
from safetensors.numpy import load_file, save_file

HERE = Path(__file__).parent
GOLDEN = HERE / "../../../../../tests/golden/data"
BLOCK = 256


def write_gguf(path, arch, tensors, kind):
    """Writes tensors as `kind(name, tensor)` says; returns what the reference makes of them."""
    writer = gguf.GGUFWriter(path, arch)
    decoded = {}
    for name, tensor in tensors.items():
        type_ = kind(name, tensor)
        raw = encode(tensor, type_)
        writer.add_tensor(name, raw, raw_dtype=type_)
        decoded[name] = gguf.quants.dequantize(raw, type_).reshape(tensor.shape).astype(np.float32)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return decoded


def encode(tensor, type_):
    if type_ in (T.Q4_K, T.Q5_K):
        return affine_blocks(tensor, 4 if type_ == T.Q4_K else 5)
    if type_ == T.Q6_K:
        return q6_blocks(tensor)
    return gguf.quants.quantize(tensor.astype(np.float32), type_)


def affine_blocks(tensor, bits):
    """Q4_K and Q5_K: 8 times 32 numbers q·d·scale − dmin·min, scales and minima of 6 bits."""
    x = tensor.reshape(-1, 8, 32).astype(np.float64)
    top = 2**bits - 1
    low = np.maximum(-x.min(-1), 0)
    step = (x.max(-1) + low) / top
    d = np.maximum(step.max(-1, keepdims=True) / 63, 1e-8).astype(np.float16)
    dmin = np.maximum(low.max(-1, keepdims=True) / 63, 1e-8).astype(np.float16)
    scale = np.clip(np.rint(step / d), 0, 63).astype(np.uint8)
    least = np.clip(np.rint(low / dmin), 0, 63).astype(np.uint8)
    unit = d.astype(np.float64) * scale
    q = (x + (dmin.astype(np.float64) * least)[..., None]) / np.where(unit == 0, 1, unit)[..., None]
    q = np.clip(np.rint(q), 0, top).astype(np.uint8)
    packed = np.concatenate([scale[:, :4] & 63 | (scale[:, 4:] >> 4) << 6, least[:, :4] & 63 | (least[:, 4:] >> 4) << 6,
                             scale[:, 4:] & 15 | (least[:, 4:] & 15) << 4], -1)
    pairs = (q & 15).reshape(-1, 4, 2, 32)
    nibbles = (pairs[:, :, 0] | pairs[:, :, 1] << 4).reshape(-1, 128)
    parts = [d.view(np.uint8), dmin.view(np.uint8), packed]
    if bits == 5:
        high = q >> 4
        parts.append(sum(high[:, i] << i for i in range(8)).astype(np.uint8))
    blocks = np.concatenate(parts + [nibbles], -1).astype(np.uint8)
    return blocks.reshape(tensor.shape[0], -1)


def q6_blocks(tensor):
    """Q6_K: 16 times 16 numbers (q − 32)·d·scale, scales of 8 bits with sign."""
    x = tensor.reshape(-1, 16, 16).astype(np.float64)
    step = np.abs(x).max(-1) / 31
    d = np.maximum(step.max(-1, keepdims=True) / 127, 1e-8).astype(np.float16)
    scale = np.clip(np.rint(step / d), -128, 127).astype(np.int8)
    unit = d.astype(np.float64) * scale
    q = np.clip(np.rint(x / np.where(unit == 0, 1, unit)[..., None]) + 32, 0, 63).astype(np.uint8)
    halves = q.reshape(-1, 2, 4, 32)
    low = halves & 15
    nibbles = np.stack([low[:, :, 0] | low[:, :, 2] << 4, low[:, :, 1] | low[:, :, 3] << 4], 2).reshape(-1, 128)
    high = halves >> 4
    pairs = (high[:, :, 0] | high[:, :, 1] << 2 | high[:, :, 2] << 4 | high[:, :, 3] << 6).reshape(-1, 64)
    blocks = np.concatenate([nibbles, pairs, scale.view(np.uint8), d.view(np.uint8)], -1).astype(np.uint8)
    return blocks.reshape(tensor.shape[0], -1)


def is_matrix(name, tensor):
    return name.endswith(".weight") and tensor.ndim == 2


def blocks_of_32(type_):
    return lambda name, tensor: type_ if is_matrix(name, tensor) and tensor.shape[1] % 32 == 0 else T.F32


def matrices(decoded):
    return {name: tensor for name, tensor in decoded.items() if is_matrix(name, tensor)}


def small_dit():
    tensors = load_file(GOLDEN / "lora/official/diffusion_pytorch_model.safetensors")
    for type_ in (T.Q8_0, T.Q4_0):
        stem = f"dit-{type_.name.lower()}"
        save_file(write_gguf(HERE / f"{stem}.gguf", "wan", tensors, blocks_of_32(type_)), HERE / f"{stem}.safetensors")

    scaled, plain, scaled_means, plain_means = {}, {}, {}, {}
    for name, tensor in tensors.items():
        scaled[name] = plain[name] = scaled_means[name] = plain_means[name] = tensor
        if is_matrix(name, tensor) and name.startswith("blocks."):
            scale = np.float32(np.abs(tensor).max() / 448)
            narrow = (tensor / scale).astype(ml_dtypes.float8_e4m3fn)
            scaled[name] = narrow
            scaled[name.removesuffix("weight") + "scale_weight"] = np.array(scale)
            scaled_means[name] = narrow.astype(np.float32) * scale
            narrow = tensor.astype(ml_dtypes.float8_e5m2 if ".ffn." in name else ml_dtypes.float8_e4m3fn)
            plain[name] = narrow
            plain_means[name] = narrow.astype(np.float32)
    scaled["scaled_fp8"] = np.zeros(2, ml_dtypes.float8_e4m3fn)
    for stem, stored, means in (("dit-fp8-scaled", scaled, scaled_means), ("dit-fp8-plain", plain, plain_means)):
        save_file(stored, HERE / f"{stem}-stored.safetensors")
        save_file(means, HERE / f"{stem}.safetensors")


def wide_dit():
    """One layer of 256 channels, mixed as files of the kind Q4_K_M are; of each matrix three rows of what it stands for."""
    draw = np.random.default_rng(5)
    dim, sizes = BLOCK, {}
    sizes |= {"patch_embedding.weight": (dim, 16, 1, 2, 2), "patch_embedding.bias": (dim,)}
    for name, out in (("text_embedding.0", dim), ("text_embedding.2", dim), ("time_embedding.0", dim),
                      ("time_embedding.2", dim), ("time_projection.1", 6 * dim), ("blocks.0.ffn.0", dim),
                      ("blocks.0.ffn.2", dim), ("head.head", 64)):
        sizes |= {f"{name}.weight": (out, dim), f"{name}.bias": (out,)}
    for attention in ("self_attn", "cross_attn"):
        for name in "qkvo":
            sizes |= {f"blocks.0.{attention}.{name}.weight": (dim, dim), f"blocks.0.{attention}.{name}.bias": (dim,)}
        sizes |= {f"blocks.0.{attention}.norm_{name}.weight": (dim,) for name in "qk"}
    sizes |= {"blocks.0.norm3.weight": (dim,), "blocks.0.norm3.bias": (dim,)}
    sizes |= {"blocks.0.modulation": (1, 6, dim), "head.modulation": (1, 2, dim)}
    tensors = {}
    for name, size in sizes.items():
        spread = dim**-0.5 if len(size) > 1 else 0.1
        tensors[name] = (draw.standard_normal(size) * spread + ("norm" in name and "bias" not in name)).astype(np.float32)

    def kind(name, tensor):
        if name == "patch_embedding.weight":
            return T.F16
        if not is_matrix(name, tensor):
            return T.F32
        if name.startswith("head.") or name.startswith("text_embedding.2"):
            return T.BF16
        return {"v": T.Q6_K, "2": T.Q6_K, "o": T.Q5_K, "k": T.Q5_K}.get(name.split(".")[-2], T.Q4_K)

    decoded = matrices(write_gguf(HERE / "dit-k.gguf", "wan", tensors, kind))
    save_file({name: tensor[[0, len(tensor) // 2, -1]] for name, tensor in decoded.items()},
              HERE / "dit-k-rows.safetensors")


def encoder():
    """As llama.cpp names the tensors of a T5 encoder."""
    tensors = {}
    for name, tensor in load_file(GOLDEN / "umt5/transformers/model.safetensors").items():
        for theirs, ours in (("encoder.block.", "enc.blk."), ("shared", "token_embd"), ("layer.0.layer_norm", "attn_norm"),
                             ("encoder.final_layer_norm", "enc.output_norm"), ("layer.1.layer_norm", "ffn_norm"),
                             ("layer.0.SelfAttention.relative_attention_bias", "attn_rel_b"),
                             ("layer.0.SelfAttention.", "attn_"), ("layer.1.DenseReluDense.wi_0", "ffn_gate"),
                             ("layer.1.DenseReluDense.wi_1", "ffn_up"), ("layer.1.DenseReluDense.wo", "ffn_down")):
            name = name.replace(theirs, ours)
        if name != "encoder.embed_tokens.weight":
            tensors[name] = tensor
    kind = lambda name, tensor: T.F16 if "attn_rel_b" in name else blocks_of_32(T.Q8_0)(name, tensor)
    save_file(write_gguf(HERE / "umt5-q8_0.gguf", "t5encoder", tensors, kind), HERE / "umt5-q8_0.safetensors")


if __name__ == "__main__":
    small_dit()
    wide_dit()
    encoder()
