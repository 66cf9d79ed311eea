// Numbers, times and names as people read them.

const dateTime = new Intl.DateTimeFormat(undefined, { weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const dayOnly = new Intl.DateTimeFormat(undefined, { weekday: "long" });
const shortDay = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const collator = new Intl.Collator(undefined, { numeric: true });
const grouped = new Intl.NumberFormat("en");

/** A time of day, 24 hours: a farm's night has no a.m. */
export function clock(date) {
  return `${String(date.getHours()).padStart(2, "0")}:${String(date.getMinutes()).padStart(2, "0")}`;
}

/** `today`, `tomorrow`, the weekday within a week, else the date. */
export function day(date, now = new Date()) {
  const days = Math.round((startOfDay(date) - startOfDay(now)) / 86_400_000);
  if (days === 0) return "today";
  if (days === 1) return "tomorrow";
  if (days === -1) return "yesterday";
  return Math.abs(days) < 7 ? dayOnly.format(date) : shortDay.format(date);
}

/** A moment, short: the clock alone on the same day. */
export function moment(text, now = new Date()) {
  if (!text) return null;
  const date = new Date(text);
  const named = day(date, now);
  return named === "today" ? clock(date) : `${named} ${clock(date)}`;
}

/** A moment in full, for titles. */
export function fullMoment(text) {
  return text ? dateTime.format(new Date(text)) : null;
}

function startOfDay(date) {
  return new Date(date.getFullYear(), date.getMonth(), date.getDate()).getTime();
}

/** A stretch of time in its two largest units. */
export function duration(seconds) {
  if (seconds == null || !Number.isFinite(seconds)) return "–";
  if (seconds < 10) return `${trim(seconds)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return pair(whole, 60, "min", 1, "s", whole >= 600);
  if (whole < 86_400) return pair(whole, 3600, "h", 60, "min", false);
  return pair(whole, 86_400, "d", 3600, "h", false);
}

function pair(seconds, unit, name, small, smallName, coarse) {
  let rounded = seconds;
  if (coarse) rounded = Math.round(seconds / unit) * unit;
  else rounded = Math.round(seconds / small) * small;
  const big = Math.floor(rounded / unit);
  const rest = Math.round((rounded - big * unit) / small);
  return rest ? `${big} ${name} ${rest} ${smallName}` : `${big} ${name}`;
}

/** How long ago, in words. */
export function ago(text, now = Date.now()) {
  const seconds = Math.max(0, (now - new Date(text).getTime()) / 1000);
  return seconds < 2 ? "now" : `${duration(seconds < 60 ? Math.round(seconds) : seconds)} ago`;
}

/** Two to three digits. */
export function trim(number) {
  if (number == null) return "–";
  if (number === 0) return "0";
  if (number < 1) return String(Number(number.toPrecision(2)));
  return number < 10 ? String(Math.round(number * 10) / 10) : String(Math.round(number));
}

/** A count with separators. */
export function count(number) {
  return grouped.format(number);
}

/** `1 video`, `2 videos`. */
export function plural(number, one, many = `${one}s`) {
  return `${count(number)} ${number === 1 ? one : many}`;
}

/** Bytes in binary units, as the terminal writes them. */
export function bytes(number) {
  if (number == null) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let value = number;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  const digits = unit === 0 || value >= 10 ? 0 : 1;
  return `${value.toFixed(digits)} ${units[unit]}`;
}

/** A share as a percentage. */
export function percent(share) {
  if (share == null) return "–";
  const value = share * 100;
  return `${value > 0 && value < 1 ? "<1" : Math.floor(value)} %`;
}

/** Half of the numbers are below it. */
export function median(numbers) {
  if (!numbers.length) return null;
  const sorted = [...numbers].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** The last part of a path. */
export function fileName(file) {
  return file.split(/[\\/]/).pop();
}

/** An encoding as people write it. */
export function encodingName(encoding) {
  return encoding.replace(/_/g, " ").toUpperCase();
}

/** Orders names as people count: `studio-2` before `studio-10`. */
export function byName(a, b) {
  return collator.compare(a, b);
}
