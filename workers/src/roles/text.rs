//! `text-encoder`: a prompt as it was typed → one row of features per token, without padding.

use wanfarm_model::ModelError;
use wanfarm_model::text::Tokenizer;
use wanfarm_model::umt5::Umt5;
use wanfarm_types::Failure;

use super::{explain, values};
use crate::runner::{Control, HostTensor, Output, PreparedItem, RoleRunner};

/// The tokenizer and the text encoder of one model.
#[derive(Debug)]
pub(crate) struct TextEncoder {
    pub(crate) tokenizer: Tokenizer,
    pub(crate) umt5: Umt5,
}

impl TextEncoder {
    fn encode(&self, text: &str) -> Result<HostTensor, ModelError> {
        let ids = self.tokenizer.encode(text)?;
        let rows = self.umt5.encode(&ids)?;
        Ok(HostTensor::from_f32(rows.dims(), &values(&rows)?))
    }
}

impl RoleRunner for TextEncoder {
    fn run(&mut self, item: &PreparedItem, _control: &mut dyn Control) -> Result<Output, Failure> {
        let context = self.encode(&item.text).map_err(|error| explain(item, error))?;
        super::finite(&context.to_f32(), || format!("the text context of {:?}", item.text))?;
        Ok(Output::Tensors(vec![context]))
    }
}
