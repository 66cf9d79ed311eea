//! Whether a LoRA file suits a model. Checked against the sizes of the model's transformer before anything is
//! rendered; the worker asks it again.

use std::collections::BTreeMap;

use wanfarm_types::{Expert, Transformer};

use super::contents::{Change, LoraContents};
use super::names::{few, is_of_images};
use crate::error::FileError;
use crate::param::Param;
use crate::transformer::parameters;

/// What of a file is applied to a transformer, and what is not.
#[derive(Debug)]
pub struct Fit<'a> {
    /// By official name: what changes, and the shape it has.
    pub changes: BTreeMap<&'a str, (Change<'a>, &'a [usize])>,
    /// Tensors that only transformers for images have, and this one lacks.
    pub left_out: Vec<&'a str>,
}

impl LoraContents {
    /// Whether it can be applied to an expert of these sizes. What it holds for parts that only transformers for images
    /// have is left out where those parts are not, and told.
    ///
    /// # Errors
    /// It was made for another model.
    pub fn check(&self, sizes: &Transformer, expert: Expert) -> Result<Option<String>, FileError> {
        let network = parameters(sizes);
        Ok(self.fit(&network, expert)?.remark())
    }

    /// The changes that apply to a network of these parameters.
    ///
    /// # Errors
    /// It was made for another model.
    pub fn fit<'a>(&'a self, network: &'a [Param], expert: Expert) -> Result<Fit<'a>, FileError> {
        let shapes: BTreeMap<&str, &[usize]> = network.iter().map(|p| (p.name.as_str(), p.shape.as_slice())).collect();
        let mut fit = Fit { changes: BTreeMap::new(), left_out: Vec::new() };
        let (mut nowhere, mut misshapen) = (Vec::new(), Vec::new());
        for (name, change) in self.changes(expert)? {
            match shapes.get(name) {
                Some(shape) if suits(&change, shape) => drop(fit.changes.insert(name, (change, shape))),
                Some(shape) => misshapen.push(format!("{name} is {} in it, {shape:?} in the model", shape_of(&change))),
                None if is_of_images(name) => fit.left_out.push(name),
                None => nowhere.push(name.to_owned()),
            }
        }
        let mut why = Vec::new();
        if !misshapen.is_empty() {
            why.push(format!("{} tensors are of another shape: {}", misshapen.len(), few(&misshapen)));
        }
        if !nowhere.is_empty() {
            why.push(format!("{} have no place in the model: {}", nowhere.len(), few(&nowhere)));
        }
        if why.is_empty() && fit.changes.is_empty() {
            why.push(format!(
                "all {} are for parts that the model does not have: {}",
                fit.left_out.len(),
                few(&fit.left_out)
            ));
        }
        if why.is_empty() {
            return Ok(fit);
        }
        Err(self.fault(format!("it was made for another model: {}", why.join("; "))))
    }
}

impl Fit<'_> {
    /// What people have to know of what is left out.
    pub fn remark(&self) -> Option<String> {
        let (left, all) = (self.left_out.len(), self.left_out.len() + self.changes.len());
        let why = "for parts that only image-to-video models of Wan2.1 have";
        (left > 0).then(|| format!("{left} of its {all} changes are left out, {why}: {}", few(&self.left_out)))
    }
}

fn suits(change: &Change<'_>, shape: &[usize]) -> bool {
    let row = |shape: &[usize]| shape.iter().copied().filter(|&dim| dim != 1).collect::<Vec<_>>();
    let product =
        change.product().is_none_or(|product| shape.len() > 1 && product == [shape[0], shape[1..].iter().product()]);
    product && change.diff.is_none_or(|diff| row(&diff.shape) == row(shape))
}

fn shape_of(change: &Change<'_>) -> String {
    match (change.product(), change.diff) {
        (Some(product), _) => format!("{product:?}"),
        (None, Some(diff)) => format!("{:?}", diff.shape),
        (None, None) => "nothing".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::written;
    use super::*;

    const SMALL: Transformer = Transformer { text_len: 5, ..wanfarm_types::fixtures::TINY };

    fn check(tensors: &[(&str, &[usize])]) -> Result<Option<String>, String> {
        let (_dir, path) = written(tensors);
        LoraContents::open(&path).unwrap().check(&SMALL, Expert::Single).map_err(|error| error.why())
    }

    #[test]
    fn a_file_of_this_model_suits_it_and_one_of_another_does_not() {
        let q = |block: usize| {
            [format!("blocks.{block}.self_attn.q.lora_A.weight"), format!("blocks.{block}.self_attn.q.lora_B.weight")]
        };
        let [down, up] = q(1);
        assert_eq!(check(&[(&down, &[3, 8]), (&up, &[8, 3])]), Ok(None));
        let wide = check(&[(&down, &[3, 16]), (&up, &[16, 3])]).unwrap_err();
        assert_eq!(
            wide,
            "it was made for another model: 1 tensors are of another shape: blocks.1.self_attn.q.weight is [16, 16] in it, [8, 8] in the model"
        );
        let [down, up] = q(2);
        let deep = check(&[(&down, &[3, 8]), (&up, &[8, 3])]).unwrap_err();
        assert!(deep.ends_with("1 have no place in the model: blocks.2.self_attn.q.weight"), "{deep}");
        assert_eq!(check(&[("head.diff_m", &[2, 8]), ("patch_embedding.diff", &[8, 16, 1, 2, 2])]), Ok(None));
        assert!(check(&[("head.diff_m", &[2, 9])]).unwrap_err().contains("head.modulation is [2, 9] in it"));
    }

    #[test]
    fn parts_of_image_models_are_left_out_with_a_word() {
        let good: [(&str, &[usize]); 1] = [("blocks.0.self_attn.q.diff_b", &[8])];
        for of_images in [
            "diffusion_model.blocks.0.cross_attn.k_img.diff_b",
            "diffusion_model.blocks.0.cross_attn.norm_k_img.diff",
            "diffusion_model.img_emb.proj.1.diff_b",
            "lora_unet__blocks_0_cross_attn_v_img.diff_b",
            "lora_unet_blocks_0_cross_attn_norm_k_img.diff",
            "lora_unet_img_emb_proj_1.diff_b",
            "transformer.blocks.0.attn2.add_k_proj.diff_b",
            "transformer.blocks.0.attn2.norm_added_k.diff",
            "transformer.condition_embedder.image_embedder.ff.net.2.diff_b",
        ] {
            let remark = check(&[good[0], (of_images, &[8])]).unwrap().unwrap();
            assert!(remark.starts_with("1 of its 2 changes are left out"), "{remark}");
            assert!(check(&[(of_images, &[8])]).unwrap_err().contains("parts that the model does not have"));
        }
    }
}
