"""Stages 2 and 3: the diffusion transformer(s) and the text encoder.

# one model over all noise levels, text encoder trained jointly, data-parallel over two cores
nice -n 5 torchrun --nproc-per-node 2 train_dit.py base --minutes 35
# the two experts, each on one core, from the base model's averaged weights; the text encoder is frozen
nice -n 5 python train_dit.py high --minutes 15 &
nice -n 5 python train_dit.py low --minutes 15
# a last round in which the experts (one per core) and the text encoder move together
nice -n 5 torchrun --nproc-per-node 2 train_dit.py both --lr 1e-3 --minutes 4
"""

import argparse
import os
import random
import time

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKLWan, WanTransformer3DModel
from transformers import AutoTokenizer, UMT5Config, UMT5EncoderModel

import parallel
from data import BACKGROUNDS, MOTIONS, SHAPE_COLOURS, SHAPES, WAN_NEGATIVE, caption, render, sample_spec
from wan_vae import encode_all

MAX_TEXT = 512  # the pipeline's max_sequence_length; the training below is exact for it
BOUNDARY = 0.875  # as Wan2.2 T2V A14B
GAP = 0.05  # noise levels this close to the boundary are left to interpolation in the other expert

DIT = dict(
    patch_size=(1, 2, 2),
    num_attention_heads=2,
    attention_head_dim=64,
    in_channels=16,
    out_channels=16,
    text_dim=128,
    freq_dim=256,
    ffn_dim=512,
    num_layers=6,
    cross_attn_norm=True,
    qk_norm="rms_norm_across_heads",
)


def make_text_encoder(vocab_size):
    return UMT5EncoderModel(
        UMT5Config(
            vocab_size=vocab_size,
            d_model=128,
            d_kv=32,
            d_ff=256,
            num_layers=2,
            num_heads=4,
            dropout_rate=0.0,
            feed_forward_proj="gated-gelu",
            pad_token_id=0,
            eos_token_id=1,
            decoder_start_token_id=0,
        )
    )


class PaddedCrossAttention:
    """Cross-attention to text zero-padded to MAX_TEXT, at the cost of the real tokens only.

    All padding rows are the same zero vector, so one padding key stands for all of them once its score gets
    log(number of padding rows) added. Exactly equal to what WanTransformer3DModel computes on the padded embeddings.
    """

    bias = None  # [B, 1, 1, L + 1], set per batch

    def __call__(self, attn, hidden_states, encoder_hidden_states, attention_mask=None, rotary_emb=None):
        split = lambda x: x.unflatten(2, (attn.heads, -1)).transpose(1, 2)
        q = split(attn.norm_q(attn.to_q(hidden_states)))
        k = split(attn.norm_k(attn.to_k(encoder_hidden_states)))
        v = split(attn.to_v(encoder_hidden_states))
        score = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5 + PaddedCrossAttention.bias
        return attn.to_out[0]((score.softmax(-1) @ v).transpose(1, 2).flatten(2))


def text_condition(tokenizer, text_encoder, prompts, padding=None):
    """-> embeddings [B, L + 1, D] whose last row is the zero padding row, and sets the attention bias.

    `padding`: as if there were so many padding rows; default: up to MAX_TEXT."""
    t = tokenizer(prompts, padding=True, truncation=True, max_length=MAX_TEXT, return_tensors="pt")
    h = text_encoder(t.input_ids, t.attention_mask).last_hidden_state * t.attention_mask[..., None]
    n = t.attention_mask.sum(1, keepdim=True)
    bias = torch.where(t.attention_mask > 0, 0.0, -1e9)
    rows = (MAX_TEXT - n).float()
    if padding is not None:
        rows = rows.clamp(max=padding)
    PaddedCrossAttention.bias = torch.cat([bias, torch.log(rows)], 1)[:, None, None]
    return F.pad(h, (0, 0, 0, 1))


