//! `mag_ratios.json` in a model folder: the MagCache curve that was measured with its weights.
//!
//! Not here: what it means (`wanfarm_types::calibration`) and measuring it (`calibrate`).

use std::fs;
use std::path::{Path, PathBuf};

use wanfarm_types::{Calibration, OwnCurve};

use wanfarm_weights::FileError;

/// A thousand steps take a tenth of it.
const MAX_LENGTH: u64 = 1 << 20;

/// Where the file is, or would be.
pub fn calibration_file(folder: &Path) -> PathBuf {
    folder.join("mag_ratios.json")
}

/// Reads the curve of a folder; `None` where none was measured.
///
/// # Errors
/// The file cannot be read, or contradicts itself.
pub(super) fn read(folder: &Path) -> Result<Option<(Calibration, OwnCurve)>, FileError> {
    let path = calibration_file(folder);
    if !path.is_file() {
        return Ok(None);
    }
    let wrong = |why: String| FileError::config(&path, format!("{why}; calibrate again, or remove the file"));
    let length = fs::metadata(&path).map_err(|e| FileError::io(&path, e))?.len();
    if length > MAX_LENGTH {
        return Err(wrong(format!("{length} bytes are too many for a curve")));
    }
    let text = fs::read(&path).map_err(|e| FileError::io(&path, e))?;
    let calibration: Calibration = serde_json::from_slice(&text).map_err(|e| wrong(e.to_string()))?;
    let curve = calibration.curve().map_err(|e| wrong(e.to_string()))?;
    Ok(Some((calibration, curve)))
}

/// Writes a curve, whole or not at all.
///
/// # Errors
/// It contradicts itself, or cannot be written.
pub fn write_calibration(calibration: &Calibration, path: &Path) -> Result<(), FileError> {
    calibration.curve().map_err(|e| FileError::config(path, e.to_string()))?;
    let mut json = serde_json::to_vec_pretty(calibration).map_err(|e| FileError::config(path, e.to_string()))?;
    json.push(b'\n');
    wanfarm_durable::write(path, &path.with_extension("json.new"), &json).map_err(|e| FileError::io(path, e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use wanfarm_types::{CalibratedStage, Expert, Guidance, SolverKind};

    fn calibration() -> Calibration {
        Calibration {
            version: Calibration::VERSION,
            steps: 3,
            shift: 8.0,
            solver: SolverKind::UniPc,
            guidance: Guidance { high: 4.0, low: 3.0 },
            width: 64,
            height: 64,
            frames: 17,
            image: false,
            device: "cpu".into(),
            dtype: "f32".into(),
            prompts: vec!["a cat".into()],
            files: Vec::new(),
            stages: vec![CalibratedStage { expert: Expert::Single, cond: vec![0.99, 0.98], uncond: vec![0.97, 0.96] }],
        }
    }

    #[test]
    fn what_is_written_is_read_and_leaves_no_draft() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read(folder.path()).unwrap(), None);
        let path = calibration_file(folder.path());
        write_calibration(&calibration(), &path).unwrap();
        let (read, curve) = read(folder.path()).unwrap().unwrap();
        assert_eq!((read, curve.ratios), (calibration(), vec![[0.99, 0.97], [0.98, 0.96]]));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        let error = write_calibration(&calibration(), &folder.path().join("nowhere/m.json")).unwrap_err();
        assert!(error.to_string().contains("nowhere"), "{error}");
    }

    #[test]
    fn what_is_no_curve_is_refused_with_the_file() {
        let refused = |text: &str| {
            let folder = tempfile::tempdir().unwrap();
            fs::write(calibration_file(folder.path()), text).unwrap();
            let error = read(folder.path()).unwrap_err().to_string();
            assert!(error.contains("mag_ratios.json") && error.contains("calibrate again"), "{error}");
            error
        };
        let json = serde_json::to_string(&calibration()).unwrap();
        assert!(refused(&json.replace("0.98", "-0.98")).contains("ratio 1 is -0.98"));
        assert!(refused(&json.replace("0.98", "1e999")).contains("number out of range"));
        assert!(refused(&json.replace("0.98", "null")).contains("f64"));
        assert!(refused(&json.replace("\"steps\":3", "\"steps\":40")).contains("2 ratios where 39"));
        assert!(refused(&json.replace("\"shift\"", "\"shfit\"")).contains("shfit"));
        assert!(refused(&json[..json.len() - 3]).contains("EOF"));
        assert!(refused(&" ".repeat(2 << 20)).contains("too many"));
    }
}
