"""Makes the tensors of this case with diffusers' own WanVideoToVideoPipeline.

    pip install torch diffusers==0.42.1 transformers safetensors ftfy
    python make.py

The weights are those of e2e_t2v_a14b and vae21 beside this folder. The pipeline knows one transformer: here that is one
which hands each timestep to the expert it belongs to. Two things are the official code's: the grid of the schedule with
timesteps as whole numbers, and the precision of the waves that stand for a timestep. That they are so is checked first, on
the case e2e_t2v_a14b, whose tensors the official code made: with strength 1 the pipeline goes through the whole schedule,
and where all of a clip is noise, that is a render from noise.
"""

import json
from pathlib import Path

import numpy
import torch
from diffusers import AutoencoderKLWan, UniPCMultistepScheduler, WanTransformer3DModel, WanVideoToVideoPipeline
from diffusers.loaders.single_file_utils import convert_wan_transformer_to_diffusers
from safetensors.torch import load_file, save_file

HERE = Path(__file__).parent
DATA = HERE.parent
STEPS, BOUNDARY, STRENGTH, SCALE = 8, 0.875, 0.8, 4.0
WIDTH, HEIGHT, FRAMES, SEED = 48, 32, 9, 733


class OfficialGrid(UniPCMultistepScheduler):
    """diffusers' solver on the sigmas and timesteps of the official code."""

    def set_timesteps(self, num_inference_steps, device=None, **_):
        super().set_timesteps(num_inference_steps, device=device)
        shift = self.config.flow_shift
        sigmas = numpy.linspace(0.999, 0, num_inference_steps + 1)[:-1]
        sigmas = shift * sigmas / (1 + (shift - 1) * sigmas)
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


class Experts(torch.nn.Module):
    """Both experts as one transformer."""

    def __init__(self, high, low):
        super().__init__()
        self.high, self.low, self.config, self.asked = high, low, high.config, []
        self.dtype, self.device = high.dtype, high.device

    def forward(self, timestep, **arguments):
        is_high = bool((timestep >= BOUNDARY * 1000).all())
        self.asked.append(is_high)
        return (self.high if is_high else self.low)(timestep=timestep, **arguments)


class Recorder:
    """What went into the solver's steps, and what came out."""

    def __init__(self, scheduler):
        self.velocities, self.latents, self.step = [], [], scheduler.step
        scheduler.step = self

    def __call__(self, velocity, timestep, sample, **arguments):
        if not self.latents:
            self.first = sample[0].clone()
        made = self.step(velocity, timestep, sample, **arguments)
        self.velocities.append(velocity[0].clone())
        self.latents.append(made[0][0].clone())
        return made


def transformer(name):
    folder = DATA / "e2e_t2v_a14b" / "official_repo" / name
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


def pipeline(experts, shift):
    vae = AutoencoderKLWan.from_pretrained(DATA / "vae21" / "diffusers").eval()
    scheduler = OfficialGrid(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=shift)
    return WanVideoToVideoPipeline(
        tokenizer=None, text_encoder=None, transformer=experts, vae=vae, scheduler=scheduler
    )


def padded(context):
    return torch.cat([context, context.new_zeros(512 - len(context), context.shape[1])])[None]


def render(pipe, cond, null, strength, scale, **given):
    recorder = Recorder(pipe.scheduler)
    latents = pipe(
        prompt_embeds=padded(cond),
        negative_prompt_embeds=padded(null),
        height=HEIGHT,
        width=WIDTH,
        num_inference_steps=STEPS,
        guidance_scale=scale,
        strength=strength,
        output_type="latent",
        **given,
    ).frames
    pipe.scheduler.step = recorder.step
    return recorder, latents[0]


def encoded(pipe, clip):
    pixels = pipe.video_processor.preprocess_video(clip, height=HEIGHT, width=WIDTH)
    latents = pipe.vae.encode(pixels).latent_dist.mode()[0]
    mean, std = (torch.tensor(numbers).view(-1, 1, 1, 1) for numbers in (pipe.vae.config.latents_mean, pipe.vae.config.latents_std))
    return (latents - mean) * (1.0 / std)


