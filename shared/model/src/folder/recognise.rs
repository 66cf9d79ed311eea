//! What model the parts in a folder make, by the shapes of its transformers.

use std::path::Path;

use wanfarm_types::{ModelInfo, Transformer};
use wanfarm_weights::{FileError, transformer};

use super::arranged;
use super::fit;
use super::info;
use super::parts::Parts;

/// Whether a folder is itself a model, and not one that models lie in.
pub fn is_model(folder: &Path) -> bool {
    arranged::arranged(folder).ok().flatten().is_some_and(|parts| recognise(&parts).is_ok())
}

/// The model that these parts make together, by the shapes of its transformers.
pub fn recognise(parts: &Parts) -> Result<ModelInfo, FileError> {
    let (config, file) = transformer(parts)?;
    fit::check(parts)?;
    info::info(&parts.folder, parts, &config, &file)
}

/// The sizes of the model's transformers, of whichever there is, and the file that tells them.
fn transformer(layout: &Parts) -> Result<(Transformer, String), FileError> {
    let parts = || layout.parts.iter().filter(|(role, _)| role.expert().is_some()).map(|(_, part)| part);
    if let Some(part) = parts().find(|part| !part.weights.is_empty()) {
        let weights = part.open()?;
        return Ok((transformer::sizes(&weights, &part.config)?, weights.place()));
    }
    if let Some(part) = parts().find(|part| !part.config.is_empty()) {
        return Ok((transformer::sizes_in_config(&part.config)?, part.config.path().display().to_string()));
    }
    let wanted: Vec<&str> = parts().map(|part| part.wanted.as_str()).collect();
    let why = format!(
        "nothing tells which model it is: there is no {}, and no config.json beside where it would be; \
         the config.json is small and enough on a machine that runs no transformer",
        wanted.join(" or ")
    );
    Err(FileError::NotAModel { folder: layout.folder.clone(), why })
}
