// What tells the videos of a job apart: the names of the lists that made them, and the place of each among their values.

/** The names of all lists, in the order of the manifest. */
export function sweptNames(videos) {
  const names = new Set();
  for (const video of videos) for (const name in video.swept) names.add(name);
  return [...names];
}

/** The names that rows and columns stand for: those asked for, or else the first two of which there are several values. */
export function chosenAxes(videos, names, rows, columns) {
  const varied = names.filter((name) => new Set(videos.map((video) => video.swept?.[name])).size > 1);
  const first = names.includes(rows) ? rows : (varied.find((name) => name !== columns) ?? names[0]);
  if (columns === "-") return [first, null];
  const second = names.includes(columns) && columns !== first ? columns : (varied.find((name) => name !== first) ?? null);
  return [first, second];
}

/** Videos by the values of two names: the values that occur, in the order of the videos, and the videos of each pair. */
export function matrixOf(videos, order, row, column) {
  const rows = new Map();
  const columns = new Map();
  const cells = new Map();
  for (const index of [...order].sort((a, b) => a - b)) {
    const { swept = {} } = videos[index];
    const key = `${place(rows, swept[row])} ${place(columns, column == null ? undefined : swept[column])}`;
    if (cells.has(key)) cells.get(key).push(index);
    else cells.set(key, [index]);
  }
  return { rows: [...rows.keys()], columns: [...columns.keys()], cells };
}

function place(values, value) {
  if (!values.has(value)) values.set(value, values.size);
  return values.get(value);
}
