//! Cases `i2v_cond*`: what a first frame becomes, for the model that reads it as channels (`i2v.*`) and for the one that
//! finds it in its latents (`ti2v.*`).
//!
//! Tensors of one image, named `{model}.{h}x{w}_a{area}_f{frames}`: `.image_u8`; `.resized`, `.mask`, `.y`; or
//! `.lanczos_u8`, `.crop_u8`, `.vae_input`, `.z`, and `.noise` → `.latent_init`, `.t_tokens_step0` → `.x_step1`.
//! `sizes.json` lists the sizes that areas and images give, and which numbers of frames there are. The autoencoders are
//! those of the cases that the manifest names.

use anyhow::{Context, Result, bail};
use candle_core::Tensor;
use serde_json::Value;
use wanfarm_image::RgbImage;
use wanfarm_model::Weights;
use wanfarm_model::conditioning::{Anchors, FirstFrames, encode, i2v, lanczos, ti2v};
use wanfarm_model::vae::WanVae;
use wanfarm_tests::files::{vae, weights_in};
use wanfarm_tests::render::flat;
use wanfarm_types::Geometry;
use wanfarm_types::{i2v_size, ti2v_size};

use crate::case::{Case, Checks, Tensors, Tolerance, read_json};

pub(crate) fn run(case: &Case<'_>) -> Result<Checks> {
    let io = case.io()?;
    let mut checks = Checks::default();
    let tables = read_json(&case.dir.join("sizes.json"))?;
    let table = |name: &str| tables[name].as_array().with_context(|| format!("sizes.json has no list {name}"));
    for row in table("frames")? {
        check_frames(&mut checks, row)?;
    }
    for (model, rows) in [("i2v", "i2v_a14b"), ("ti2v", "ti2v_5b")] {
        let size = if model == "i2v" { i2v_size } else { ti2v_size };
        for row in table(rows)? {
            check_size(&mut checks, model, row, size)?;
        }
        let folder = case.value(&format!("/vae/{model}"))?.as_str().context("the VAE is no path")?;
        let vae = vae(&Weights::open(&weights_in(&case.dir.join(folder).join("official"))?)?, &case.device)?;
        for image in io.names().filter(|name| name.starts_with(&format!("{model}."))) {
            let Some(tag) = image.strip_suffix(".image_u8") else { continue };
            let image = Image::read(&io, tag, size).with_context(|| tag.to_owned())?;
            match model {
                "i2v" => image.check_i2v(&mut checks, &vae, case.tolerance()?),
                _ => image.check_ti2v(&mut checks, &vae, case.tolerance()?),
            }
            .with_context(|| tag.to_owned())?;
        }
    }
    Ok(checks)
}

/// Width and height of a video from an area and an image's width and height.
type Size = fn(u32, u32, u32) -> (u32, u32);

fn number(row: &Value, pointer: &str) -> Result<u32> {
    let number = row.pointer(pointer).and_then(Value::as_u64).with_context(|| format!("no {pointer} in {row}"))?;
    Ok(u32::try_from(number)?)
}

/// What becomes of a number of frames; those that the official code fails on with an image are refused with a reason.
fn check_frames(checks: &mut Checks, row: &Value) -> Result<()> {
    let geometry = Geometry { latent_channels: 16, stride_t: 4, stride_hw: 8, patch: 2 };
    let frames = number(row, "/frames")?;
    let got = geometry.latent_shape(16, 16, frames)[1];
    checks.equal(format!("latent frames of {frames}"), &[got], &[number(row, "/latent_frames")? as usize]);
    let possible = row["i2v_mask_ok"].as_bool().with_context(|| format!("no i2v_mask_ok in {row}"))?;
    checks.equal(format!("{frames} frames are possible"), &[geometry.check(16, 16, frames).is_empty()], &[possible]);
    Ok(())
}

fn check_size(checks: &mut Checks, model: &str, row: &Value, size: Size) -> Result<()> {
    let number = |pointer: &str| number(row, pointer);
    let (height, width, area) = (number("/image_hw/0")?, number("/image_hw/1")?, number("/max_area")?);
    let (got_width, got_height) = size(area, width, height);
    let what = format!("{model}: size of {width}x{height} at {area}");
    checks.equal(what, &[got_height, got_width], &[number("/hw/0")?, number("/hw/1")?]);
    Ok(())
}

