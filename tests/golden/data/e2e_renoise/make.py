"""Makes the tensors of this case: models distilled to a few steps each of which predicts the video and draws noise anew.

    pip install torch diffusers==0.42.1 transformers safetensors ftfy
    python make.py

The formulas are those of the published samplers, computed in f64 as NVlabs/rcm does it:

* `dmd`: hao-ai-lab/FastVideo@2f3d407 `DmdDenoisingStage`: the timesteps 1000, 757 and 522, whose levels are the nearest of
  FlowMatchEulerDiscreteScheduler(shift=8); the next sample is add_noise(x - sigma v, fresh noise, next timestep).
* `rcm`: NVlabs/rcm@5b41aa9 `rcm/inference/wan2pt1_t2v_rcm_infer.py`: the angles arctan(80), 1.5, 1.4 and 1.0 as levels
  sin / (cos + sin); it begins with the noise times the first level. With two experts, as `wan2pt2_i2v_rcm_infer.py`.

The transformers are those of e2e_t2v_1_3b (`dmd`) and e2e_t2v_a14b (`rcm`) beside this folder, run by diffusers with waves of
the timestep in f64, as the official code has them. All noise is drawn from one torch.Generator on the CPU.
"""

import json
import math
from pathlib import Path

import numpy
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, WanTransformer3DModel
from diffusers.loaders.single_file_utils import convert_wan_transformer_to_diffusers
from safetensors.torch import load_file, save_file

HERE = Path(__file__).parent
DATA = HERE.parent
SHAPE, SEED, BOUNDARY = (16, 3, 4, 6), 744, 0.875


class OfficialWaves(torch.nn.Module):
    """The waves that stand for a timestep, in f64."""

    def __init__(self, half):
        super().__init__()
        self.half = half

    def forward(self, timestep):
        frequencies = torch.pow(10000, -torch.arange(self.half, dtype=torch.float64) / self.half)
        angles = torch.outer(timestep.double(), frequencies)
        return torch.cat([angles.cos(), angles.sin()], dim=1).float()


def transformer(folder):
    config = json.loads((folder / "config.json").read_text())
    model = WanTransformer3DModel(
        num_attention_heads=config["num_heads"],
        attention_head_dim=config["dim"] // config["num_heads"],
        in_channels=config["in_dim"],
        out_channels=config["out_dim"],
        text_dim=config["text_dim"],
        freq_dim=config["freq_dim"],
        ffn_dim=config["ffn_dim"],
        num_layers=config["num_layers"],
        eps=config["eps"],
    )
    official = load_file(folder / "diffusion_pytorch_model.safetensors")
    model.load_state_dict(convert_wan_transformer_to_diffusers(official), strict=True)
    model.condition_embedder.timesteps_proj = OfficialWaves(config["freq_dim"] // 2)
    return model.eval()


def velocity(model, x, timestep, context):
    padded = torch.cat([context, context.new_zeros(512 - len(context), context.shape[1])])[None]
    return model(x[None].float(), torch.tensor([timestep], dtype=torch.float64), padded, return_dict=False)[0][0]


def dmd_levels():
    scheduler = FlowMatchEulerDiscreteScheduler(shift=8.0)
    timesteps = [1000, 757, 522]
    nearest = [int(numpy.argmin(numpy.abs(scheduler.timesteps.numpy() - timestep))) for timestep in timesteps]
    return [float(scheduler.sigmas[index]) for index in nearest] + [0.0], [float(timestep) for timestep in timesteps]


def rcm_levels():
    angles = torch.tensor([math.atan(80), 1.5, 1.4, 1.0, 0], dtype=torch.float64)
    levels = torch.sin(angles) / (torch.cos(angles) + torch.sin(angles))
    return levels.tolist(), [float(level.float()) * 1000 for level in levels[:-1]]


def render(models, levels, timesteps, context, start, fresh=True, early=0):
    """The state after each step. `models(timestep)` says which transformer a step is."""
    generator = torch.Generator().manual_seed(SEED)
    noise = torch.randn(SHAPE, generator=generator)
    x, states = noise.double() * start, []
    for level, following, timestep in zip(levels, levels[1:], timesteps):
        v = velocity(models(timestep), x, timestep, context).double()
        if not fresh:
            x = x + (following - level) * v
        else:
            again = torch.randn(SHAPE, generator=generator) if following > 0 else torch.zeros(SHAPE)
            x = (1 - following) * (x - level * v) + following * again
        # Between machines and steps the latents are f32.
        x = x.float()
        states.append(x)
        x = x.double()
    return noise, torch.stack(states)


def apart(got, want):
    return [round(((a - b).norm() / b.norm()).item(), 3) for a, b in zip(got, want)]


def main():
    contexts = load_file(DATA / "e2e_t2v_a14b" / "io.safetensors")["context.cond"]
    single = transformer(DATA / "e2e_t2v_1_3b" / "official_repo")
    high = transformer(DATA / "e2e_t2v_a14b" / "official_repo" / "high_noise_model")
    low = transformer(DATA / "e2e_t2v_a14b" / "official_repo" / "low_noise_model")
    own = load_file(DATA / "e2e_t2v_1_3b" / "io.safetensors")["context.cond"]
    runs = {
        "dmd": (lambda _: single, *dmd_levels(), own, 1.0),
        "rcm": (lambda timestep: high if timestep >= BOUNDARY * 1000 else low, *rcm_levels(), contexts, rcm_levels()[0][0]),
    }
    tensors = {}
    for name, (models, levels, timesteps, context, start) in runs.items():
        noise, states = render(models, levels, timesteps, context, start)
        _, without = render(models, levels, timesteps, context, start, fresh=False)
        print(name, "levels", [round(level, 6) for level in levels], "noise kept:", apart(without, states))
        if start != 1.0:
            _, unscaled = render(models, levels, timesteps, context, 1.0)
            print(name, "first noise not scaled:", apart(unscaled, states))
        tensors |= {
            "noise": noise,
            f"{name}.context": context,
            f"{name}.sigmas": torch.tensor(levels),
            f"{name}.timesteps": torch.tensor(timesteps),
            f"{name}.latents.after_step": states,
        }
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, HERE / "io.safetensors")
    print({name: list(tensor.shape) for name, tensor in tensors.items()})


if __name__ == "__main__":
    with torch.no_grad():
        main()
