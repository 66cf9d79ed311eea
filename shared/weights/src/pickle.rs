//! Reads the pickle of a state dict: a dict from names to tensors, and nothing else.
//!
//! A pickle is a program. This interpreter knows the instructions that describe tensors, calls nothing, imports
//! nothing, and refuses every other instruction and name: what it can do is describe tensors. Its memory is
//! proportional to the length of the pickle, for no value is copied that has no bound, and nothing in it recurses.

use std::collections::HashMap;

use safetensors::Dtype;

use crate::entry::MAX_RANK;

/// A longer name than any tensor or storage has.
const MAX_NAME: usize = 1024;

/// A tensor as the pickle describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PickledTensor<'a> {
    pub dtype: Dtype,
    /// Name of the storage's file in the archive.
    pub storage: &'a str,
    /// Elements in the storage.
    pub storage_len: u64,
    /// First element of the tensor in its storage.
    pub offset: u64,
    pub shape: Vec<u64>,
    pub stride: Vec<u64>,
}

/// Reads the tensors of a state dict in order.
///
/// # Errors
/// What is wrong, or not the pickle of a plain state dict, and where.
pub(crate) fn state_dict(bytes: &[u8]) -> Result<Vec<(&str, PickledTensor<'_>)>, String> {
    let mut machine = Machine { bytes, ..Machine::default() };
    loop {
        let at = machine.at;
        match machine.step() {
            Ok(None) => {}
            Ok(Some(result)) => return machine.tensors_of(result),
            Err(why) => return Err(format!("{why} (byte {at} of the pickle)")),
        }
    }
}

/// The only things that a state dict's pickle may refer to.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Global {
    RebuildTensor,
    OrderedDict,
    Storage(Dtype),
}

impl Global {
    fn named(module: &str, name: &str) -> Result<Self, String> {
        let storage = match (module, name) {
            ("torch._utils", "_rebuild_tensor_v2") => return Ok(Self::RebuildTensor),
            ("collections", "OrderedDict") => return Ok(Self::OrderedDict),
            ("torch", storage) => storage,
            _ => "",
        };
        Ok(Self::Storage(match storage {
            "FloatStorage" => Dtype::F32,
            "HalfStorage" => Dtype::F16,
            "BFloat16Storage" => Dtype::BF16,
            "DoubleStorage" => Dtype::F64,
            "LongStorage" => Dtype::I64,
            "IntStorage" => Dtype::I32,
            "ByteStorage" => Dtype::U8,
            "BoolStorage" => Dtype::BOOL,
            _ => return Err(format!("it refers to {module}.{name}, which no state dict needs; nothing was executed")),
        }))
    }
}

/// Compound values are indices, so that values are small and never own one another.
#[derive(Debug, Clone, Copy)]
enum Value<'a> {
    Nothing,
    Flag,
    Int(i64),
    Text(&'a str),
    Global(Global),
    Tuple(usize),
    Dict(usize),
    Storage(usize),
    Tensor(usize),
    Mark,
}

#[derive(Debug, Default)]
struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    stack: Vec<Value<'a>>,
    memo: HashMap<u32, Value<'a>>,
    tuples: Vec<Vec<Value<'a>>>,
    dicts: Vec<Vec<(Value<'a>, Value<'a>)>>,
    storages: Vec<(Dtype, &'a str, u64)>,
    tensors: Vec<PickledTensor<'a>>,
}