/// One image of the data, and the video that starts with it.
struct Image<'a> {
    io: &'a Tensors,
    tag: &'a str,
    bytes: Vec<u8>,
    /// Of the image: width, height.
    of_image: [usize; 2],
    /// Of the video: width, height.
    of_video: [usize; 2],
    frames: usize,
}

impl<'a> Image<'a> {
    fn read(io: &'a Tensors, tag: &'a str, size: Size) -> Result<Self> {
        let name = format!("{tag}.image_u8");
        let [height, width] = [io.shape(&name)?[0], io.shape(&name)?[1]];
        let Some((area, frames)) = tag.split_once("_a").and_then(|(_, rest)| rest.split_once("_f")) else {
            bail!("it names no area and number of frames");
        };
        let (video_width, video_height) = size(area.parse()?, width as u32, height as u32);
        Ok(Self {
            io,
            tag,
            bytes: io.u8(&name)?,
            of_image: [width, height],
            of_video: [video_width as usize, video_height as usize],
            frames: frames.parse()?,
        })
    }

    fn name(&self, what: &str) -> String {
        format!("{}.{what}", self.tag)
    }

    fn rgb(&self) -> Result<RgbImage> {
        Ok(RgbImage::new(self.of_image[0], self.of_image[1], self.bytes.clone())?)
    }

    fn close(&self, checks: &mut Checks, what: &str, got: &Tensor, tolerance: Tolerance) -> Result<()> {
        checks.close(self.name(what), &flat(got)?, &self.io.f32(&self.name(what))?, tolerance);
        Ok(())
    }

    fn encoded(&self, vae: &WanVae) -> Result<Tensor> {
        encode(vae, Anchors { first: &[self.rgb()?], last: None }, self.of_video, self.frames, || false)?
            .context("encoding was stopped")
    }

    fn check_i2v(&self, checks: &mut Checks, vae: &WanVae, tolerance: Tolerance) -> Result<()> {
        let [width, height] = self.of_video;
        let frame = i2v::frame(&self.rgb()?, width, height)?.permute((2, 0, 1))?.contiguous()?;
        self.close(checks, "resized", &frame, tolerance)?;
        let y = self.encoded(vae)?;
        let (_, frames, rows, columns) = y.dims4()?;
        let mask = i2v::mask(frames, rows, columns, 1, false)?;
        checks.equal(self.name("mask"), &flat(&mask)?, &self.io.f32(&self.name("mask"))?);
        self.close(checks, "y", &y, tolerance)
    }

    fn check_ti2v(&self, checks: &mut Checks, vae: &WanVae, tolerance: Tolerance) -> Result<()> {
        let [width, height] = self.of_video;
        let whole = ti2v::Cover::of(&self.rgb()?, width, height).size;
        let resized = lanczos::resize(&self.rgb()?, whole, 0..whole[0], 0..whole[1])?;
        checks.equal(self.name("lanczos_u8"), resized.data(), &self.io.u8(&self.name("lanczos_u8"))?);
        let cut = ti2v::cut(&self.rgb()?, width, height)?;
        checks.equal(self.name("crop_u8"), cut.data(), &self.io.u8(&self.name("crop_u8"))?);
        let frame = ti2v::frame(&self.rgb()?, width, height)?.permute((2, 0, 1))?.contiguous()?;
        self.close(checks, "vae_input", &frame, tolerance)?;
        let z = self.encoded(vae)?;
        self.close(checks, "z", &z, tolerance)?;

        let noise = self.io.tensor(&self.name("noise"))?;
        let first = FirstFrames::new(&z, noise.dims4()?.into())?;
        let mut latents = flat(&noise)?;
        first.hold(&mut latents)?;
        checks.close(self.name("latent_init"), &latents, &self.io.f32(&self.name("latent_init"))?, tolerance);
        let times = self.io.numbers(&self.name("t_tokens_step0"))?;
        // The timestep itself is that of all tokens but the first frame's; a single frame has no such token.
        let timestep = times.iter().copied().fold(0.0, f64::max);
        checks.equal(self.name("t_tokens_step0"), &first.timesteps(timestep), &times);
        // The data goes on without a solver: the first frame is put back into what a step of nothing made.
        first.hold(&mut latents)?;
        checks.close(self.name("x_step1"), &latents, &self.io.f32(&self.name("x_step1"))?, tolerance);
        Ok(())
    }
}
