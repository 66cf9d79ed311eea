//! How many inputs a matrix has, told by other tensors of its network: a packed row does not tell.

/// The inputs of a matrix by its official name, where `rows` of other tensors tell them. Packing leaves rows as they are.
pub(super) fn of(name: &str, rows: impl Fn(&str) -> Option<usize>) -> Option<usize> {
    let parts: Vec<&str> = name.split('.').collect();
    match &parts[..] {
        // A transformer's.
        ["blocks", i, "ffn", "2", _] => rows(&format!("blocks.{i}.ffn.0.weight")),
        ["blocks", _, "self_attn" | "cross_attn", ..]
        | ["blocks", _, "ffn", "0", _]
        | ["text_embedding" | "time_embedding", "2", _]
        | ["time_projection", "1", _]
        | ["head", "head", _] => rows("patch_embedding.bias"),
        // A text encoder's.
        ["blocks", i, "attn", "o", _] => rows(&format!("blocks.{i}.attn.q.weight")),
        ["blocks", i, "ffn", "fc2", _] => rows(&format!("blocks.{i}.ffn.fc1.weight")),
        ["token_embedding", _] | ["blocks", _, "attn" | "ffn", ..] => rows("norm.weight"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::transformer::parameters;
    use wanfarm_types::Transformer;

    #[test]
    fn they_are_those_of_the_network() {
        let params = parameters(&Transformer { num_layers: 2, ..Transformer::T2V_A14B });
        let shapes: BTreeMap<_, _> = params.into_iter().map(|param| (param.name, param.shape)).collect();
        let rows = |name: &str| shapes.get(name).map(|shape| shape[0]);
        let mut untold = Vec::new();
        for (name, shape) in shapes.iter().filter(|(_, shape)| shape.len() == 2) {
            match of(name, rows) {
                Some(inputs) => assert_eq!(inputs, shape[1], "{name}"),
                None => untold.push(name.as_str()),
            }
        }
        assert_eq!(untold, ["text_embedding.0.weight", "time_embedding.0.weight"]);
    }

    #[test]
    fn they_are_those_of_the_text_encoder() {
        let header: BTreeMap<String, Vec<usize>> =
            serde_json::from_str(include_str!("../../tests/data/umt5-xxl-encoder.json")).unwrap();
        let rows = |name: &str| header.get(name).map(|shape| shape[0]);
        for (name, shape) in header.iter().filter(|(name, shape)| shape.len() == 2 && !name.contains("pos_embedding")) {
            assert_eq!(of(name, rows), Some(shape[1]), "{name}");
        }
        // Another encoder, whose attention is not as wide as its rows.
        let rows = |name: &str| Some(if name == "norm.weight" { 32 } else { 64 });
        assert_eq!(["q", "o"].map(|name| of(&format!("blocks.0.attn.{name}.weight"), rows)), [Some(32), Some(64)]);
    }
}
