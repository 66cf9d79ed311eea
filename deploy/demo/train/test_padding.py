"""The training-time text conditioning equals the plain model on embeddings zero-padded to 512."""

import torch
from diffusers import WanTransformer3DModel
from transformers import AutoTokenizer
from train_dit import DIT, MAX_TEXT, PaddedCrossAttention, make_text_encoder, text_condition

torch.manual_seed(0)
tok = AutoTokenizer.from_pretrained("ckpt/tokenizer")
enc, dit = make_text_encoder(304).eval(), WanTransformer3DModel(**DIT).eval()
prompts = ["a red circle moving left on a black background", "", "blue square"]
x, t = torch.randn(3, 16, 5, 8, 8), torch.tensor([900.0, 500.0, 20.0])
with torch.no_grad():
    i = tok(prompts, padding="max_length", max_length=MAX_TEXT, return_tensors="pt")
    h = enc(i.input_ids, i.attention_mask).last_hidden_state * i.attention_mask[..., None]
    want = dit(x, t, h, return_dict=False)[0]
    for b in dit.blocks:
        b.attn2.set_processor(PaddedCrossAttention())
    got = dit(x, t, text_condition(tok, enc, prompts), return_dict=False)[0]
print(
    "max diff",
    (want - got).abs().max().item(),
    "of",
    want.abs().max().item(),
    "text std",
    h[i.attention_mask > 0].std().item(),
    "dit",
    sum(p.numel() for p in dit.parameters()),
    "text",
    sum(p.numel() for p in enc.parameters()),
)
assert (want - got).abs().max() < 1e-4
