//! What mlx-video's converter calls the tensors of the official files.

/// The converter's name of an official tensor.
pub(crate) fn rename(name: &str) -> String {
    let pairs = [
        ("patch_embedding.", "patch_embedding_proj."),
        ("text_embedding.0.", "text_embedding_0."),
        ("text_embedding.2.", "text_embedding_1."),
        ("time_embedding.0.", "time_embedding_0."),
        ("time_embedding.2.", "time_embedding_1."),
        ("time_projection.1.", "time_projection."),
        (".ffn.0.", ".ffn.fc1."),
        (".ffn.2.", ".ffn.fc2."),
        (".ffn.gate.0.", ".ffn.gate_proj."),
    ];
    pairs.iter().fold(name.to_owned(), |name, (from, to)| name.replace(from, to))
}
