"""Makes the tensors of this case and of e2e_ti2v_overlap beside it: videos that start from five known frames.

    pip install torch diffusers==0.42.1 transformers safetensors ftfy
    python make.py

diffusers' own WanImageToVideoPipeline knows one first frame. Here only what it prepares is another's: the encoded video
begins with five frames instead of one, and the mask says so of all five. With one frame that is what the pipeline itself
prepares, which is checked first, as is that the pipeline gives the tensors of e2e_i2v_a14b and of e2e_ti2v_i2v, which the
official code made. Weights are theirs, and those of vae21 and vae22.
"""

import importlib.util
from pathlib import Path

import torch
from diffusers import AutoencoderKLWan, WanImageToVideoPipeline
from safetensors.torch import load_file, save_file

HERE = Path(__file__).parent
DATA = HERE.parent
KNOWN, FRAMES = 5, 13


def script(case):
    spec = importlib.util.spec_from_file_location(case, DATA / case / "make.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


one = script("e2e_i2v_last")


class Several(WanImageToVideoPipeline):
    """Starts from the frames `known`, (3, k, height, width), whatever image it is given."""

    known = None

    def prepare_latents(self, image, batch_size, channels, height, width, num_frames, dtype, device, *rest):
        prepared = super().prepare_latents(image, batch_size, channels, height, width, num_frames, dtype, device, *rest)
        if self.known is None:
            return prepared
        latents, count = prepared[0], self.known.shape[1]
        if self.config.expand_timesteps:
            mask = torch.ones(1, 1, *latents.shape[2:])
            mask[:, :, : (count - 1) // 4 + 1] = 0
            condition = torch.zeros_like(latents)
            encoded = self.encode(self.known)
            condition[:, :, : encoded.shape[2]] = encoded
            return latents, condition, mask
        grey = self.known.new_zeros(3, num_frames - count, height, width)
        encoded = self.encode(torch.cat([self.known, grey], dim=1))
        # Of each frame, the first four times.
        of_frames = torch.ones(num_frames)
        of_frames[count:] = 0
        of_frames = torch.cat([of_frames[:1].repeat(4), of_frames[1:]])
        mask = of_frames.view(-1, 4).T[None, :, :, None, None].expand(1, 4, *latents.shape[2:])
        return latents, torch.cat([mask, encoded], dim=1)

    def encode(self, frames):
        numbers = (self.vae.config.latents_mean, self.vae.config.latents_std)
        mean, std = (torch.tensor(of).view(1, -1, 1, 1, 1) for of in numbers)
        return (self.vae.encode(frames[None]).latent_dist.mode() - mean) * (1.0 / std)


def pipeline(weights, vae, **settings):
    names = ["high_noise_model", "low_noise_model"] if "boundary_ratio" in settings else ["."]
    experts = [one.transformer(name, weights) for name in names]
    return Several(
        tokenizer=None,
        text_encoder=None,
        image_encoder=None,
        image_processor=None,
        vae=AutoencoderKLWan.from_pretrained(DATA / vae / "diffusers").eval(),
        scheduler=one.OfficialGrid(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=one.SHIFT),
        transformer=experts[0],
        transformer_2=experts[1] if len(experts) > 1 else None,
        **settings,
    )


def render(pipe, noise, texts, first, frames, steps, guidance, hold=None):
    """`first`: (3, height, width), unless the pipeline knows several."""
    recorder = one.Recorder(pipe.scheduler) if hold is None else Holder(pipe.scheduler, hold)
    made = pipe(
        image=first[None],
        prompt_embeds=one.padded(texts[0]),
        negative_prompt_embeds=one.padded(texts[1]),
        height=first.shape[1],
        width=first.shape[2],
        num_frames=frames,
        num_inference_steps=steps,
        guidance_scale=guidance[0],
        guidance_scale_2=guidance[1],
        latents=noise[None].clone() if hold is None else hold(noise[None]),
        output_type="latent",
    ).frames[0]
    pipe.scheduler.step = recorder.step
    held = [] if hold is None else [torch.stack(recorder.held)]
    return torch.stack(recorder.velocities), torch.stack(recorder.latents), *held, made


class Holder(one.Recorder):
    """Puts what is known into what each step made, as the official loop does; the pipeline does so before each step."""

    def __init__(self, scheduler, hold):
        self.hold, self.held = hold, []
        super().__init__(scheduler)

    def __call__(self, velocity, timestep, sample, **arguments):
        (made,) = super().__call__(velocity, timestep, sample, **arguments)
        self.held.append(self.hold(made)[0])
        return (self.held[-1][None],)


def prepared(pipe, noise, first, frames):
    height, width = first.shape[1:]
    return pipe.prepare_latents(
        first[None], 1, len(noise), height, width, frames, torch.float32, "cpu", None, noise[None]
    )[1:]


def as_one(pipe, noise, first, frames):
    """One known frame is the pipeline's own image."""
    own = prepared(pipe, noise, first, frames)
    pipe.known = first[:, None]
    here = prepared(pipe, noise, first, frames)
    pipe.known = None
    # Of a video without channels, what lies beyond the mask is read by nobody.
    if len(own) == 2:
        here = (here[0][:, :, :1], here[1])
    assert all(torch.equal(a, b) for a, b in zip(own, here)), "not what the pipeline prepares"


def pictures(height, width):
    """A picture that moves."""
    return torch.stack([one.picture(height, width, 0.3 + 0.25 * frame) for frame in range(KNOWN)])


def scaled(pictures):
    return pictures.permute(3, 0, 1, 2).float().div(255).sub(0.5).div(0.5)


def write(case, pipe, start, texts, images, velocities, latents, **more):
    frames = one.decoded(pipe, latents)
    tensors = {
        "context.cond": texts[0],
        "context.null": texts[1],
        "image_u8": images,
        "latents.init": start,
        "timesteps": pipe.scheduler.timesteps,
        "noise_pred_guided": velocities,
        "latents.final": latents,
        "frames_f32": frames,
        "frames_u8": ((frames + 1) / 2 * 255).to(torch.uint8).permute(1, 2, 3, 0),
        **{name.replace("__", "."): tensor for name, tensor in more.items()},
    }
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, DATA / case / "io.safetensors")
    print(case, {name: list(tensor.shape) for name, tensor in tensors.items()})


def off(name, got, want):
    print(f"  {name}:", [round(one.apart(a, b), 4) for a, b in zip(got, want)])


def i2v():
    pipe = pipeline("e2e_i2v_a14b", "vae21", boundary_ratio=one.BOUNDARY)
    known = load_file(DATA / "e2e_i2v_a14b" / "io.safetensors")
    texts = known["context.cond"], known["context.null"]
    guidance = one.HIGH, one.LOW
    image = one.stretched(known["image_u8"])[0]
    _, steps, _ = render(pipe, known["latents.init"], texts, image, 5, one.STEPS, guidance)
    assert one.apart(steps, known["latents.after_step"]) < 2e-6, "not the official code's"
    as_one(pipe, known["latents.init"], image, 5)

    images = pictures(53, 71)
    stretched = torch.stack([one.stretched(image)[0] for image in images], dim=1)
    noise = torch.randn(16, (FRAMES - 1) // 4 + 1, 4, 4, generator=torch.Generator().manual_seed(751))
    arguments = (noise, texts, stretched[:, 0], FRAMES, one.STEPS, guidance)
    pipe.known = stretched
    velocities, steps, latents = render(pipe, *arguments)
    (y,) = prepared(pipe, noise, stretched[:, 0], FRAMES)
    print("latents after each step")
    pipe.known = stretched[:, :1]
    off("only the first is known", render(pipe, *arguments)[1], steps)
    pipe.known = stretched.flip(1)
    off("backwards", render(pipe, *arguments)[1], steps)
    write("e2e_i2v_overlap", pipe, noise, texts, images, velocities, latents, y=y[0], latents__after_step=steps)


def ti2v():
    pipe = pipeline("e2e_ti2v_i2v", "vae22", expand_timesteps=True)
    known = load_file(DATA / "e2e_ti2v_i2v" / "io.safetensors")
    texts, count, guidance = (known["context.cond"], known["context.null"]), 7, (5.0, None)
    first = known["vae_encode_input"][:, 0]
    _, _, latents = render(pipe, known["noise"], texts, first, 9, count, guidance)
    assert one.apart(latents, known["latents.final"]) < 5e-6, "not the official code's"
    as_one(pipe, known["noise"], first, 9)

    images = pictures(64, 96)
    pipe.known = scaled(images)
    noise = torch.randn(48, (FRAMES - 1) // 4 + 1, 4, 6, generator=torch.Generator().manual_seed(752))
    arguments = (noise, texts, pipe.known[:, 0], FRAMES, count, guidance)
    condition, mask = prepared(pipe, noise, pipe.known[:, 0], FRAMES)

    def hold(latents):
        return (1 - mask) * condition + mask * latents

    velocities, steps, held, latents = render(pipe, *arguments, hold)
    unheld = render(pipe, *arguments)[-1]
    assert one.apart(unheld, latents) < 1e-6, "the pipeline's own order makes another video"
    frames = pipe.known
    print("latents after each step, what is known held")
    pipe.known = frames.flip(1)
    off("backwards", map(hold, render(pipe, *arguments)[1]), held)
    pipe.known = frames[:, :1]
    off("only the first is known", map(hold, render(pipe, *arguments)[1]), held)
    more = {"latents__after_step": steps, "latents__after_step_reinjected": held, "noise": noise}
    write("e2e_ti2v_overlap", pipe, hold(noise)[0], texts, images, velocities, latents, **more)


if __name__ == "__main__":
    with torch.no_grad():
        i2v()
        ti2v()
