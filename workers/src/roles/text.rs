//! `text-encoder`: a prompt as it was typed → one row of features per token, without padding.

use wanfarm_model::text::Tokenizer;
use wanfarm_model::umt5::Umt5;
use wanfarm_types::{Failure, ItemOutputs};

use super::{explain, values};
use crate::runner::{Control, HostTensor, Output, PreparedItem, RoleRunner};

/// The tokenizer and the text encoder of one model.
#[derive(Debug)]
pub(crate) struct TextEncoder {
    pub(crate) tokenizer: Tokenizer,
    pub(crate) umt5: Umt5,
}

impl RoleRunner for TextEncoder {
    fn run(&mut self, item: &PreparedItem, control: &mut dyn Control) -> Result<Output, Failure> {
        let failed = |error| explain(item, error);
        let tokens = self.tokenizer.encode(&item.text).map_err(failed)?;
        control.text_read(u32::try_from(tokens.length).unwrap_or(u32::MAX));
        let rows = self.umt5.encode(&tokens.ids).map_err(failed)?;
        let context = HostTensor::from_f32(rows.dims(), &values(&rows).map_err(failed)?);
        super::finite(&context.to_f32(), || format!("the text context of {:?}", item.text))?;
        Ok((ItemOutputs::Text(context.name.clone()), vec![context]))
    }
}
