"""Makes the tensors of this case with diffusers' own WanImageToVideoPipeline(last_image=…).

    pip install torch diffusers==0.42.1 transformers safetensors ftfy
    python make.py

The weights are those of e2e_i2v_a14b and vae21 beside this folder. Three things are the official code's, not the
pipeline's: the stretch of the images, the grid of the schedule with timesteps as whole numbers, and the precision of the
waves that stand for a timestep. That they are so is checked first, on the case e2e_i2v_a14b, whose tensors the official
code made.
"""

import json
from pathlib import Path

import numpy
import torch
from diffusers import AutoencoderKLWan, UniPCMultistepScheduler, WanImageToVideoPipeline, WanTransformer3DModel
from diffusers.loaders.single_file_utils import convert_wan_transformer_to_diffusers
from safetensors.torch import load_file, save_file

HERE = Path(__file__).parent
DATA = HERE.parent
STEPS, SHIFT, BOUNDARY, HIGH, LOW = 8, 5.0, 0.9, 3.0, 3.5
SIZE, FRAMES, SEED = 32, 9, 731


class OfficialGrid(UniPCMultistepScheduler):
    """diffusers' solver on the sigmas and timesteps of the official code."""

    def set_timesteps(self, num_inference_steps, device=None, **_):
        super().set_timesteps(num_inference_steps, device=device)
        sigmas = numpy.linspace(0.999, 0, num_inference_steps + 1)[:-1]
        sigmas = SHIFT * sigmas / (1 + (SHIFT - 1) * sigmas)
        self.sigmas = torch.from_numpy(numpy.append(sigmas, 0).astype(numpy.float32))
        self.timesteps = torch.from_numpy((sigmas * 1000).astype(numpy.int64))


class OfficialWaves(torch.nn.Module):
    """The waves that stand for a timestep, in f64."""

    def __init__(self, half):
        super().__init__()
        self.half = half

    def forward(self, timestep):
        frequencies = torch.pow(10000, -torch.arange(self.half, dtype=torch.float64) / self.half)
        angles = torch.outer(timestep.double(), frequencies)
        return torch.cat([angles.cos(), angles.sin()], dim=1).float()


class Recorder:
    """What went into the solver's steps, and what came out."""

    def __init__(self, scheduler):
        self.velocities, self.latents, self.step = [], [], scheduler.step
        scheduler.step = self

    def __call__(self, velocity, timestep, sample, **arguments):
        made = self.step(velocity, timestep, sample, **arguments)
        self.velocities.append(velocity[0].clone())
        self.latents.append(made[0][0].clone())
        return made


def transformer(name, weights="e2e_i2v_a14b"):
    folder = DATA / weights / "official_repo" / name
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


def pipeline():
    vae = AutoencoderKLWan.from_pretrained(DATA / "vae21" / "diffusers").eval()
    scheduler = OfficialGrid(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=SHIFT)
    return WanImageToVideoPipeline(
        tokenizer=None,
        text_encoder=None,
        image_encoder=None,
        image_processor=None,
        vae=vae,
        scheduler=scheduler,
        transformer=transformer("high_noise_model"),
        transformer_2=transformer("low_noise_model"),
        boundary_ratio=BOUNDARY,
    )


def stretched(image):
    """As the official code brings an image to the size of the video."""
    pixels = image.permute(2, 0, 1).float().div(255).sub(0.5).div(0.5)
    return torch.nn.functional.interpolate(pixels[None], size=(SIZE, SIZE), mode="bicubic")


def padded(context):
    return torch.cat([context, context.new_zeros(512 - len(context), context.shape[1])])[None]


def render(pipe, noise, cond, null, first, last, frames):
    recorder = Recorder(pipe.scheduler)
    latents = pipe(
        image=stretched(first),
        last_image=None if last is None else stretched(last),
        prompt_embeds=padded(cond),
        negative_prompt_embeds=padded(null),
        height=SIZE,
        width=SIZE,
        num_frames=frames,
        num_inference_steps=STEPS,
        guidance_scale=HIGH,
        guidance_scale_2=LOW,
        latents=noise[None].clone(),
        output_type="latent",
    ).frames[0]
    pipe.scheduler.step = recorder.step
    return torch.stack(recorder.velocities), torch.stack(recorder.latents), latents


def conditioning(pipe, first, last, frames):
    channels = pipe.vae.config.z_dim
    _, condition = pipe.prepare_latents(
        stretched(first), 1, channels, SIZE, SIZE, frames, torch.float32, "cpu", None, None, stretched(last)
    )
    return condition[0]


def decoded(pipe, latents):
    mean, std = (torch.tensor(numbers).view(1, -1, 1, 1, 1) for numbers in (pipe.vae.config.latents_mean, pipe.vae.config.latents_std))
    return pipe.vae.decode(latents[None] * std + mean).sample[0].clamp(-1, 1)


def picture(height, width, phase):
    rows, columns = torch.meshgrid(torch.linspace(0, 1, height), torch.linspace(0, 1, width), indexing="ij")
    waves = [torch.sin(6 * rows + phase), torch.cos(5 * columns - 2 * phase), torch.sin(4 * (rows + columns) + 3 * phase)]
    return ((torch.stack(waves, -1) + 1) * 127.5).to(torch.uint8)


def apart(got, want):
    return ((got - want).norm() / want.norm()).item()


def main():
    pipe = pipeline()
    known = load_file(DATA / "e2e_i2v_a14b" / "io.safetensors")
    texts = known["context.cond"], known["context.null"]
    _, steps, _ = render(pipe, known["latents.init"], *texts, known["image_u8"], None, 5)
    assert apart(steps, known["latents.after_step"]) < 2e-6, "not the official code's"

    first, last = picture(53, 71, 0.4), picture(48, 64, 2.1)
    noise = torch.randn(16, (FRAMES - 1) // 4 + 1, SIZE // 8, SIZE // 8, generator=torch.Generator().manual_seed(SEED))
    velocities, steps, latents = render(pipe, noise, *texts, first, last, FRAMES)
    _, without, _ = render(pipe, noise, *texts, first, None, FRAMES)
    print("without the last frame:", [round(apart(a, b), 3) for a, b in zip(without, steps)])
    frames = decoded(pipe, latents)
    tensors = {
        "context.cond": texts[0],
        "context.null": texts[1],
        "image_u8": first,
        "last_image_u8": last,
        "latents.init": noise,
        "timesteps": pipe.scheduler.timesteps,
        "y": conditioning(pipe, first, last, FRAMES),
        "noise_pred_guided": velocities,
        "latents.after_step": steps,
        "latents.final": latents,
        "frames_f32": frames,
        "frames_u8": ((frames + 1) / 2 * 255).to(torch.uint8).permute(1, 2, 3, 0),
    }
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, HERE / "io.safetensors")


if __name__ == "__main__":
    with torch.no_grad():
        main()
