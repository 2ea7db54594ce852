// Numbers and times as people read them.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const moment = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });

export const NOTHING = "–";

/** @param {number} value */
export function count(value) {
  return whole.format(value);
}

/** @param {number | null} part 0 to 1 */
export function percent(part) {
  if (part === null) return NOTHING;
  if (part > 0 && part < 0.001) return "<0.1%";
  // Not rounded up to all: 99.96% is not everything.
  const shown = part < 1 ? Math.min(part * 100, 99.9) : 100;
  return `${shown.toFixed(shown === 100 || shown === 0 ? 0 : 1)}%`;
}

/** @param {number | null} ms */
export function duration(ms) {
  if (ms === null) return NOTHING;
  if (ms >= 10_000) return `${Math.round(ms / 1000)} s`;
  if (ms >= 1000) return `${(ms / 1000).toFixed(1)} s`;
  return ms >= 10 ? `${Math.round(ms)} ms` : `${Number(ms.toPrecision(2))} ms`;
}

/** @param {number} value */
export function bytes(value) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${value >= 100 || unit === 0 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

/** @param {number} perSecond */
export function rate(perSecond) {
  if (perSecond >= 100) return count(perSecond);
  return perSecond.toFixed(perSecond >= 10 ? 1 : 2);
}

/** @param {number} seconds */
export function ago(seconds) {
  return seconds < 1 ? "now" : `${span(seconds)} ago`;
}

/** @param {number} seconds */
export function span(seconds) {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 129_600) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86_400)} d`;
}

/** @param {number} at UTC seconds */
export function exact(at) {
  return moment.format(at * 1000);
}

/** @param {number} at UTC seconds */
export function hourAndMinute(at) {
  return clock.format(at * 1000);
}
