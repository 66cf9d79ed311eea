//! What `config.json` says of how MLX quantised a layer: for all of them, and for single ones by their paths.
//!
//! Source: mlx-lm `utils.py` `save_config` and `quantize_model`.

use serde_json::Value;

use crate::config_file::ConfigFile;
use crate::error::FileError;

/// What is said of one layer; nothing where nothing is.
#[derive(Debug)]
pub(super) struct Said<'c> {
    config: &'c ConfigFile,
    pub(super) bits: Option<usize>,
    pub(super) group: Option<usize>,
}

impl<'c> Said<'c> {
    /// What `config` says of the layer at this path, which is its name in the file.
    ///
    /// # Errors
    /// It says that the layer is not quantised, or what nobody can read.
    pub(super) fn of(config: &'c ConfigFile, path: &str) -> Result<Self, FileError> {
        let Some(all) = config.value("quantization") else { return Ok(Self { config, bits: None, group: None }) };
        let own = match all.get(path) {
            None | Some(Value::Null | Value::Bool(true)) => all,
            Some(own @ Value::Object(_)) => own,
            Some(other) => {
                let why = format!("quantization says {other} of {path}, which is quantised");
                return Err(config.wrong(format!("{why}; use the config.json that was written with the weights")));
            }
        };
        let count = |key: &str| match own.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => {
                let count = value.as_u64().and_then(|count| usize::try_from(count).ok());
                let why = || config.wrong(format!("{key} = {value} in quantization is not a positive whole number"));
                count.filter(|&count| count > 0).map(Some).ok_or_else(why)
            }
        };
        Ok(Self { config, bits: count("bits")?, group: count("group_size")? })
    }

    /// Whether numbers of so many bits in groups of such a size are what is said.
    pub(super) fn allows(&self, bits: usize, group: usize) -> bool {
        self.bits.is_none_or(|said| said == bits) && self.group.is_none_or(|said| said == group)
    }

    /// Error: the tensors of `stored` are other than is said.
    pub(super) fn contradicted(&self, stored: &str, are: &str) -> FileError {
        let said = |what: &str, said: Option<usize>| said.map(|said| format!("{what} = {said}"));
        let said: Vec<String> =
            [said("bits", self.bits), said("group_size", self.group)].into_iter().flatten().collect();
        self.config.wrong(format!(
            "quantization says {} of {stored}, and {are}; use the config.json that was written with the weights",
            said.join(" and ")
        ))
    }
}
