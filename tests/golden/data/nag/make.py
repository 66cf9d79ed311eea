"""Makes `io.safetensors` of this folder and prints its entry in MANIFEST.json.

The transformer is that of `../dit_t2v`, run by diffusers in f64 with a cross-attention of its own, which follows the
formula of arXiv:2505.21179. Also told: how far typical mistakes are from it.
"""

import json
from pathlib import Path

import torch
from diffusers import WanTransformer3DModel
from safetensors.torch import load_file, save_file
from torch.nn.functional import scaled_dot_product_attention

HERE = Path(__file__).parent
SCALE, TAU, ALPHA = 11.0, 2.5, 0.25
TIMESTEP = 123


class Nag:
    """Cross-attention to a prompt, moved away from what it makes of another; `order`, `axis` and `after_output` are mistakes."""

    def __init__(self, avoided, scale=SCALE, tau=TAU, alpha=ALPHA, order=1, axis="channels", after_output=False):
        self.avoided, self.scale, self.tau, self.alpha = avoided, scale, tau, alpha
        self.order, self.axis, self.after_output = order, axis, after_output

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None, rotary_emb=None):
        query = attn.norm_q(attn.to_q(hidden_states))

        def attend(text):
            heads = lambda rows: rows.unflatten(2, (attn.heads, -1)).transpose(1, 2)
            keys, values = attn.norm_k(attn.to_k(text)), attn.to_v(text)
            rows = scaled_dot_product_attention(heads(query), heads(keys), heads(values)).transpose(1, 2).flatten(2)
            return attn.to_out[0](rows) if self.after_output else rows

        with_prompt, with_negative = attend(encoder_hidden_states), attend(self.avoided)
        guided = with_prompt * self.scale - with_negative * (self.scale - 1)
        if self.axis == "heads":
            cut = lambda rows: rows.unflatten(2, (attn.heads, -1))
        else:
            cut = lambda rows: rows
        dim = {"channels": -1, "heads": -1, "tokens": 1}[self.axis]
        length = lambda rows: torch.linalg.vector_norm(cut(rows), ord=self.order, dim=dim, keepdim=True)
        ratio = length(guided) / length(with_prompt)
        guided = (cut(guided) * torch.clamp(self.tau / ratio, max=1)).reshape(guided.shape)
        rows = guided * self.alpha + with_prompt * (1 - self.alpha)
        return rows if self.after_output else attn.to_out[0](rows)


def velocity(model, x, texts, **settings):
    prompt, negative = texts[::-1] if settings.pop("exchanged", False) else texts
    avoided = model.condition_embedder.text_embedder(negative)
    for block in model.blocks:
        block.attn2.set_processor(Nag(avoided, **settings))
    with torch.no_grad():
        return model(x, torch.tensor([TIMESTEP]), prompt, return_dict=False)[0]


def far(got, truth):
    return {"rel_l2": float((got - truth).norm() / truth.norm()), "max_abs": float((got - truth).abs().max())}


def main():
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = WanTransformer3DModel.from_pretrained(HERE.parent / "dit_t2v/diffusers", torch_dtype=torch.float64)
    given = load_file(HERE.parent / "dit_t2v/io.safetensors")
    x = given["c.x"][:1].double()
    contexts = [given[f"c.context.{i}"] for i in range(2)]
    padded = [torch.nn.functional.pad(text.double(), (0, 0, 0, 512 - len(text)))[None] for text in contexts]
    truth = velocity(model, x, padded)
    mistakes = {
        "no nag": {"scale": 1.0},
        "prompts exchanged": {"exchanged": True},
        "blend swapped": {"alpha": 1 - ALPHA},
        "L2": {"order": 2},
        "lengths over tokens": {"axis": "tokens"},
        "lengths of each head": {"axis": "heads"},
        "nothing shortened": {"tau": 1e9},
        "after the output projection": {"after_output": True},
    }
    entry = {
        "case": "nag",
        "tests": "normalized attention guidance in cross-attention, on the transformer of dit_t2v",
        "source": "arXiv:2505.21179; nag/make.py on diffusers WanTransformer3DModel in float64",
        "run": {"base": "dit_t2v", "timestep": TIMESTEP, "nag": {"scale": SCALE, "tau": TAU, "alpha": ALPHA}},
        "mistakes": {name: far(velocity(model, x, padded, **kind), truth) for name, kind in mistakes.items()},
        "suggested_f32_tolerance": {"rel_l2": 1e-5, "max_abs_over_ref_max": 1e-5},
    }
    tensors = {"x": x[0].float(), "velocity": truth[0].float(), "context.0": contexts[0], "context.1": contexts[1]}
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, HERE / "io.safetensors")
    print(json.dumps(entry, indent=1))


if __name__ == "__main__":
    main()
