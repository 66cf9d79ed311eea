// A video's settings as a manifest that renders it again.

const text = (value) => JSON.stringify(String(value));

/** TOML of one video with every setting that decides its bytes. */
export function manifestOf(spec, name) {
  const lines = ["[job]", `name = ${text(name)}`, `model = ${text(spec.model)}`, `formats = [${spec.formats.map((format) => text(format)).join(", ")}]`, "", "[[video]]", `prompt = ${text(spec.prompt)}`, `negative = ${text(spec.negative)}`];
  for (const key of ["seed", "width", "height", "frames"]) lines.push(`${key} = ${spec[key]}`);
  lines.push(`fps = ${typeof spec.fps === "number" ? spec.fps : text(spec.fps)}`, `steps = ${spec.steps}`, `shift = ${float(spec.shift)}`, `solver = ${text(spec.solver)}`);
  const { guidance } = spec;
  lines.push(`guidance = { high = ${float(guidance.high)}, low = ${float(guidance.low)} }`);
  if (spec.nag) lines.push(`nag = ${table(spec.nag)}`);
  if (spec.decode?.tiny) lines.push(`decode = "tiny"`);
  if (spec.cache && spec.cache.kind !== "none") lines.push(`cache = ${table(spec.cache)}`);
  const loras = spec.loras || [];
  // Names, not paths: where the files lie is known where the manifest was written.
  if (loras.length) lines.push(`loras = [${loras.map(({ name: file, strength, expert }) => table({ path: file, strength: float(strength), expert })).join(", ")}]`);
  if (spec.overlap) lines.push(`# The first ${spec.overlap} frames were those of the clip whose BLAKE3 is ${spec.image}.`);
  else if (spec.image) lines.push(`# The first frame was the picture whose BLAKE3 is ${spec.image}.`);
  if (spec.last_image) lines.push(`# The last frame was the picture whose BLAKE3 is ${spec.last_image}.`);
  if (spec.video) lines.push(`# It was made from the clip whose BLAKE3 is ${spec.video}, by strength = ${spec.strength}.`);
  return `${lines.join("\n")}\n`;
}

/** A number that TOML reads as one with a fraction. */
function float(number) {
  return { toString: () => (Number.isInteger(number) ? `${number}.0` : String(number)) };
}

/** An inline table of plain values. What is no plain value, a model's own curve, is the model's to say. */
function table(values) {
  const pairs = Object.entries(values).filter(([, value]) => value != null && !Array.isArray(value) && (typeof value !== "object" || Object.hasOwn(value, "toString")));
  return `{ ${pairs.map(([key, value]) => `${key} = ${typeof value === "string" ? text(value) : value}`).join(", ")} }`;
}
