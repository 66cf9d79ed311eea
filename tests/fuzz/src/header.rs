//! Files of safetensors around a header, so that a fuzzer changes nothing but that: the data behind it are as long as it says.

use std::path::PathBuf;

use serde_json::{Map, Value, json};
use wanfarm_weights::{Encoding, WeightFiles};

/// Most bytes of data. What promises more is cut off.
const MAX_DATA: u64 = 1 << 20;
/// Every byte of the data. As a number of any type it is finite.
const BYTE: u8 = 0x3f;

/// The file of this header; `more`: bytes behind its end, or missing there.
pub fn file(header: &[u8], more: i8) -> Vec<u8> {
    let header_json = serde_json::from_slice::<Map<String, Value>>(header).unwrap_or_default();
    let end = |tensor: &Value| tensor.get("data_offsets")?.get(1)?.as_u64();
    let data = header_json.values().filter_map(end).max().unwrap_or(0).min(MAX_DATA) as usize;
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header);
    file.resize((file.len() + data).saturating_add_signed(more.into()), BYTE);
    file
}

/// A header of these tensors, one after the other: name, type, shape, bytes.
pub fn of<'a>(tensors: impl IntoIterator<Item = (&'a str, &'a str, Vec<usize>, usize)>) -> Vec<u8> {
    let (mut header, mut at) = (Map::new(), 0);
    for (name, dtype, shape, bytes) in tensors {
        header.insert(name.to_owned(), json!({"dtype": dtype, "shape": shape, "data_offsets": [at, at + bytes]}));
        at += bytes;
    }
    Value::from(header).to_string().into_bytes()
}

/// A header of f32 tensors of these names and shapes.
pub fn f32<'a>(tensors: impl IntoIterator<Item = (&'a str, &'a [usize])>) -> Vec<u8> {
    let bytes = |shape: &[usize]| 4 * shape.iter().product::<usize>();
    of(tensors.into_iter().map(|(name, shape)| (name, "F32", shape.to_vec(), bytes(shape))))
}

/// A header of the tensors that a committed file holds, under their official names.
pub fn of_file(path: PathBuf) -> Vec<u8> {
    let weights = WeightFiles::open(&[path]).expect("a committed file can be read");
    let tensor = |name| {
        let (_, entry) = weights.entry(name).expect("it is named");
        let Encoding::Plain(dtype) = entry.encoding else { panic!("{name} is packed") };
        (name, format!("{dtype:?}"), entry.shape.clone(), entry.bytes.len())
    };
    let tensors: Vec<_> = weights.names().map(tensor).collect();
    of(tensors.iter().map(|(name, dtype, shape, bytes)| (*name, dtype.as_str(), shape.clone(), *bytes)))
}
