//! Folders of models: which layout a folder has, which file holds what, and what model the files make.
//!
//! Not here: the formats of files (`wanfarm_weights`).

mod arranged;
mod calibration;
mod experts;
mod find;
mod fit;
mod footprint;
mod info;
mod layout;
mod loose;
mod loras;
mod model_folder;
mod one_file;
mod parts;
mod presets;
mod recognise;
mod tiny;

pub use calibration::{calibration_file, write_calibration};
pub use experts::named as named_expert;
pub use find::find;
pub use layout::detect;
pub use model_folder::{ModelFolder, completed, open};
pub use parts::Parts;
pub use presets::{NEGATIVE_PROMPT, of_width};
pub use recognise::{is_model, recognise};
pub use tiny::{FOLDER as TINY_VAES, TinyFile};