def decoded(pipe, latents):
    mean, std = (torch.tensor(numbers).view(1, -1, 1, 1, 1) for numbers in (pipe.vae.config.latents_mean, pipe.vae.config.latents_std))
    return pipe.vae.decode(latents[None] * std + mean).sample[0].clamp(-1, 1)


def film():
    """A clip that moves: frames, rows, columns, colours."""
    time = torch.linspace(0, 2, FRAMES).view(-1, 1, 1)
    rows = torch.linspace(0, 1, HEIGHT).view(1, -1, 1)
    columns = torch.linspace(0, 1, WIDTH).view(1, 1, -1)
    waves = [torch.sin(6 * rows + time) + 0 * columns, torch.cos(5 * columns - 2 * time) + 0 * rows, torch.sin(4 * (rows + columns) + 3 * time)]
    return ((torch.stack(waves, -1) + 1) * 127.5).to(torch.uint8)


def apart(got, want):
    return ((got - want).norm() / want.norm()).item()


def main():
    experts = Experts(transformer("high_noise_model"), transformer("low_noise_model"))
    known = load_file(DATA / "e2e_t2v_a14b" / "io.safetensors")
    texts = known["context.cond"], known["context.null"]

    # One scale for both experts is all that the pipeline knows: the first steps are the high expert's.
    whole, _ = render(pipeline(experts, 12.0), *texts, 1.0, 4.0, latents=known["latents.init"][None].clone())
    off = [apart(got, want) for got, want in zip(whole.latents, known["latents.after_step"])]
    assert max(off[:6]) < 2e-6, f"not the official code's: {off}"

    pipe = pipeline(experts, 5.0)
    clip = film()
    pixels = clip.permute(0, 3, 1, 2).float() / 255
    experts.asked.clear()
    seeded = torch.Generator().manual_seed(SEED)
    recorder, latents = render(pipe, *texts, STRENGTH, SCALE, video=pixels, generator=seeded)
    run = len(recorder.latents)
    print("steps run:", run, "of the high expert:", sum(experts.asked) // 2)
    of_clip = encoded(pipe, pixels)
    noise = torch.randn(of_clip.shape, generator=torch.Generator().manual_seed(SEED))
    sigma = pipe.scheduler.sigmas[STEPS - run]
    assert apart((1 - sigma) * of_clip + sigma * noise, recorder.first) < 1e-6
    for name, first in {
        "a level too late": (1 - pipe.scheduler.sigmas[STEPS - run + 1]) * of_clip + pipe.scheduler.sigmas[STEPS - run + 1] * noise,
        "noise added to all of the clip": of_clip + sigma * noise,
        "clip and noise exchanged": sigma * of_clip + (1 - sigma) * noise,
        "the clip left out": sigma * noise,
    }.items():
        other, _ = render(pipe, *texts, STRENGTH, SCALE, latents=first[None].clone())
        print(f"{name}:", [round(apart(a, b), 3) for a, b in zip(other.latents, recorder.latents)])
    frames = decoded(pipe, latents)
    tensors = {
        "context.cond": texts[0],
        "context.null": texts[1],
        "clip_u8": clip,
        "latents.clip": of_clip,
        "latents.init": noise,
        "latents.noised": recorder.first,
        "timesteps": pipe.scheduler.timesteps[STEPS - run :],
        "noise_pred_guided": torch.stack(recorder.velocities),
        "latents.after_step": torch.stack(recorder.latents),
        "latents.final": latents,
        "frames_f32": frames,
        "frames_u8": ((frames + 1) / 2 * 255).to(torch.uint8).permute(1, 2, 3, 0),
    }
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, HERE / "io.safetensors")
    print({name: list(tensor.shape) for name, tensor in tensors.items()})


if __name__ == "__main__":
    with torch.no_grad():
        main()