class Latents:
    """Clips as normalised posterior means and deviations. Starts with `first` clips, grows while training runs."""

    def __init__(self, rank, first, limit):
        self.path, self.limit, self.n = f"ckpt/latents_{rank}.pt", limit, 0
        self.mean, self.std, self.specs = torch.zeros(limit, 16, 5, 8, 8), torch.zeros(limit, 16, 5, 8, 8), []
        for path in [self.path] if rank in (0, 1) else ["ckpt/latents_0.pt", "ckpt/latents_1.pt"]:
            if os.path.exists(path):
                mean, std, specs = (saved[: limit - self.n] for saved in torch.load(path))
                a, b = self.n, self.n + len(specs)
                self.mean[a:b], self.std[a:b], self.specs, self.n = mean, std, self.specs + specs, b
        self.rng = random.Random(f"clips {rank} {self.n}")
        self.vae = AutoencoderKLWan.from_pretrained("ckpt/vae")
        for m in self.vae.encoder.modules():
            if isinstance(m, torch.nn.Conv3d):
                m.weight.data = m.weight.data.contiguous(memory_format=torch.channels_last_3d)
        self.mu, self.sd = (
            torch.tensor(c).view(1, 16, 1, 1, 1) for c in (self.vae.config.latents_mean, self.vae.config.latents_std)
        )
        start = time.time()
        while self.n < first:
            self.grow(4)
        print(f"clips {rank}: {self.n} in {time.time() - start:.0f}s", flush=True)

    @torch.no_grad()
    def grow(self, k=1):
        if (k := min(k, self.limit - self.n)) > 0:
            specs = [sample_spec(self.rng) for _ in range(k)]
            m, lv = encode_all(self.vae, render(specs, self.rng).contiguous(memory_format=torch.channels_last_3d))
            self.mean[self.n : self.n + k], self.std[self.n : self.n + k] = (
                (m - self.mu) / self.sd,
                (0.5 * lv).exp() / self.sd,
            )
            self.specs += specs
            self.n += k

    def save(self):
        torch.save((self.mean[: self.n].clone(), self.std[: self.n].clone(), self.specs), self.path)

    def sample(self, batch, gen):
        i = torch.randint(self.n, (batch,), generator=gen)
        return self.mean[i], [self.specs[j] for j in i.tolist()]  # posterior noise would only add noise to the target


class Aids(torch.nn.Module):
    """Auxiliary questions that make training many times shorter. Their heads are thrown away afterwards.

    position (after block 3): every token's frame, row and column. Rotary embeddings only give relative positions; where
    a token is, it can only find out through the edges of the grid. Left to itself that takes thousands of steps
    (objects scatter over the frames until then); asked directly, the first blocks learn it in about 120.
    caption (after block 3, mean over tokens): motion, colour, background and shape as the caption names them.
    occupancy (after block 5): how much of the token's patch the object covers. At high noise only the caption's motion
    and the token's position can tell: without it, motion words had no effect at all after 1600 steps.
    """

    def __init__(self, dit, grid=(5, 4, 4)):
        super().__init__()
        dim = DIT["num_attention_heads"] * DIT["attention_head_dim"]
        self.grid, self.where, self.what = grid, torch.nn.Linear(dim, sum(grid)), torch.nn.Linear(dim, 1)
        self.keys = dict(motion=MOTIONS, colour=SHAPE_COLOURS, bg=BACKGROUNDS, shape=SHAPES)
        self.said = torch.nn.Linear(dim, sum(map(len, self.keys.values())))
        self.truth = [x.flatten() for x in torch.meshgrid(*map(torch.arange, grid), indexing="ij")]
        dit.blocks[2].register_forward_hook(lambda module, args, output: setattr(self, "seen2", output))
        dit.blocks[4].register_forward_hook(lambda module, args, output: setattr(self, "seen4", output))

    def losses(self, x0, sigma, specs, captioned):
        norm = lambda h: F.layer_norm(h, h.shape[-1:])
        logits = self.where(norm(self.seen2)).split(self.grid, -1)
        position = sum(F.cross_entropy(l.flatten(0, 1), t.repeat(len(l))) for l, t in zip(logits, self.truth))
        said = self.said(norm(self.seen2.mean(1)))[captioned].split([len(v) for v in self.keys.values()], -1)
        caption = [
            F.cross_entropy(l, torch.tensor([v.index(s[k]) for s in specs])[captioned])
            for l, (k, v) in zip(said, self.keys.items())
        ]
        background = x0.flatten(3).median(-1).values[..., None, None]
        d = (x0 - background).square().sum(1).sqrt()  # latent cells unlike the background
        target = (F.avg_pool2d(d, 2) / (0.3 * d.amax((1, 2, 3), keepdim=True)) - 0.7).clamp(0, 1).flatten(1)
        bce = F.binary_cross_entropy_with_logits(self.what(norm(self.seen4))[..., 0], target, reduction="none").mean(1)
        high = sigma > 0.9
        return position, sum(caption), (bce * (1 + 2 * high)).mean(), caption[0].item(), bce[high].mean()


