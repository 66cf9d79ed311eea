//! The directory of a GGUF file: where each tensor lies and how it is encoded.
//!
//! Of the metadata only the alignment and the shapes that ComfyUI-GGUF puts there are read: what a network is, its
//! tensors tell.
//!
//! Source: ggml `docs/gguf.md`; city96/ComfyUI-GGUF@795e451 `loader.py` `get_orig_shape`.

use std::collections::{BTreeMap, HashMap};

use safetensors::Dtype;

use crate::encoding::{Blocks, Encoding};
use crate::entry::{Entry, MAX_RANK};
use crate::error::FileError;
use crate::mapped::MappedFile;

/// The first four bytes of every GGUF file.
pub(crate) const MAGIC: &[u8] = b"GGUF";
/// Tensors begin at multiples of this where the file does not say otherwise.
const ALIGNMENT: usize = 32;
/// Arrays in arrays are refused beyond this depth.
const MAX_DEPTH: u32 = 4;
/// Before the name of a tensor that was stored in another shape than it has.
const SHAPE: &str = "comfy.gguf.orig_shape.";

/// Every tensor of the file.
pub(crate) fn entries(file: &MappedFile) -> Result<Vec<(String, Entry)>, FileError> {
    if !file.starts_with(MAGIC) {
        return Err(file.corrupt("it does not begin as a GGUF file does; download it again"));
    }
    let mut reader = Reader { file, at: MAGIC.len() };
    let version = reader.u32()?;
    if !(2..=3).contains(&version) {
        return Err(FileError::Unsupported {
            what: format!("{}: GGUF version {version}", file.path().display()),
            why: "versions 2 and 3, little endian, are read; convert the model anew".to_owned(),
        });
    }
    let (tensors, pairs) = (reader.u64()?, reader.u64()?);
    let mut metadata = Metadata::default();
    for _ in 0..pairs {
        let key = reader.string()?;
        let kind = reader.u32()?;
        metadata.pair(&mut reader, &key, kind)?;
    }
    let mut described = Vec::new();
    for _ in 0..tensors {
        described.push(Described::read(&mut reader)?);
    }
    let start = reader.at.div_ceil(metadata.alignment) * metadata.alignment;
    refuse_unknown(file, &described)?;
    described.into_iter().map(|tensor| tensor.entry(file, start, &metadata)).collect()
}

/// What is read of the metadata.
struct Metadata {
    alignment: usize,
    shapes: HashMap<String, Vec<usize>>,
}

impl Default for Metadata {
    fn default() -> Self {
        Self { alignment: ALIGNMENT, shapes: HashMap::new() }
    }
}

impl Metadata {
    fn pair(&mut self, reader: &mut Reader<'_>, key: &str, kind: u32) -> Result<(), FileError> {
        if key == "general.alignment" && kind == 4 {
            self.alignment = reader.u32()? as usize;
            if self.alignment == 0 || !self.alignment.is_multiple_of(8) {
                let why = format!("an alignment of {} bytes, which is no multiple of 8", self.alignment);
                return Err(reader.file.corrupt(why));
            }
            return Ok(());
        }
        let Some(name) = key.strip_prefix(SHAPE).filter(|_| kind == 9) else { return reader.skip(kind, 0) };
        let (of, count) = (reader.u32()?, reader.u64()?);
        if of != 5 || count > MAX_RANK as u64 {
            return Err(reader.file.corrupt(format!("{key} is no shape")));
        }
        let shape = (0..count).map(|_| Ok(reader.u32()? as usize)).collect::<Result<_, FileError>>()?;
        self.shapes.insert(name.to_owned(), shape);
        Ok(())
    }
}

/// A tensor as the directory describes it.
struct Described {
    name: String,
    shape: Vec<usize>,
    kind: u32,
    offset: u64,
}

impl Described {
    fn read(reader: &mut Reader<'_>) -> Result<Self, FileError> {
        let name = reader.string()?;
        let rank = reader.u32()?;
        if rank as usize > MAX_RANK {
            return Err(reader.file.corrupt(format!("{name} has {rank} dimensions")));
        }
        let dim = |reader: &mut Reader<'_>| {
            let dim = reader.u64()?;
            usize::try_from(dim).map_err(|_| reader.file.corrupt(format!("{name} has a dimension of {dim}")))
        };
        let mut shape = (0..rank).map(|_| dim(reader)).collect::<Result<Vec<_>, _>>()?;
        // GGUF counts dimensions from the innermost.
        shape.reverse();
        Ok(Self { shape, kind: reader.u32()?, offset: reader.u64()?, name })
    }

    fn entry(self, file: &MappedFile, start: usize, metadata: &Metadata) -> Result<(String, Entry), FileError> {
        let Self { name, shape, kind, offset } = self;
        let wrong = |why: &str| file.corrupt(format!("{name}, of shape {shape:?}: {why}"));
        let encoding = encoding(kind).ok_or_else(|| wrong("its type is not known"))?;
        let count = volume(&shape).ok_or_else(|| wrong("it is too large"))?;
        if shape.last().is_some_and(|row| !row.is_multiple_of(encoding.block())) {
            return Err(wrong(&format!("its rows are no whole blocks of {}", encoding.block())));
        }
        let length = encoding.bytes(count).ok_or_else(|| wrong("it is too large"))?;
        let first = usize::try_from(offset).ok().and_then(|offset| offset.checked_add(start));
        let range = first.and_then(|first| Some(first..first.checked_add(length)?));
        let bytes = range.ok_or_else(|| wrong("it lies nowhere"))?;
        if !offset.is_multiple_of(metadata.alignment as u64) {
            return Err(wrong("it does not begin where the file's alignment says"));
        }
        file.bytes(bytes.clone())?;
        let original = metadata.shapes.get(&name).filter(|original| volume(original) == Some(count));
        let shape = original.cloned().unwrap_or_else(|| shape.clone());
        let entry = Entry::new(encoding, shape, bytes).map_err(|why| wrong(&why))?;
        Ok((name, entry))
    }
}

