"""Assembles the diffusers folder from the checkpoints: python export.py [--out wan-tiny-t2v]"""

import argparse
import json
import os
import shutil

import torch
from diffusers import AutoencoderKLWan, UniPCMultistepScheduler, WanPipeline, WanTransformer3DModel
from transformers import AutoTokenizer

from train_dit import BOUNDARY, DIT, MAX_TEXT, make_text_encoder

p = argparse.ArgumentParser()
p.add_argument("--out", default="wan-tiny-t2v")
p.add_argument("--flow-shift", type=float, default=5.0)
args = p.parse_args()

tokenizer = AutoTokenizer.from_pretrained("ckpt/tokenizer")
text_encoder = make_text_encoder(-(-len(tokenizer) // 16) * 16)
experts = []
for name in ("high", "low"):
    state = torch.load(f"ckpt/{name}.pt")
    dit = WanTransformer3DModel(**DIT)
    dit.load_state_dict(state["dit"])
    experts.append(dit.to(torch.bfloat16))
text_encoder.load_state_dict(torch.load("ckpt/high.pt")["text"])
pipe = WanPipeline(
    tokenizer=tokenizer,
    text_encoder=text_encoder.float(),
    vae=AutoencoderKLWan.from_pretrained("ckpt/vae").to(torch.bfloat16),
    transformer=experts[0],
    transformer_2=experts[1],
    boundary_ratio=BOUNDARY,
    scheduler=UniPCMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=args.flow_shift, num_train_timesteps=1000
    ),
)
shutil.rmtree(args.out, ignore_errors=True)
pipe.save_pretrained(args.out)
json.dump(
    dict(
        height=64,
        width=64,
        num_frames=17,
        fps=8,
        num_inference_steps=20,
        guidance_scale=5.0,
        max_sequence_length=MAX_TEXT,
        negative_prompt="",
    ),
    open(args.out + "/demo_settings.json", "w"),
    indent=1,
)
total = 0
for d, _, fs in os.walk(args.out):
    for f in fs:
        n = os.path.getsize(f"{d}/{f}")
        total += n
        if n > 100_000:
            print(f"{n / 2**20:7.2f} MiB {d}/{f}")
print(f"{total / 2**20:7.2f} MiB in all")