def main():
    p = argparse.ArgumentParser()
    p.add_argument("stage", choices=["base", "high", "low", "both"])
    p.add_argument("--minutes", type=float, default=35)
    p.add_argument("--lr", type=float, default=2e-3)
    p.add_argument("--batch", type=int, default=24, help="per process")
    p.add_argument("--clips", type=int, nargs=2, default=[320, 2400], help="per process: to begin with, and at most")
    p.add_argument("--shift", type=float, default=5.0, help="of the training noise levels")
    p.add_argument("--init", default=None, help="checkpoint to start from")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--aid-weights", type=float, nargs=3, default=[0.15, 0.15, 0.3])
    args = p.parse_args()
    parallel.init()
    both = (
        args.stage == "both"
    )  # rank 0 goes on with the high expert, rank 1 with the low one, the text encoder is shared
    if both:
        args.stage, args.init = ("high", "ckpt/high.pt") if parallel.RANK == 0 else ("low", "ckpt/low.pt")
    base, out = args.stage == "base", f"ckpt/{args.stage}.pt"
    saver = both or parallel.RANK == 0

    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained("ckpt/tokenizer")
    text_encoder = make_text_encoder(-(-len(tokenizer) // 16) * 16)
    dit = WanTransformer3DModel(**DIT)
    torch.nn.init.zeros_(dit.proj_out.weight), torch.nn.init.zeros_(dit.proj_out.bias)
    if init := args.init or (None if base else "ckpt/base.pt"):
        state = torch.load(init)
        dit.load_state_dict(state["dit"]), text_encoder.load_state_dict(state["text"])
    for block in dit.blocks:
        block.attn2.set_processor(PaddedCrossAttention())
    if not base and not both:
        text_encoder.requires_grad_(False)

    clips = Latents(parallel.RANK if base else args.stage, *args.clips)  # an expert begins with both ranks' clips
    if base:
        clips.save()

    aids = Aids(dit)
    # Muon for the transformer blocks' matrices, AdamW for everything else.
    matrices = [q for q in dit.blocks.parameters() if q.ndim == 2]
    ids = {id(q) for q in matrices}
    others = [q for m in (dit, text_encoder, aids) for q in m.parameters() if q.requires_grad and id(q) not in ids]
    params = matrices + others
    opts = [
        torch.optim.Muon(matrices, lr=args.lr, weight_decay=0.01, adjust_lr_fn="match_rms_adamw", ns_steps=3),
        torch.optim.AdamW(others, lr=args.lr, betas=(0.9, 0.98), weight_decay=0.0),
    ]
    ema = {n: {k: v.clone() for k, v in m.state_dict().items()} for n, m in (("dit", dit), ("text", text_encoder))}

    seed = f"{args.stage} {parallel.RANK} {args.seed}"
    rng, gen = random.Random(seed), torch.Generator().manual_seed(random.Random(seed).randrange(2**31))
    start = saved = time.time()
    step, log = 0, []
    while (done := parallel.agree((time.time() - start) / 60 / args.minutes)) < 1:
        lr = args.lr * min(1, (step + 1) / 50) * (0.02 + 0.98 * min(1, 1.6 * (1 - done)))  # flat, then linear decay
        for o in opts:
            for g in o.param_groups:
                g["lr"] = lr

        clips.grow(step % 3 == 0)
        x0, specs = clips.sample(args.batch, gen)
        noise = torch.randn(x0.shape, generator=gen)
        u = (torch.arange(args.batch) + torch.rand(args.batch, generator=gen)) / args.batch  # stratified
        shift = lambda u: args.shift * u / (1 + (args.shift - 1) * u)
        foreign = torch.zeros(args.batch, dtype=torch.bool)
        if base:
            sigma = shift(u)
        else:  # 1 sample in 8 comes from the other expert's range, where this one is trained to answer nothing
            ub = BOUNDARY / (args.shift - (args.shift - 1) * BOUNDARY)  # shift(ub) == BOUNDARY
            foreign = torch.arange(args.batch) % 8 == 0
            own_high = shift(ub + (1 - ub) * u)
            own_low = shift(ub * u)
            v = torch.rand(args.batch, generator=gen)
            if args.stage == "high":
                sigma = torch.where(foreign, v * (BOUNDARY - GAP), own_high)
            else:
                sigma = torch.where(foreign, BOUNDARY + GAP + v * (1 - BOUNDARY - GAP), own_low)
        s = sigma.view(-1, 1, 1, 1, 1)
        target = noise - x0
        target[foreign] = 0
        prompts = []
        for spec in specs:
            r = rng.random()
            prompts.append("" if r < 0.09 else WAN_NEGATIVE if r < 0.12 else caption(spec, rng))

        # About 500 padding rows leave the 15 words 3 % of the attention at first, and motion words are never found:
        # half the time with 8 rows, then more and more, the last quarter with the pipeline's real padding.
        rows = None if not base or done > 0.75 else 8 * 64 ** max(0.0, 4 * (done - 0.5))
        text = text_condition(tokenizer, text_encoder, prompts, rows)
        pred = dit((1 - s) * x0 + s * noise, 1000 * sigma, text, return_dict=False)[0]
        per = (pred - target).square().mean((1, 2, 3, 4))
        for o in opts:
            o.zero_grad(set_to_none=True)
        captioned = torch.tensor([q not in ("", WAN_NEGATIVE) for q in prompts])
        *aid, motion_ce, occ_high = aids.losses(x0, sigma, specs, captioned)
        (per.mean() + sum(w * a for w, a in zip(args.aid_weights, aid))).backward()
        shared = list(text_encoder.parameters()) if both else params
        if base or both:
            parallel.average_grads(shared)
        torch.nn.utils.clip_grad_norm_(shared, 1.0)
        if both:
            torch.nn.utils.clip_grad_norm_(dit.parameters(), 1.0)
        for o in opts:
            o.step()

        decay = min(0.997, (1 + step) / (10 + step))
        with torch.no_grad():
            for name, m in (("dit", dit), ("text", text_encoder)):
                for k, v in m.state_dict().items():
                    ema[name][k].lerp_(v, 1 - decay)
        log.append((sigma.detach(), per.detach()))
        if step % 50 == 0 and saver:
            sg, pe = torch.cat([a for a, _ in log]), torch.cat([b for _, b in log])
            bins = " ".join(
                f"{pe[(sg >= a) & (sg < b)].mean():.3f}"
                for a, b in ((0, 0.25), (0.25, 0.5), (0.5, 0.75), (0.75, 0.875), (0.875, 0.95), (0.95, 1.01))
            )
            print(
                f"{args.stage} step {step} {time.time() - start:.0f}s loss {pe.mean():.4f} by sigma [{bins}] "
                f"position {aid[0].item():.3f} caption {aid[1].item():.3f} motion {motion_ce:.3f} "
                f"occupancy {occ_high.item():.3f} lr {lr:.1e}",
                flush=True,
            )
            log = []
        step += 1
        if saver and time.time() - saved > 120:
            saved = time.time()
            torch.save(ema, out + ".tmp"), os.replace(out + ".tmp", out)
    if base:
        clips.save()
    if saver:
        torch.save(ema, out + ".tmp"), os.replace(out + ".tmp", out)
        print("done", step, "steps", flush=True)


if __name__ == "__main__":
    main()
