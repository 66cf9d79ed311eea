"""Prompt adherence of a model folder, through plain diffusers, judged by pixel statistics.

python evaluate.py wan-tiny-t2v -n 63 --control none|swap|zero_text|no_boundary|low_only --sheet contact.png
"""

import argparse
import json
import random
import time

import numpy as np
import torch

from data import BACKGROUNDS, COLOURS, MOTIONS, caption, plain_prompt, render, sample_spec

RGB = {k: np.array(v) / 255 for k, v in COLOURS.items()}


def nearest(rgb, names):
    return min(names, key=lambda n: np.linalg.norm(RGB[n] - rgb))


def judge(video):
    """[T, H, W, 3] in 0..1 -> what is seen in it."""
    border = np.concatenate(
        [
            video[:, :2].reshape(-1, 3),
            video[:, -2:].reshape(-1, 3),
            video[:, :, :2].reshape(-1, 3),
            video[:, :, -2:].reshape(-1, 3),
        ]
    )
    bg = np.median(border, 0)
    bg_name = nearest(bg, BACKGROUNDS)
    mask = np.linalg.norm(video - bg, axis=-1) > 0.22
    area = mask.sum((1, 2))
    seen = dict(
        bg=bg_name,
        bg_error=float(np.linalg.norm(RGB[bg_name] - bg)),
        colour="none",
        motion="none",
        shape="none",
        colour_error=9.0,
    )
    if (area < 20).any():
        return seen
    # colour: pixels furthest inside the mask
    inner = mask[:, 1:-1, 1:-1] & mask[:, :-2, 1:-1] & mask[:, 2:, 1:-1] & mask[:, 1:-1, :-2] & mask[:, 1:-1, 2:]
    px = video[:, 1:-1, 1:-1][inner] if inner.sum() > 50 else video[mask]
    col = np.median(px, 0)
    seen["colour"] = nearest(col, [c for c in COLOURS if c != bg_name])
    seen["colour_error"] = float(np.linalg.norm(RGB[seen["colour"]] - col))
    ys, xs = np.mgrid[: video.shape[1], : video.shape[2]]
    cx, cy = (mask * xs).sum((1, 2)) / area, (mask * ys).sum((1, 2)) / area
    dx, dy = cx[-3:].mean() - cx[:3].mean(), cy[-3:].mean() - cy[:3].mean()
    growth = area[-3:].mean() / area[:3].mean()
    if max(abs(dx), abs(dy)) > 9:
        seen["motion"] = ("right" if dx > 0 else "left") if abs(dx) > abs(dy) else ("down" if dy > 0 else "up")
    else:
        seen["motion"] = "growing" if growth > 1.8 else "shrinking" if growth < 0.55 else "still"
    # shape: coverage of the bounding box, and how far below its middle the centre of mass lies
    axis = (col - bg) / max(np.dot(col - bg, col - bg), 1e-6)
    half = (video - bg) @ axis > 0.5
    fills, lows = [], []
    for m in half:
        rows, cols = np.where(m.sum(1) > 1)[0], np.where(m.sum(0) > 1)[0]
        if len(rows) and len(cols):
            h, w = rows[-1] - rows[0] + 1, cols[-1] - cols[0] + 1
            fills.append(m.sum() / (h * w))
            lows.append(((m * ys).sum() / m.sum() - rows[0] + 0.5) / h)
    fill, low = (np.median(fills), np.median(lows)) if fills else (0, 0)
    seen["shape"] = "triangle" if low > 0.565 else "circle" if fill < 0.87 else "square"
    seen["fill"], seen["low"] = float(fill), float(low)
    return seen


def score(specs, videos):
    seen = [judge(v) for v in videos]
    keys = ("colour", "bg", "motion", "shape")
    ok = np.array([[s[k] == w[k] for k in keys] for w, s in zip(specs, seen)])
    res = {k: float(ok[:, i].mean()) for i, k in enumerate(keys)}
    moving = np.array([w["motion"] in ("left", "right", "up", "down") for w in specs])
    res["direction (of the moving)"] = float(ok[moving, 2].mean())
    res["colour+bg+motion"] = float(ok[:, :3].all(1).mean())
    res["all"] = float(ok.all(1).mean())
    res["mean_bg_error"] = float(np.mean([s["bg_error"] for s in seen]))
    return res, seen


