//! The manifest that a finished file holds: in an mp4 file its description, in a PNG file a text of that name. Only what the
//! farm writes is understood; of a file no more is read than leads to it.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use mp4_atom::{Atom, Ilst, Moov};
use wanfarm_image::{PNG_SETTINGS, mp4_index};

/// Said of a file that holds none.
pub(crate) const NO_SETTINGS: &str = "it holds no settings, or another program wrote it";

/// Largest text.
const MAX_TEXT: u64 = 1 << 20;

/// The text in a file, by its extension; `None` where a file of that kind holds none.
///
/// # Errors
/// It is no file, cannot be read, or is not what its extension says.
pub(crate) fn read(path: &Path) -> Option<io::Result<Option<String>>> {
    let extension = path.extension()?.to_str()?.to_ascii_lowercase();
    let of: fn(File) -> io::Result<Option<String>> = match extension.as_str() {
        "mp4" => mp4,
        "png" => png,
        _ => return None,
    };
    let file = std::fs::metadata(path).and_then(|about| match about.is_file() {
        true => File::open(path),
        // A pipe would be waited for.
        false => Err(wrong("it is not a regular file")),
    });
    Some(file.and_then(of))
}

/// The manifest in a finished file.
///
/// # Errors
/// It cannot be read, or holds none.
pub fn settings_in(path: &Path) -> io::Result<String> {
    read(path).ok_or_else(|| wrong("settings are in mp4 and PNG files only"))??.ok_or_else(|| wrong(NO_SETTINGS))
}

fn wrong(why: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.into())
}

fn mp4(mut file: File) -> io::Result<Option<String>> {
    let index = mp4_index(&mut file).map_err(wrong)?;
    // That of another program may hold what is not understood.
    let index = Moov::decode_body(&mut index.as_slice()).ok();
    let items = index.and_then(|index| index.udta?.meta?.get::<Ilst>().cloned());
    Ok(items.and_then(|items| items.desc).map(|described| described.text))
}

fn png(file: File) -> io::Result<Option<String>> {
    let mut file = io::BufReader::new(file);
    let mut signature = [0; 8];
    file.read_exact(&mut signature)?;
    if signature != *b"\x89PNG\r\n\x1a\n" {
        return Err(wrong("it is no PNG file"));
    }
    loop {
        let mut head = [0; 8];
        file.read_exact(&mut head)?;
        let [a, b, c, d, kind @ ..] = head;
        let size = u32::from_be_bytes([a, b, c, d]);
        match &kind {
            b"IDAT" | b"IEND" => return Ok(None),
            b"iTXt" if u64::from(size) <= MAX_TEXT => {
                let mut data = vec![0; size as usize];
                file.read_exact(&mut data)?;
                if let Some(text) = text_of(&data) {
                    return Ok(Some(text.to_owned()));
                }
                file.seek_relative(4)?;
            }
            _ => file.seek_relative(i64::from(size) + 4)?,
        }
    }
}

/// The text of a chunk of this keyword that is not compressed: keyword, 0, two flags, language, 0, keyword translated, 0, text.
fn text_of(chunk: &[u8]) -> Option<&str> {
    let rest = chunk.strip_prefix(PNG_SETTINGS.as_bytes())?.strip_prefix(&[0, 0, 0])?;
    let mut parts = rest.splitn(3, |byte| *byte == 0);
    std::str::from_utf8(parts.nth(2)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_film_or_picture_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            path
        };
        assert!(read(Path::new("night.toml")).is_none());
        assert!(read(&file("a.PNG", b"no picture")).unwrap().is_err());
        assert!(read(&file("a.mp4", b"\0\0\0\x04ftypisom")).unwrap().is_err());
        assert!(read(&file("b.mp4", b"\0\0\0\x10ftypisomisom")).unwrap().is_err());
        // A box that claims to be longer than everything.
        assert!(read(&file("c.mp4", b"\0\0\0\x01ftyp\xff\xff\xff\xff\xff\xff\xff\xff")).unwrap().is_err());
        assert!(read(folder.path().join("none.mp4").as_path()).unwrap().is_err());
        std::fs::create_dir(folder.path().join("folder.mp4")).unwrap();
        assert!(read(&folder.path().join("folder.mp4")).unwrap().is_err());
        assert!(read(&file("half.png", b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR")).unwrap().is_err());
    }
}
