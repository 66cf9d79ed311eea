//! The demo model, for the tests of checks.

use std::path::Path;

use candle_core::{DType, Device, Tensor};
use wanfarm_types::Role;

use super::clip::{Size, clip as draw};
use wanfarm_model::dit::WanModel;
use wanfarm_model::folder::{self, ModelFolder};
use wanfarm_model::vae::WanVae;

pub(crate) fn folder() -> ModelFolder {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/demo/wan-tiny-t2v");
    folder::open(&path).unwrap()
}

pub(crate) fn vae() -> WanVae {
    let folder = folder();
    let weights = folder.weights(Role::Vae).unwrap();
    WanVae::load(folder.vae_config(&weights).unwrap(), &weights, &Device::Cpu).unwrap()
}

pub(crate) fn expert(role: Role) -> WanModel {
    let folder = folder();
    let weights = folder.weights(role).unwrap();
    WanModel::load(folder.dit_config(role, &weights).unwrap(), &weights, DType::F32, &Device::Cpu).unwrap()
}

pub(crate) fn clip() -> Tensor {
    draw(Size::of(folder().info())).unwrap()
}

pub(crate) fn latents() -> Tensor {
    vae().encode(&clip()).unwrap()
}

pub(crate) fn texts() -> [Tensor; 2] {
    super::examination::texts(&folder(), &Device::Cpu).unwrap()
}