def contact_sheet(path, videos, labels, columns=2, frames=5):
    from PIL import Image, ImageDraw

    w = videos[0].shape[2]
    rows = -(-len(videos) // columns)
    cw, ch = frames * (w + 2) + 10, w + 16
    im = Image.new("RGB", (columns * cw, rows * ch), (60, 60, 60))
    draw = ImageDraw.Draw(im)
    for i, (v, label) in enumerate(zip(videos, labels)):
        x, y = (i % columns) * cw, (i // columns) * ch
        draw.text((x + 2, y + 1), label, fill=(255, 255, 255))
        for j, f in enumerate(np.linspace(0, len(v) - 1, frames).astype(int)):
            im.paste(Image.fromarray((v[f] * 255).round().astype(np.uint8)), (x + j * (w + 2), y + 14))
    im.save(path)


def prompts_for(n, seed, neutral=False):
    rng = random.Random(seed)
    specs, prompts = [], []
    for i in range(n):
        s = sample_spec(rng)
        s["motion"] = MOTIONS[i % len(MOTIONS)]
        if neutral:
            s["bg"] = ["black", "white", "gray"][i % 3]
        specs.append(s)
        prompts.append(plain_prompt(s) if i % 2 or neutral else caption(s, rng))
    return specs, prompts


def main():
    p = argparse.ArgumentParser()
    p.add_argument("model", help="folder, or 'truth' (rendered clips) or 'vae' (their reconstructions)")
    p.add_argument("-n", type=int, default=63)
    p.add_argument("--steps", type=int, default=20)
    p.add_argument("--cfg", type=float, default=4.0)
    p.add_argument("--shift", type=float, default=None)
    p.add_argument("--seed", type=int, default=1234)
    p.add_argument("--batch", type=int, default=9)
    p.add_argument("--control", default="none", choices=["none", "swap", "zero_text", "no_boundary", "low_only"])
    p.add_argument("--sheet", default=None)
    p.add_argument("--json", default=None)
    p.add_argument("--neutral", action="store_true", help="plain prompts, backgrounds black, white and gray only")
    p.add_argument("--negative", default="")
    p.add_argument("--threads", type=int, default=1)
    args = p.parse_args()
    torch.set_num_threads(args.threads)
    specs, prompts = prompts_for(args.n, args.seed, args.neutral)
    start, videos = time.time(), []
    if args.model in ("truth", "vae"):
        v = render(specs, random.Random(5))
        if args.model == "vae":
            from diffusers import AutoencoderKLWan

            vae = AutoencoderKLWan.from_pretrained("ckpt/vae")
            with torch.no_grad():
                v = torch.cat([vae.decode(vae.encode(c).latent_dist.sample()).sample for c in v.split(args.batch)])
        videos = list(((v + 1) / 2).permute(0, 2, 3, 4, 1).numpy())
    else:
        from diffusers import UniPCMultistepScheduler, WanPipeline

        pipe = WanPipeline.from_pretrained(args.model)
        pipe.set_progress_bar_config(disable=True)
        if args.shift:
            pipe.scheduler = UniPCMultistepScheduler.from_config(pipe.scheduler.config, flow_shift=args.shift)
        if args.control == "swap":
            pipe.transformer, pipe.transformer_2 = pipe.transformer_2, pipe.transformer
        elif args.control == "no_boundary":  # high-noise expert everywhere
            pipe.transformer_2 = pipe.transformer
        elif args.control == "low_only":
            pipe.transformer = pipe.transformer_2
        for i in range(0, args.n, args.batch):
            texts = prompts[i : i + args.batch]
            gens = [torch.Generator().manual_seed(1000 + j) for j in range(i, i + len(texts))]
            kw = dict(prompt=texts, negative_prompt=[args.negative] * len(texts))
            if args.control == "zero_text":
                z = torch.zeros(len(texts), 512, pipe.text_encoder.config.d_model)
                kw = dict(prompt_embeds=z, negative_prompt_embeds=z)
            out = pipe(
                **kw,
                height=64,
                width=64,
                num_frames=17,
                num_inference_steps=args.steps,
                guidance_scale=args.cfg,
                generator=gens,
                output_type="np",
            )
            videos += list(out.frames)
    res, seen = score(specs, videos)
    print(json.dumps({**vars(args), **res, "seconds": round(time.time() - start, 1)}))
    for want, text, s in zip(specs, prompts, seen):
        bad = [f"{k}: wanted {want[k]}, saw {s[k]}" for k in ("colour", "bg", "motion", "shape") if want[k] != s[k]]
        if bad and args.control == "none":
            print("  ", text, "->", "; ".join(bad), f"fill {s.get('fill', 0):.2f} low {s.get('low', 0):.2f}")
    if args.sheet:
        contact_sheet(args.sheet, videos, prompts)
    if args.json:
        json.dump(
            dict(result={**vars(args), **res}, prompts=prompts, specs=specs, seen=seen), open(args.json, "w"), indent=1
        )


if __name__ == "__main__":
    main()
