"""Stage 1: the VAE. Still crops first (as Wan's own VAE: an image model, then inflated to video), short clips of crops,
whole clips at last; then latent statistics go into its config.

    nice -n 5 torchrun --nproc-per-node 2 train_vae.py --minutes 4 8 6      # minutes on each of the three
"""

import argparse
import math
import os
import random
import time

import torch
import torch.nn.functional as F

import parallel
from data import FRAMES, SIZE, render, sample_spec
from diffusers.models.autoencoders.autoencoder_kl_wan import WanCausalConv3d
from wan_vae import decode_all, encode_all, make_vae

p = argparse.ArgumentParser()
p.add_argument("--minutes", type=float, nargs=3, default=[4, 8, 6])
p.add_argument("--lr", type=float, default=3e-3)
p.add_argument("--kl", type=float, default=2e-3)
p.add_argument("--out", default="ckpt/vae")
p.add_argument("--resume", action="store_true", help="start from --out")
args = p.parse_args()

parallel.init()
torch.manual_seed(0)  # same initial weights on every rank
rng = random.Random(f"{parallel.RANK} {time.time() if args.resume else 1}")
if args.resume:
    from diffusers import AutoencoderKLWan

    vae = AutoencoderKLWan.from_pretrained(args.out)
else:
    vae = make_vae()
    vae.quant_conv.bias.data[16:] = -4.0  # start with little posterior noise
    vae.encoder.conv_out.weight.data *= 3
    for name, m in vae.named_modules():  # an image model at first: only the newest temporal tap is used
        if isinstance(m, WanCausalConv3d) and m.kernel_size == (3, 3, 3):
            m.weight.data[:, :, 2] *= 3**0.5
            m.weight.data[:, :, :2] = 0
        elif name.endswith("time_conv") and "decoder" in name:  # both new frames start as copies
            m.weight.data.mul_(0.1)
            m.weight.data[:, :, 2, 0, 0] += torch.eye(m.in_channels).repeat(2, 1)
        elif name.endswith("time_conv"):
            m.weight.data[:, :, 2, 0, 0] += 0.5 * torch.eye(m.in_channels)
            m.weight.data[:, :, 1, 0, 0] += 0.5 * torch.eye(m.in_channels)
for m in vae.modules():  # channels-last convolutions are ~3x faster on CPU
    if isinstance(m, torch.nn.Conv3d):
        m.weight.data = m.weight.data.contiguous(memory_format=torch.channels_last_3d)
    elif isinstance(m, torch.nn.Conv2d):
        m.weight.data = m.weight.data.contiguous(memory_format=torch.channels_last)
torch.manual_seed(parallel.RANK + (int(time.time()) if args.resume else 1))
params = list(vae.parameters())
convs = [q for q in params if q.ndim >= 4 and min(q.shape[0], q[0].numel()) > 3]
rest = [q for q in params if not any(q is c for c in convs)]
opts = [parallel.ConvMuon(convs), torch.optim.AdamW(rest, betas=(0.9, 0.98), weight_decay=0.0)]


def batch(n, size, frames):
    t0 = torch.tensor([[rng.randrange(FRAMES - frames + 1)] for _ in range(n)])
    v = render([sample_spec(rng) for _ in range(n)], rng, times=(t0 + torch.arange(frames)) / (FRAMES - 1))
    if size == SIZE:
        return v
    out = []
    for c in v:  # crops that mostly hold a piece of the outline
        for _ in range(4):
            y, x = rng.randrange(SIZE - size + 1), rng.randrange(SIZE - size + 1)
            crop = c[:, :, y : y + size, x : x + size]
            if crop[:, 0].std((1, 2)).max() > 0.05:
                break
        out.append(crop)
    return torch.stack(out)


def edges(v):
    return v[..., 1:] - v[..., :-1], v[..., 1:, :] - v[..., :-1, :], v[:, :, 1:] - v[:, :, :-1]


def save():
    vae.save_pretrained(args.out + ".tmp")
    os.makedirs(args.out, exist_ok=True)
    for f in os.listdir(args.out + ".tmp"):
        os.replace(f"{args.out}.tmp/{f}", f"{args.out}/{f}")


def measure():
    """Latent mean/std per channel into the config, and reconstruction error on whole clips."""
    r = random.Random(7)
    with torch.no_grad():
        x = render([sample_spec(r) for _ in range(32)], r)
        mean, logvar = encode_all(vae, x)
        z = mean + (0.5 * logvar).exp() * torch.randn_like(mean)
        vae.register_to_config(latents_mean=z.mean((0, 2, 3, 4)).tolist(), latents_std=z.std((0, 2, 3, 4)).tolist())
        y = decode_all(vae, z[:6]).clamp(-1, 1)
    print(
        "latents_std",
        [round(s, 2) for s in vae.config.latents_std],
        "posterior std",
        [round(s, 2) for s in (0.5 * logvar).exp().mean((0, 2, 3, 4)).tolist()],
        "PSNR %.1f dB" % (10 * math.log10(4 / F.mse_loss(y, x[:6]).item())),
        flush=True,
    )


for phase, (minutes, n, sizes, lr) in enumerate(
    [
        (args.minutes[0], 16, [(32, 1)], args.lr),
        (args.minutes[1], 4, [(32, 5), (32, 5), (32, 9)], args.lr / 2),
        (args.minutes[2], 2, [(32, 9), (48, 9), (32, 17)], args.lr / 2),
    ]
):
    start, step, saved = time.time(), 0, time.time()
    while (done := parallel.agree((time.time() - start) / 60 / max(minutes, 1e-9))) < 1:
        for g in opts[0].param_groups + opts[1].param_groups:
            g["lr"] = lr * min(1, (step + 1) / 50) * (1 - 0.95 * done if phase == 2 else 1 - 0.6 * done)
        x = batch(n, *sizes[step % len(sizes)]).contiguous(memory_format=torch.channels_last_3d)
        mean, logvar = encode_all(vae, x)
        z = mean + (0.5 * logvar).exp() * torch.randn_like(mean)
        y = decode_all(vae, z)
        l1 = (y - x).abs().mean()
        edge = sum((a - b).abs().mean() for a, b in zip(edges(y), edges(x)) if a.numel())
        kl = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).mean()
        loss = l1 + 0.5 * edge + args.kl * kl
        for o in opts:
            o.zero_grad(set_to_none=True)
        loss.backward()
        parallel.average_grads(params)
        norm = torch.nn.utils.clip_grad_norm_(params, 1.0)
        for o in opts:
            o.step()
        if step % 50 == 0 and parallel.RANK == 0:
            print(
                f"phase {phase} step {step} {time.time() - start:.0f}s l1 {l1.item():.4f} edge {edge.item():.4f} "
                f"kl {kl.item():.3f} gradient {norm.item():.2f}",
                flush=True,
            )
        step += 1
        if time.time() - saved > 120 and parallel.RANK == 0:
            saved = time.time()
            save()
    if parallel.RANK == 0:
        measure(), save()
print("done", flush=True)