/// Numbers in a tensor of this shape, if they can be counted.
fn volume(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1usize, |count, &dim| count.checked_mul(dim))
}

/// Names every type that cannot be read, with the tensors that have it.
fn refuse_unknown(file: &MappedFile, tensors: &[Described]) -> Result<(), FileError> {
    let mut unknown: BTreeMap<u32, Vec<&str>> = BTreeMap::new();
    for tensor in tensors.iter().filter(|tensor| encoding(tensor.kind).is_none()) {
        unknown.entry(tensor.kind).or_default().push(&tensor.name);
    }
    if unknown.is_empty() {
        return Ok(());
    }
    let types = unknown.iter().map(|(kind, names)| {
        let others = if names.len() > 1 { format!(" and {} more", names.len() - 1) } else { String::new() };
        format!("{} ({}{others})", type_name(*kind), names[0])
    });
    Err(FileError::Unsupported {
        what: format!("{}: GGUF tensors of type {}", file.path().display(), types.collect::<Vec<_>>().join(", ")),
        why: "use a file in Q8_0, Q6_K, Q5_K, Q4_K, Q3_K, Q2_K, Q5_1, Q5_0, Q4_1, Q4_0, F16, BF16 or F32".to_owned(),
    })
}

/// Source: ggml `include/ggml.h` `enum ggml_type`.
fn encoding(kind: u32) -> Option<Encoding> {
    Some(match kind {
        0 => Encoding::Plain(Dtype::F32),
        1 => Encoding::Plain(Dtype::F16),
        30 => Encoding::Plain(Dtype::BF16),
        2 => Encoding::Blocks(Blocks::Q4_0),
        3 => Encoding::Blocks(Blocks::Q4_1),
        6 => Encoding::Blocks(Blocks::Q5_0),
        7 => Encoding::Blocks(Blocks::Q5_1),
        8 => Encoding::Blocks(Blocks::Q8_0),
        10 => Encoding::Blocks(Blocks::Q2K),
        11 => Encoding::Blocks(Blocks::Q3K),
        12 => Encoding::Blocks(Blocks::Q4K),
        13 => Encoding::Blocks(Blocks::Q5K),
        14 => Encoding::Blocks(Blocks::Q6K),
        _ => return None,
    })
}

/// The format's name of a type that cannot be read.
fn type_name(kind: u32) -> String {
    let name = match kind {
        9 => "Q8_1",
        15 => "Q8_K",
        16 => "IQ2_XXS",
        17 => "IQ2_XS",
        18 => "IQ3_XXS",
        19 => "IQ1_S",
        20 => "IQ4_NL",
        21 => "IQ3_S",
        22 => "IQ2_S",
        23 => "IQ4_XS",
        24 => "I8",
        25 => "I16",
        26 => "I32",
        27 => "I64",
        28 => "F64",
        29 => "IQ1_M",
        34 => "TQ1_0",
        35 => "TQ2_0",
        39 => "MXFP4",
        40 => "NVFP4",
        _ => return format!("number {kind}"),
    };
    name.to_owned()
}

