//! The directory of a `.pth` file: a zip archive of uncompressed storages and a pickle that describes the tensors in
//! them. Nothing in it is executed, and nothing is unpacked: tensors are read where they lie.

use std::collections::HashMap;
use std::io::Cursor;
use std::ops::Range;

use zip::{CompressionMethod, ZipArchive};

use crate::encoding::Encoding;
use crate::entry::Entry;
use crate::error::FileError;
use crate::mapped::MappedFile;
use crate::pickle::{PickledTensor, state_dict};

/// The first bytes of every zip archive that holds something.
pub(crate) const MAGIC: &[u8] = b"PK\x03\x04";
/// Larger descriptions than any state dict has are refused unread: a tensor takes two hundred bytes of one. In memory one takes
/// up to a hundred times as much.
const MAX_PICKLE: usize = 4 << 20;

/// Every tensor of the file.
pub(crate) fn entries(file: &MappedFile) -> Result<Vec<(String, Entry)>, FileError> {
    let archive = archive(file)?;
    let (pickle, folder) = archive
        .iter()
        .find_map(|(name, bytes)| Some((bytes.clone(), name.strip_suffix("data.pkl")?)))
        .ok_or_else(|| file.corrupt("the archive holds no data.pkl"))?;
    if let Some(order) = archive.get(&format!("{folder}byteorder"))
        && file.bytes(order.clone())? != b"little"
    {
        return Err(file.corrupt("its numbers are not little-endian"));
    }
    if pickle.len() > MAX_PICKLE {
        return Err(file.corrupt(format!("its pickle has {} bytes, more than any state dict needs", pickle.len())));
    }
    let tensors = state_dict(file.bytes(pickle)?).map_err(|why| file.corrupt(why))?;
    let entry = |(name, tensor): (&str, PickledTensor<'_>)| {
        let storage = archive.get(&format!("{folder}data/{}", tensor.storage));
        let entry = entry(&tensor, storage).map_err(|why| file.corrupt(format!("{name}: {why}")))?;
        Ok((name.to_owned(), entry))
    };
    tensors.into_iter().map(entry).collect()
}

/// Name → bytes of every file in the archive.
fn archive(file: &MappedFile) -> Result<HashMap<String, Range<usize>>, FileError> {
    let bytes = file.bytes(0..file.len())?;
    if bytes.starts_with(b"\x80") {
        return Err(FileError::Unsupported {
            what: format!("{}, a .pth of PyTorch before 1.6,", file.path().display()),
            why: "load it with PyTorch and save it again, or use a safetensors file".to_owned(),
        });
    }
    let broken = |e: zip::result::ZipError| {
        file.corrupt(format!(
            "it cannot be read as a zip archive, whose directory is at its end: {e}; download it again"
        ))
    };
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(broken)?;
    let mut files = HashMap::new();
    for index in 0..archive.len() {
        let entry = archive.by_index_raw(index).map_err(broken)?;
        let name = entry.name().map_err(broken)?.into_owned();
        if entry.compression() != CompressionMethod::Stored || entry.encrypted() {
            return Err(file.corrupt(format!("{name} in it is compressed or encrypted, which PyTorch never does")));
        }
        let range = entry.data_start().and_then(|start| Some(start..start.checked_add(entry.size())?));
        let range = range.and_then(|r| Some(usize::try_from(r.start).ok()?..usize::try_from(r.end).ok()?));
        let range = range.ok_or_else(|| file.corrupt(format!("{name} in it lies nowhere")))?;
        file.bytes(range.clone())?;
        files.insert(name, range);
    }
    Ok(files)
}

