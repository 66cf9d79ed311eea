//! Whether a transformer knows where its tokens are. One that does not gives each token the same velocity wherever it
//! lies: turned input gives turned output.

use candle_core::Tensor;

use crate::doctor::finding::{Checked, Limit, Measure};
use crate::doctor::numbers::apart;
use wanfarm_model::ModelError;

/// Latent pixels of a token along time, height and width. Tokens are turned as wholes.
const TOKEN: [usize; 3] = [1, 2, 2];

/// How far turned output is from the output for turned input, by the axis where it is least.
pub(super) fn check(velocity: impl Fn(&Tensor) -> Result<Tensor, ModelError>, x: &Tensor) -> Checked {
    let straight = velocity(x)?;
    let mut least = f64::INFINITY;
    for (axis, token) in (1..).zip(TOKEN) {
        // One token alone cannot be out of place.
        if x.dim(axis)? > token {
            let off = apart(&velocity(&turned(x, axis, token)?)?, &turned(&straight, axis, token)?)?;
            least = if off >= least { least } else { off };
        }
    }
    Ok(Measure {
        figure: least,
        limit: Limit::Between(1e-3, 10.),
        otherwise: "tokens do not know their place along time, height or width: rotary positions are not applied, or not \
                    along all three axes",
    })
}

/// The tokens in reverse order along an axis of `(channels, frames, height, width)`.
fn turned(x: &Tensor, axis: usize, token: usize) -> Result<Tensor, ModelError> {
    let starts = (0..x.dim(axis)?).step_by(token).rev();
    let tokens = starts.map(|start| x.narrow(axis, start, token)).collect::<Result<Vec<_>, _>>()?;
    Ok(Tensor::cat(&tokens, axis)?)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use wanfarm_types::Role;

    use super::*;
    use crate::doctor::demo;
    use wanfarm_model::dit::Timesteps;

    #[test]
    fn an_axis_without_positions_is_caught() {
        let (model, latents) = (demo::expert(Role::DitLow), demo::latents());
        let text = model.embed_text(&demo::texts()[0]).unwrap();
        let velocity = |x: &Tensor| model.forward(x, Timesteps::Scalar(400.), &text);
        let right = check(velocity, &latents).unwrap();
        assert!(right.holds(), "{right:?}");
        assert!(!check(|x| Ok(x.clone()), &latents).unwrap().holds(), "no token knows of another");
        // Blind along one axis: the mean of both directions.
        for (axis, token) in (1..).zip(TOKEN) {
            let blind = |x: &Tensor| {
                let other = turned(&velocity(&turned(x, axis, token)?)?, axis, token)?;
                Ok(((velocity(x)? + other)? / 2.)?)
            };
            assert!(!check(blind, &latents).unwrap().holds(), "{axis}");
        }
    }

    #[test]
    fn tokens_are_turned_as_wholes() {
        let x = Tensor::arange(0f32, 6., &Device::Cpu).unwrap().reshape((1, 1, 1, 6)).unwrap();
        let turned = turned(&x, 3, 2).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(turned, [4., 5., 2., 3., 0., 1.]);
    }
}
