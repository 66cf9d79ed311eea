//! A `config.json` beside the weights, read key by key. It says what shapes cannot, such as the number of heads.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use wanfarm_types::FrameRate;

use crate::error::FileError;
use crate::mistaken::mistaken;

/// Longer JSON files than any model has are refused unread.
const MAX_LENGTH: u64 = 64 << 20;
/// Larger counts than any network has are refused, before anything is sized by them.
pub(crate) const MAX_COUNT: u64 = 1 << 24;

/// The keys of one JSON file; empty when there is no file.
#[derive(Debug, Clone, Default)]
pub struct ConfigFile {
    path: PathBuf,
    values: Map<String, Value>,
}

impl ConfigFile {
    /// Reads a file that must exist.
    ///
    /// # Errors
    /// It cannot be read, or is not a JSON object.
    pub fn read(path: &Path) -> Result<Self, FileError> {
        let length = std::fs::metadata(path).map_err(|e| FileError::io(path, e))?.len();
        if length > MAX_LENGTH {
            return Err(FileError::config(path, format!("{length} bytes are too many for a configuration")));
        }
        let text = std::fs::read(path).map_err(|e| FileError::io(path, e))?;
        if let Some(mistaken) = mistaken(path, &text) {
            return Err(mistaken);
        }
        let values = serde_json::from_slice(&text).map_err(|e| FileError::config(path, e.to_string()))?;
        Ok(Self { path: path.to_owned(), values })
    }

    /// Reads a file, or gives an empty one where there is none.
    ///
    /// # Errors
    /// It exists, and cannot be read or is not a JSON object.
    pub fn read_if_there(path: &Path) -> Result<Self, FileError> {
        if path.is_file() { Self::read(path) } else { Ok(Self { path: path.to_owned(), values: Map::new() }) }
    }

    /// Where it is, or would be.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The value of a key; `null` counts as absent.
    pub fn value(&self, key: &str) -> Option<&Value> {
        self.values.get(key).filter(|value| !value.is_null())
    }

    /// The first of these keys that is there, as a positive count.
    ///
    /// # Errors
    /// It is not a positive whole number of a sensible size.
    pub fn count(&self, keys: &[&str]) -> Result<Option<usize>, FileError> {
        self.first(keys, "a positive whole number", |value| {
            value.as_u64().filter(|n| (1..=MAX_COUNT).contains(n)).map(|n| n as usize)
        })
    }

    /// The first of these keys that is there, as a finite number.
    ///
    /// # Errors
    /// It is not a number.
    pub fn number(&self, keys: &[&str]) -> Result<Option<f64>, FileError> {
        self.first(keys, "a finite number", |value| value.as_f64().filter(|n| n.is_finite()))
    }

    /// A key as a frame rate.
    ///
    /// # Errors
    /// It is none.
    pub fn frame_rate(&self, key: &str) -> Result<Option<FrameRate>, FileError> {
        let read = |value: &Value| {
            serde_json::from_value(value.clone()).map_err(|error| self.wrong(format!("{key}: {error}")))
        };
        self.value(key).map(read).transpose()
    }

    /// A key as yes or no.
    ///
    /// # Errors
    /// It is neither.
    pub fn flag(&self, key: &str) -> Result<Option<bool>, FileError> {
        self.first(&[key], "true or false", Value::as_bool)
    }

    /// A key as text.
    ///
    /// # Errors
    /// It is not text.
    pub fn text(&self, key: &str) -> Result<Option<String>, FileError> {
        self.first(&[key], "text", |value| value.as_str().map(str::to_owned))
    }

    /// A key as a list of finite numbers.
    ///
    /// # Errors
    /// It is not such a list.
    pub fn numbers(&self, key: &str) -> Result<Option<Vec<f64>>, FileError> {
        self.first(&[key], "a list of finite numbers", |value| {
            value.as_array()?.iter().map(|n| n.as_f64().filter(|n| n.is_finite())).collect()
        })
    }

    /// An error about a key of this file.
    pub fn wrong(&self, why: impl Into<String>) -> FileError {
        FileError::config(&self.path, why)
    }

    fn first<T>(
        &self,
        keys: &[&str],
        wanted: &str,
        read: impl Fn(&Value) -> Option<T>,
    ) -> Result<Option<T>, FileError> {
        let Some((key, value)) = keys.iter().find_map(|key| Some((key, self.value(key)?))) else { return Ok(None) };
        read(value).map(Some).ok_or_else(|| self.wrong(format!("{key} = {value} is not {wanted}")))
    }
}
