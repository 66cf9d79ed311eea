// In which language a manifest is written.

const TYPES = { toml: "application/toml", yaml: "application/yaml", json: "application/json" };

/** By the file's ending, else by how the text begins. */
export function kindOf(name, text) {
  const ending = name?.split(".").pop().toLowerCase();
  if (ending === "toml" || ending === "json") return ending;
  if (ending === "yaml" || ending === "yml") return "yaml";
  const first = text.split("\n").find((line) => line.trim() && !line.trim().startsWith("#")) || "";
  if (first.trim().startsWith("{")) return "json";
  return /^\s*[\w-]+\s*:/.test(first) ? "yaml" : "toml";
}

export function typeOf(kind) {
  return TYPES[kind];
}
