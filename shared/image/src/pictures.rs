//! Pictures in a zip file, one after the other, and how a folder of them becomes such a file: the same pictures, the same
//! bytes.

use std::cmp::Ordering;
use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use zip::write::{SimpleFileOptions, ZipWriter};
use zip::{CompressionMethod, DateTime, ZipArchive};

/// Endings of what is taken for a picture.
const ENDINGS: [&str; 4] = ["png", "jpg", "jpeg", "webp"];
/// Pictures of a clip.
const MAX_PICTURES: usize = 1 << 16;
/// Bytes of one.
const MAX_BYTES: u64 = 256 << 20;

/// The pictures of a zip file, by their names.
pub struct Pictures<R> {
    archive: ZipArchive<R>,
    /// Those that are to come.
    names: std::vec::IntoIter<String>,
}

impl<R: Read + Seek> Pictures<R> {
    /// Opens a zip file.
    ///
    /// # Errors
    /// Why it is none, or has no pictures.
    pub fn open(file: R) -> Result<Self, String> {
        let archive = ZipArchive::new(file).map_err(|error| format!("the zip file is broken: {error}"))?;
        // A name that cannot be read is no picture's.
        let names = archive.file_names().flatten().filter(|name| is_picture(name));
        let mut names: Vec<String> = names.map(|name| name.into_owned()).collect();
        check_count(names.len())?;
        names.sort_by(|one, other| by_number(one, other));
        Ok(Self { archive, names: names.into_iter() })
    }

    /// How many are still to come.
    pub fn left(&self) -> usize {
        self.names.len()
    }

    /// Name and bytes of the next one.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub fn next_file(&mut self) -> Result<Option<(String, Vec<u8>)>, String> {
        let Some(name) = self.names.next() else { return Ok(None) };
        let broken = |why: String| format!("{name} in the zip file cannot be read: {why}");
        let entry = self.archive.by_name(&name).map_err(|error| broken(error.to_string()))?;
        let mut bytes = Vec::new();
        entry.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|error| broken(error.to_string()))?;
        if bytes.len() as u64 > MAX_BYTES {
            return Err(broken(format!("it is larger than {} MiB", MAX_BYTES >> 20)));
        }
        Ok(Some((name, bytes)))
    }
}

/// The pictures of a folder, by their names.
///
/// # Errors
/// It cannot be read, or has none, or too many.
pub fn pictures_of(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(|error| error.to_string())? {
        let entry = entry.map_err(|error| error.to_string())?;
        let name = entry.file_name();
        if let Some(name) = name.to_str().filter(|name| is_picture(name)) {
            names.push(name.to_owned());
        }
    }
    check_count(names.len())?;
    names.sort_by(|one, other| by_number(one, other));
    Ok(names.into_iter().map(|name| folder.join(name)).collect())
}

/// Writes the pictures of a folder as a zip file.
///
/// # Errors
/// As of [`pictures_of`], and what reading or writing fails with.
pub fn pack(folder: &Path, to: impl Write) -> io::Result<()> {
    let paths = pictures_of(folder).map_err(io::Error::other)?;
    let read = |path: PathBuf| -> io::Result<(String, Vec<u8>)> {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        let mut bytes = Vec::new();
        File::open(&path)?.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > MAX_BYTES {
            return Err(io::Error::other(format!("{name} is larger than {} MiB", MAX_BYTES >> 20)));
        }
        Ok((name, bytes))
    };
    pack_all(paths.into_iter().map(read), to)
}

/// Writes pictures, each with its name, as a zip file: stored as they are, for they are no smaller otherwise, and without
/// times.
///
/// # Errors
/// Those of the pictures, and what writing fails with.
pub fn pack_all(pictures: impl Iterator<Item = io::Result<(String, Vec<u8>)>>, to: impl Write) -> io::Result<()> {
    let mut archive = ZipWriter::new_stream(to);
    for picture in pictures {
        let (name, bytes) = picture?;
        let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
        let options = stored.last_modified_time(DateTime::default()).unix_permissions(0o644);
        archive.start_file(name, options)?;
        archive.write_all(&bytes)?;
    }
    archive.finish()?.into_inner().flush()
}

