//! Cases `vae*`: an autoencoder both ways, in every layout of its files.
//!
//! Tensors: `{f}_{h}x{w}.video` → `.latent` (normalised); `.dec_in` → `.dec_unclamped`; `latents_{mean,std}`.

use anyhow::{Context, Result};
use wanfarm_model::Weights;
use wanfarm_tests::files::{vae, weights_in};
use wanfarm_tests::render::{decode, flat};

use crate::case::{Case, Checks};

pub(crate) fn run(case: &Case<'_>) -> Result<Checks> {
    let io = case.io()?;
    let tolerance = case.tolerance()?;
    let mut checks = Checks::default();
    for layout in case.folders()? {
        let weights = Weights::open(&weights_in(&case.dir.join(&layout))?)?;
        let vae = vae(&weights, &case.device).with_context(|| layout.clone())?;
        let statistics = &vae.config().statistics;
        checks.close(format!("{layout}: mean"), &statistics.mean, &io.f32("latents_mean")?, tolerance);
        checks.close(format!("{layout}: std"), &statistics.std, &io.f32("latents_std")?, tolerance);
        for name in io.names().filter(|name| !name.contains(".tap.")) {
            if let Some(size) = name.strip_suffix(".video") {
                let want = format!("{size}.latent");
                let latents = flat(&vae.encode(&io.tensor(name)?)?)?;
                checks.close(format!("{layout}: {want}"), &latents, &io.f32(&want)?, tolerance);
            } else if let Some(size) = name.strip_suffix(".dec_in") {
                let want = format!("{size}.dec_unclamped");
                let pixels = flat(&decode(&vae, &io.tensor(name)?)?.pixels)?;
                checks.close(format!("{layout}: {want}"), &pixels, &io.f32(&want)?, tolerance);
            }
        }
    }
    Ok(checks)
}
