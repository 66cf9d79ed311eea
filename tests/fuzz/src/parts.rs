//! Inputs that are made of several parts: each a byte that says what it is, two with its length, and its bytes.

/// The parts, as far as there are bytes.
pub fn of(mut data: &[u8]) -> Vec<(u8, &[u8])> {
    let mut parts = Vec::new();
    while let [kind, low, high, rest @ ..] = data {
        let length = usize::from(u16::from_le_bytes([*low, *high])).min(rest.len());
        let (part, rest) = rest.split_at(length);
        parts.push((*kind, part));
        data = rest;
    }
    parts
}

/// The input of these parts; what is longer than a part can be is cut.
pub fn joined(parts: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let mut data = Vec::new();
    for (kind, part) in parts {
        let length = u16::try_from(part.len()).unwrap_or(u16::MAX);
        data.push(*kind);
        data.extend(length.to_le_bytes());
        data.extend(&part[..usize::from(length)]);
    }
    data
}