impl<'a> Machine<'a> {
    /// One instruction; gives the result at the last.
    fn step(&mut self) -> Result<Option<Value<'a>>, String> {
        match self.byte()? {
            0x80 => match self.byte()? {
                2 | 3 => {}
                version => return Err(format!("pickle protocol {version} is not one that PyTorch writes")),
            },
            b'.' => return self.pop().map(Some),
            b'(' => self.stack.push(Value::Mark),
            b'N' => self.stack.push(Value::Nothing),
            0x88 | 0x89 => self.stack.push(Value::Flag),
            b'K' => self.int(1)?,
            b'M' => self.int(2)?,
            b'J' => {
                let value = self.number(4)? as u32;
                self.stack.push(Value::Int(i64::from(value.cast_signed())));
            }
            0x8a => {
                let length = usize::from(self.byte()?);
                let negative = self.bytes.get(self.at + length.max(1) - 1).is_some_and(|last| *last >= 0x80);
                if length > 8 || (length > 0 && negative) {
                    return Err("a number is negative or too large".to_owned());
                }
                self.int(length)?;
            }
            b'X' => {
                let length = self.number(4)? as usize;
                let text = std::str::from_utf8(self.take(length)?).map_err(|e| e.to_string())?;
                self.stack.push(Value::Text(text));
            }
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.stack.push(Value::Global(Global::named(module, name)?));
            }
            b'q' => self.put(1)?,
            b'r' => self.put(4)?,
            b'h' => self.get(1)?,
            b'j' => self.get(4)?,
            b')' => self.tuple(Vec::new()),
            b't' => {
                let items = self.since_mark()?;
                self.tuple(items);
            }
            code @ 0x85..=0x87 => {
                let count = usize::from(code - 0x84);
                let first = self.stack.len().checked_sub(count).ok_or("its stack is empty")?;
                let items = self.stack.split_off(first);
                self.tuple(items);
            }
            b'}' => self.dict(),
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.top_dict()?.push((key, value));
            }
            b'u' => {
                let items = self.since_mark()?;
                let (pairs, []) = items.as_chunks::<2>() else { return Err("a key has no value".to_owned()) };
                self.top_dict()?.extend(pairs.iter().map(|&[key, value]| (key, value)));
            }
            // Attributes of a dict, such as the versions of a module's parts: they describe no tensor.
            b'b' => {
                self.pop()?;
                self.top_dict()?;
            }
            b'Q' => self.storage()?,
            b'R' => self.reduce()?,
            code => return Err(format!("instruction 0x{code:02x} has no place in a state dict; nothing was executed")),
        }
        Ok(None)
    }

    /// A reference to a storage: ("storage", its type, its file, its device, its length).
    fn storage(&mut self) -> Result<(), String> {
        let Value::Tuple(tuple) = self.pop()? else { return Err("a storage is not named by a tuple".to_owned()) };
        let storage = match self.tuples[tuple].as_slice() {
            [
                Value::Text("storage"),
                Value::Global(Global::Storage(dtype)),
                Value::Text(key),
                _,
                Value::Int(length),
            ] if key.len() <= MAX_NAME => {
                (*dtype, *key, u64::try_from(*length).map_err(|_| "a storage has a negative length")?)
            }
            _ => return Err("a storage is described in an unknown way".to_owned()),
        };
        self.stack.push(Value::Storage(self.storages.len()));
        self.storages.push(storage);
        Ok(())
    }

    /// The two calls that a state dict needs, done by us.
    fn reduce(&mut self) -> Result<(), String> {
        let (Value::Tuple(args), Value::Global(callee)) = (self.pop()?, self.pop()?) else {
            return Err("it calls something that is not a name".to_owned());
        };
        match (callee, self.tuples[args].as_slice()) {
            (Global::OrderedDict, []) => self.dict(),
            (
                Global::RebuildTensor,
                &[Value::Storage(storage), Value::Int(offset), Value::Tuple(shape), Value::Tuple(stride), _, _],
            ) => {
                let (dtype, key, storage_len) = self.storages[storage];
                let tensor = PickledTensor {
                    dtype,
                    storage: key,
                    storage_len,
                    offset: u64::try_from(offset).map_err(|_| "a tensor begins before its storage")?,
                    shape: self.dims(shape)?,
                    stride: self.dims(stride)?,
                };
                self.stack.push(Value::Tensor(self.tensors.len()));
                self.tensors.push(tensor);
            }
            _ => return Err("it calls something with arguments that no state dict has".to_owned()),
        }
        Ok(())
    }

    fn dims(&self, tuple: usize) -> Result<Vec<u64>, String> {
        let dim = |value: &Value<'_>| match value {
            Value::Int(dim) => u64::try_from(*dim).ok(),
            _ => None,
        };
        let tuple = &self.tuples[tuple];
        if tuple.len() > MAX_RANK {
            return Err(format!("a shape of {} dimensions", tuple.len()));
        }
        let dims = tuple.iter().map(dim).collect::<Option<_>>();
        dims.ok_or_else(|| "a shape is not made of whole numbers".to_owned())
    }

    fn tensors_of(&self, result: Value<'a>) -> Result<Vec<(&'a str, PickledTensor<'a>)>, String> {
        let Value::Dict(dict) = result else { return Err("it holds no dict of tensors".to_owned()) };
        let tensor = |pair: &(Value<'a>, Value<'a>)| match *pair {
            (Value::Text(name), _) if name.len() > MAX_NAME => Err(format!("a name of {} bytes", name.len())),
            (Value::Text(name), Value::Tensor(tensor)) => Ok((name, self.tensors[tensor].clone())),
            (Value::Text(name), _) => Err(format!("{name:?} is not a tensor: this is no plain state dict")),
            _ => Err("a key is not text: this is no plain state dict".to_owned()),
        };
        self.dicts[dict].iter().map(tensor).collect()
    }

    fn tuple(&mut self, items: Vec<Value<'a>>) {
        self.stack.push(Value::Tuple(self.tuples.len()));
        self.tuples.push(items);
    }

    fn dict(&mut self) {
        self.stack.push(Value::Dict(self.dicts.len()));
        self.dicts.push(Vec::new());
    }

    fn top_dict(&mut self) -> Result<&mut Vec<(Value<'a>, Value<'a>)>, String> {
        match self.stack.last() {
            Some(Value::Dict(dict)) => Ok(&mut self.dicts[*dict]),
            _ => Err("it fills something that is not a dict".to_owned()),
        }
    }

    fn since_mark(&mut self) -> Result<Vec<Value<'a>>, String> {
        let mark = self.stack.iter().rposition(|value| matches!(value, Value::Mark)).ok_or("a mark is missing")?;
        let items = self.stack.split_off(mark + 1);
        self.stack.pop();
        Ok(items)
    }

    fn pop(&mut self) -> Result<Value<'a>, String> {
        self.stack.pop().ok_or_else(|| "its stack is empty".to_owned())
    }

    fn put(&mut self, width: usize) -> Result<(), String> {
        let key = self.number(width)? as u32;
        let value = *self.stack.last().ok_or("its stack is empty")?;
        self.memo.insert(key, value);
        Ok(())
    }

    fn get(&mut self, width: usize) -> Result<(), String> {
        let key = self.number(width)? as u32;
        let value = *self.memo.get(&key).ok_or_else(|| format!("it remembers no value {key}"))?;
        self.stack.push(value);
        Ok(())
    }

    fn int(&mut self, width: usize) -> Result<(), String> {
        let value = i64::try_from(self.number(width)?).map_err(|_| "a number is too large")?;
        self.stack.push(Value::Int(value));
        Ok(())
    }

    /// An unsigned little-endian number of at most 8 bytes.
    fn number(&mut self, width: usize) -> Result<u64, String> {
        Ok(self.take(width)?.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte)))
    }

    fn byte(&mut self) -> Result<u8, String> {
        Ok(self.take(1)?[0])
    }

    fn line(&mut self) -> Result<&'a str, String> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let length = rest.iter().position(|&byte| byte == b'\n').ok_or("a name does not end")?;
        let line = std::str::from_utf8(&rest[..length]).map_err(|e| e.to_string())?;
        self.at += length + 1;
        Ok(line)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], String> {
        let end = self.at.checked_add(length).ok_or("a length is too large")?;
        let taken = self.bytes.get(self.at..end).ok_or("it ends in the middle of an instruction")?;
        self.at = end;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pickle of one tensor "w" of type `storage`, shape (2, 3), stride (3, 1), as PyTorch writes it.
    fn pickle(storage: &str) -> Vec<u8> {
        let mut bytes =
            b"\x80\x02}q\x00(X\x01\x00\x00\x00wq\x01ctorch._utils\n_rebuild_tensor_v2\nq\x02((X\x07\x00\x00\x00storage"
                .to_vec();
        bytes.extend(format!("c{storage}\n").replace('.', "\n").as_bytes());
        bytes.extend(b"X\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x08tQK\x02K\x02K\x03\x86K\x03K\x01\x86\x89ccollections\nOrderedDict\n)RtRu.");
        bytes
    }

    #[test]
    fn describes_a_tensor() {
        let (shape, stride) = (vec![2, 3], vec![3, 1]);
        let want = PickledTensor { dtype: Dtype::BF16, storage: "0", storage_len: 8, offset: 2, shape, stride };
        assert_eq!(state_dict(&pickle("torch.BFloat16Storage")), Ok(vec![("w", want)]));
    }

    #[test]
    fn calls_nothing() {
        let error = state_dict(&pickle("os.system")).unwrap_err();
        assert!(error.contains("os.system") && error.contains("nothing was executed"), "{error}");
        for (program, word) in [
            (&b"\x80\x02cposix\nsystem\nX\x02\x00\x00\x00ls\x85R."[..], "posix.system"),
            (b"\x80\x04.", "protocol 4"),
            (b"\x80\x02]q\x00.", "0x5d"),
            (b"\x80\x02ctorch\nload\n.", "torch.load"),
            (b"\x80\x02K\x01.", "no dict of tensors"),
            (b"\x80\x02}X\x05\x00\x00\x00epochK\x01s.", "\"epoch\" is not a tensor"),
            (b"\x80\x02}h\x07.", "remembers no value 7"),
            (b"\x80\x02R", "stack is empty"),
            (b"\x80\x02X\xff\xff\xff\xffw", "ends in the middle"),
            (b"\x80\x02}u.", "a mark is missing"),
            (b"\x80\x02\x8a\x01\xff.", "negative"),
        ] {
            let error = state_dict(program).unwrap_err();
            assert!(error.contains(word), "{error} does not say {word}");
        }
    }

    #[test]
    fn what_is_named_again_and_again_is_not_copied_again_and_again() {
        let tuple = |items: usize| [&b"("[..], &b"K\x01".repeat(items), b"t"].concat();
        let tensor = |shape: &[u8], key: &[u8]| {
            let storage = [b"(X\x07\0\0\0storagectorch\nFloatStorage\n", key, b"X\x03\0\0\0cpuK\x01tQ"].concat();
            [b"ctorch._utils\n_rebuild_tensor_v2\n(", &storage[..], b"K\0", shape, shape, b"\x89NtR"].concat()
        };
        let text = |length: usize| [b"X", &(length as u32).to_le_bytes()[..], &b"k".repeat(length)].concat();
        let dict = |name: &[u8], tensor: &[u8]| state_dict(&[b"\x80\x02}", name, tensor, b"s."].concat()).map(|_| ());
        assert_eq!(dict(&text(9), &tensor(&tuple(8), &text(9))), Ok(()));
        for (name, dims, key, word) in [
            (9, 9, 9, "a shape of 9 dimensions"),
            (9, 100_000, 9, "a shape of 100000 dimensions"),
            (2000, 1, 9, "a name of 2000 bytes"),
            (9, 1, 2000, "a storage is described in an unknown way"),
        ] {
            let error = dict(&text(name), &tensor(&tuple(dims), &text(key))).unwrap_err();
            assert!(error.contains(word), "{error} does not say {word}");
        }
    }

    #[test]
    fn every_truncation_is_an_error() {
        let whole = pickle("torch.FloatStorage");
        for length in 0..whole.len() {
            assert!(state_dict(&whole[..length]).is_err(), "{length} bytes");
        }
    }
}
