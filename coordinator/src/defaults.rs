//! Options that have defaults of one's own: in the environment, and in a file.

/// Their long names, which are the file's keys, with the variables that stand for them.
pub(crate) const KEYS: [(&str, &str); 8] = [
    ("coordinator", "WANFARM_COORDINATOR"),
    ("models", "WANFARM_MODELS"),
    ("output", "WANFARM_OUTPUT"),
    ("memory", "WANFARM_MEMORY"),
    ("threads", "WANFARM_THREADS"),
    ("device", "WANFARM_DEVICE"),
    ("dtype", "WANFARM_DTYPE"),
    ("color", "WANFARM_COLOR"),
];
/// The variable for another place of the file; empty: none is read.
pub(crate) const PLACE: &str = "WANFARM_CONFIG";
