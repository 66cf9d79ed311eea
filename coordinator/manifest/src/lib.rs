//! Manifests: TOML, YAML or JSON in; videos as a coordinator takes them, or every fault at once, out.
//!
//! `source` → `front` → `node` is text to tree; `keys` says what the tree may hold; `values`, `cache`, `nag`, `loras`, `settings`,
//! `series`, `template`, `chains`, `links` and `draft` read it; `check` adds what depends on the model, `notes` remarks; `fault` and `render`
//! tell what is wrong; `files` is where that lies which they name.
//! Deliberately not here: submitting, uploading images, resolving defaults (`wanfarm_types::VideoRequest::resolve`).

mod about;
mod again;
mod cache;
pub mod chains;
mod chance;
mod check;
pub mod claims;
pub mod clip;
mod draft;
mod drafting;
mod embedded;
mod fault;
mod files;
pub mod film;
pub mod first_frame;
mod front;
mod images;
mod job;
mod keys;
mod line;
mod links;
mod loras;
mod nag;
mod names;
mod node;
mod notes;
mod pairs;
pub mod plan;
mod read;
mod render;
mod schema;
mod series;
mod settings;
mod source;
mod starts;
mod submission;
mod swept;
mod template;
#[cfg(test)]
mod tests;
mod toml_text;
mod twins;
mod typed;
mod values;
mod whole;

pub use again::again;
pub use chance::Draw;
pub use embedded::settings_in;
pub use fault::{Fault, Faults, Related};
pub use files::{GivenFile, LocalFile};
pub use images::ImageFile;
pub use job::{Submission, Taken};
pub use keys::DEFAULT_PRIORITY;
pub use line::one_line;
pub use loras::LoraFile;
pub use names::{
    LAST_REPORT, REPORT, component_fault, output_fault, page_of, path_of, paths_of, report_names, report_of,
    sidecar_of, slug,
};
pub use read::Manifest;
pub use schema::schema;
pub use source::{Position, Syntax};
pub use submission::{check_count, check_priority, check_submission, complete};
pub use twins::Twins;
pub use typed::{Typed, TypedKey, typed_keys};
pub use wanfarm_image::pack;
pub use {fault::near, keys::solver, names::shell_fault};