fn check_count(count: usize) -> Result<(), String> {
    match count {
        0 => Err(format!("there are no pictures in it: {}", ENDINGS.join(", "))),
        1..=MAX_PICTURES => Ok(()),
        _ => Err(format!("it has {count} pictures, more than {MAX_PICTURES}")),
    }
}

/// What hides, and what macOS puts beside the files of an archive, is none.
fn is_picture(name: &str) -> bool {
    let hidden = |part: &str| part.starts_with('.') || part == "__MACOSX";
    let ending = name.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase());
    !name.split('/').any(hidden) && ending.is_some_and(|ending| ENDINGS.contains(&&*ending))
}

/// By name, with numbers in it by their value: `9.png` before `10.png`.
fn by_number(one: &str, other: &str) -> Ordering {
    let (mut left, mut right) = (one, other);
    loop {
        let digits = |text: &str| text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        match (digits(left), digits(right)) {
            (of_left @ 1.., of_right @ 1..) => {
                let (a, b) = (left[..of_left].trim_start_matches('0'), right[..of_right].trim_start_matches('0'));
                let order = a.len().cmp(&b.len()).then_with(|| a.cmp(b));
                if order.is_ne() {
                    return order;
                }
                (left, right) = (&left[of_left..], &right[of_right..]);
            }
            _ => {
                let (mut a, mut b) = (left.chars(), right.chars());
                match (a.next(), b.next()) {
                    // Names that differ only in zeros still have one order.
                    (None, None) => return one.cmp(other),
                    (first, second) if first != second => return first.cmp(&second),
                    _ => (left, right) = (a.as_str(), b.as_str()),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    #[test]
    fn numbers_in_names_count_by_their_value() {
        let mut names = ["b.png", "f10.png", "f9.png", "f09.png", "a2b1.png", "a2b.png", "a10.png", "f.png"];
        names.sort_by(|one, other| by_number(one, other));
        assert_eq!(names, ["a2b.png", "a2b1.png", "a10.png", "b.png", "f.png", "f09.png", "f9.png", "f10.png"]);
    }

    #[test]
    fn a_folder_of_pictures_is_one_file_always_the_same() {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in [("10.png", "ten"), ("9.PNG", "nine"), (".hidden.png", "no"), ("notes.txt", "no")] {
            fs::write(folder.path().join(name), bytes).unwrap();
        }
        let packed = || {
            let mut bytes = Vec::new();
            pack(folder.path(), &mut bytes).unwrap();
            bytes
        };
        let bytes = packed();
        fs::write(folder.path().join("9.PNG"), "nine").unwrap();
        assert_eq!(packed(), bytes, "whenever it was written");
        let mut pictures = Pictures::open(Cursor::new(&bytes)).unwrap();
        assert_eq!(pictures.left(), 2);
        let mut next = || pictures.next_file().unwrap();
        assert_eq!(next(), Some(("9.PNG".into(), b"nine".to_vec())));
        assert_eq!(next(), Some(("10.png".into(), b"ten".to_vec())));
        assert_eq!(next(), None);
    }

    #[test]
    fn a_picture_that_is_too_large_is_refused_and_not_cut_short() {
        let folder = tempfile::tempdir().unwrap();
        File::create(folder.path().join("large.png")).unwrap().set_len(MAX_BYTES + 1).unwrap();
        let refused = pack(folder.path(), io::sink()).unwrap_err().to_string();
        assert_eq!(refused, "large.png is larger than 256 MiB");
    }

    #[test]
    fn what_has_no_pictures_says_so() {
        let folder = tempfile::tempdir().unwrap();
        assert!(pictures_of(folder.path()).unwrap_err().contains("no pictures in it: png"));
        assert!(pack(folder.path(), io::sink()).is_err());
        assert!(Pictures::open(Cursor::new(b"PK\x03\x04")).err().unwrap().contains("broken"));
    }

    #[test]
    fn what_an_archive_has_beside_its_pictures_is_left_alone() {
        for (name, is) in [
            ("shot/0001.png", true),
            ("shot/0001.JPG", true),
            ("__MACOSX/shot/._0001.png", false),
            ("shot/.hidden/1.png", false),
            ("png", false),
            ("shot.png/notes.txt", false),
        ] {
            assert_eq!(is_picture(name), is, "{name}");
        }
    }
}