/// Reads the file from front to back; whatever it counts, it has to find in the file.
struct Reader<'a> {
    file: &'a MappedFile,
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: u64) -> Result<&'a [u8], FileError> {
        let end = usize::try_from(count).ok().and_then(|count| self.at.checked_add(count));
        let end = end.ok_or_else(|| self.file.corrupt("it counts more bytes than can be addressed"))?;
        let bytes = self.file.bytes(self.at..end)?;
        self.at = end;
        Ok(bytes)
    }

    fn u32(&mut self) -> Result<u32, FileError> {
        Ok(self.take(4)?.iter().rev().fold(0, |value, &byte| value << 8 | u32::from(byte)))
    }

    fn u64(&mut self) -> Result<u64, FileError> {
        Ok(self.take(8)?.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte)))
    }

    fn string(&mut self) -> Result<String, FileError> {
        let length = self.u64()?;
        Ok(String::from_utf8_lossy(self.take(length)?).into_owned())
    }

    /// Passes over a value of the metadata.
    fn skip(&mut self, kind: u32, depth: u32) -> Result<(), FileError> {
        let size = match kind {
            0 | 1 | 7 => 1,
            2 | 3 => 2,
            4..=6 => 4,
            10..=12 => 8,
            8 => self.u64()?,
            9 if depth < MAX_DEPTH => {
                let (of, count) = (self.u32()?, self.u64()?);
                return (0..count).try_for_each(|_| self.skip(of, depth + 1));
            }
            _ => return Err(self.file.corrupt(format!("its metadata holds a value of the unknown type {kind}"))),
        };
        self.take(size).map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// A file with one tensor `t` of 64 numbers in two rows, of a type and at an offset, and some metadata.
    fn bytes(kind: u32, offset: u64, data: usize) -> Vec<u8> {
        let string = |text: &str| [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat();
        let mut file = [MAGIC, &3u32.to_le_bytes(), &1u64.to_le_bytes(), &2u64.to_le_bytes()].concat();
        // A list of strings to pass over, then an alignment.
        file.extend([string("words"), 9u32.to_le_bytes().to_vec(), 8u32.to_le_bytes().to_vec()].concat());
        file.extend([2u64.to_le_bytes().to_vec(), string("one"), string("two")].concat());
        file.extend([string("general.alignment"), [4u32.to_le_bytes(), 64u32.to_le_bytes()].concat()].concat());
        file.extend([string("t"), 2u32.to_le_bytes().to_vec()].concat());
        file.extend([32u64.to_le_bytes(), 2u64.to_le_bytes()].concat());
        file.extend([kind.to_le_bytes().to_vec(), offset.to_le_bytes().to_vec()].concat());
        file.resize(file.len().div_ceil(64) * 64 + data, 7);
        file
    }

    fn read(bytes: &[u8]) -> Result<Vec<(String, Entry)>, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.gguf");
        fs::write(&path, bytes).unwrap();
        entries(&MappedFile::open(&path).unwrap()).map_err(|error| error.to_string())
    }

    #[test]
    fn tensors_lie_behind_the_directory() {
        let file = bytes(8, 64, 64 + 68);
        let [(name, entry)] = &read(&file).unwrap()[..] else { panic!("one tensor") };
        assert_eq!((name.as_str(), entry.encoding), ("t", Encoding::Blocks(Blocks::Q8_0)));
        assert_eq!((entry.shape.as_slice(), entry.bytes.clone()), (&[2, 32][..], file.len() - 68..file.len()));
    }

    #[test]
    fn a_shape_that_was_stored_otherwise_is_taken_where_it_holds_as_much() {
        let string = |text: &str| [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat();
        let with = |shape: &[u32]| {
            let mut file = [MAGIC, &3u32.to_le_bytes(), &1u64.to_le_bytes(), &1u64.to_le_bytes()].concat();
            file.extend([string("comfy.gguf.orig_shape.t"), [9u32, 5].map(u32::to_le_bytes).concat()].concat());
            file.extend((shape.len() as u64).to_le_bytes());
            shape.iter().for_each(|dim| file.extend(dim.to_le_bytes()));
            file.extend([string("t"), 1u32.to_le_bytes().to_vec(), 0u64.to_le_bytes().to_vec()].concat());
            file.extend([0u32.to_le_bytes().to_vec(), 0u64.to_le_bytes().to_vec()].concat());
            file.resize(file.len().div_ceil(32) * 32, 0);
            read(&file).map(|tensors| tensors[0].1.shape.clone())
        };
        assert_eq!(with(&[2, 0]), Ok(vec![2, 0]));
        // Four times 2^16 are 2^64 numbers, which is not none.
        assert_eq!(with(&[65536; 4]), Ok(vec![0]));
        let error = with(&[0, 65536, 65536, 65536, 65536]).unwrap_err();
        assert!(error.contains("too large"), "{error}");
    }

    #[test]
    fn unknown_types_are_named_with_their_tensors() {
        let message = read(&bytes(23, 0, 64)).unwrap_err();
        assert!(message.contains("IQ4_XS (t)") && message.contains("Q4_K"), "{message}");
        assert!(read(&bytes(77, 0, 64)).unwrap_err().contains("number 77 (t)"));
    }

    #[test]
    fn damaged_files_are_refused() {
        for (file, word) in [
            (bytes(8, 0, 67), "truncated: 1 of"),
            (bytes(8, 32, 200), "alignment"),
            (bytes(8, u64::MAX - 63, 200), "nowhere"),
            (bytes(12, 0, 200), "no whole blocks of 256"),
            ([MAGIC, &3u32.to_le_bytes(), &[255; 16]].concat(), "truncated"),
            ([MAGIC, &1u32.to_le_bytes(), &[0; 16]].concat(), "version 1"),
            (b"\0GUF\x03\0\0\0".to_vec(), "does not begin as a GGUF file does"),
        ] {
            let message = read(&file).unwrap_err();
            assert!(message.contains(word), "{message} does not say {word}");
        }
        // Cut anywhere, it is an error and no panic.
        let file = bytes(8, 0, 68);
        assert!((4..file.len()).all(|end| read(&file[..end]).is_err()));
    }
}
