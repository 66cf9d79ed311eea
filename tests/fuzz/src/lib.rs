//! What several fuzz targets need: files to read, what always holds of what was read, and inputs to begin with.

pub mod farm;
pub mod header;
pub mod held;
pub mod limit;
pub mod models;
pub mod parts;
pub mod scratch;
pub mod seeds;