/// Where a tensor lies, if it is dense and inside its storage.
fn entry(tensor: &PickledTensor<'_>, storage: Option<&Range<usize>>) -> Result<Entry, String> {
    let storage = storage.ok_or_else(|| format!("there is no storage {:?}", tensor.storage))?;
    let size = tensor.dtype.bitsize() as u64 / 8;
    if Some(storage.len() as u64) != tensor.storage_len.checked_mul(size) {
        return Err(format!("its storage has {} bytes for {} elements", storage.len(), tensor.storage_len));
    }
    let dense = row_major(&tensor.shape).ok_or("its shape is too large")?;
    let same = |((dim, stride), dense): ((&u64, &u64), &u64)| *dim <= 1 || stride == dense;
    if tensor.stride.len() != dense.len() || !tensor.shape.iter().zip(&tensor.stride).zip(&dense).all(same) {
        return Err(format!(
            "shape {:?} with strides {:?} is not dense; save it with .contiguous()",
            tensor.shape, tensor.stride
        ));
    }
    let count = tensor.shape.iter().try_fold(1u64, |count, &dim| count.checked_mul(dim));
    let end = count.and_then(|count| tensor.offset.checked_add(count)).filter(|end| *end <= tensor.storage_len);
    let end =
        end.ok_or_else(|| format!("{:?} elements from {} do not fit its storage", tensor.shape, tensor.offset))?;
    // Inside the storage, whose length in bytes is an address: no overflow from here.
    let bytes = storage.start + (tensor.offset * size) as usize..storage.start + (end * size) as usize;
    let shape = tensor.shape.iter().map(|&dim| dim as usize).collect();
    Entry::new(Encoding::Plain(tensor.dtype), shape, bytes)
}

/// Strides of a dense tensor.
fn row_major(shape: &[u64]) -> Option<Vec<u64>> {
    let mut strides = vec![1u64; shape.len()];
    for i in (1..shape.len()).rev() {
        strides[i - 1] = strides[i].checked_mul(shape[i].max(1))?;
    }
    Some(strides)
}

#[cfg(test)]
mod tests {
    use super::*;
    use safetensors::Dtype;

    fn tensor(shape: &[u64], stride: &[u64]) -> PickledTensor<'static> {
        let (shape, stride) = (shape.to_vec(), stride.to_vec());
        PickledTensor { dtype: Dtype::F32, storage: "0", storage_len: 8, offset: 2, shape, stride }
    }

    #[test]
    fn lies_inside_its_storage() {
        let found = entry(&tensor(&[2, 3], &[3, 1]), Some(&(100..132))).unwrap();
        assert_eq!((found.shape, found.bytes), (vec![2, 3], 108..132));
        assert_eq!(entry(&tensor(&[], &[]), Some(&(100..132))).unwrap().bytes, 108..112);
        // A stride over one element or none says nothing.
        assert!(entry(&tensor(&[3, 1], &[1, 77]), Some(&(100..132))).is_ok());
        for (tensor, storage, word) in [
            (tensor(&[3, 2], &[1, 3]), Some(100..132), "strides [1, 3]"),
            (tensor(&[2, 4], &[4, 1]), Some(100..132), "do not fit"),
            (tensor(&[u64::MAX, u64::MAX], &[u64::MAX, 1]), Some(100..132), "do not fit"),
            (tensor(&[2, 3], &[3, 1]), Some(100..130), "30 bytes for 8 elements"),
            (tensor(&[2, 3], &[3, 1]), None, "no storage \"0\""),
        ] {
            let error = entry(&tensor, storage.as_ref()).unwrap_err();
            assert!(error.contains(word), "{error} does not say {word}");
        }
    }

    #[test]
    fn a_pickle_that_would_fill_the_memory_is_refused_unread() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.pth");
        let refused = |bytes: usize| {
            let mut archive = zip::ZipWriter::new(std::fs::File::create(&path).unwrap());
            let stored = zip::write::SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
            archive.start_file("m/data.pkl", stored).unwrap();
            std::io::Write::write_all(&mut archive, &vec![0; bytes]).unwrap();
            archive.finish().unwrap();
            entries(&MappedFile::open(&path).unwrap()).unwrap_err().to_string()
        };
        assert!(refused(4 << 20).contains("instruction 0x00"));
        assert!(refused((4 << 20) + 1).contains("4194305 bytes, more than any state dict needs"));
    }
}
