// Numbers, times and states as people read them.

export function count(value) {
  return value === null || value === undefined ? "–" : Math.round(value).toLocaleString("en");
}

export function short(value) {
  if (value === null || value === undefined) return "–";
  if (value >= 10_000) return Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 }).format(value);
  return value >= 10 || value === 0 ? count(value) : value.toFixed(1);
}

export function rate(value) {
  return value === null || value === undefined ? "–" : `${short(value)}/s`;
}

export function seconds(value) {
  if (value === null || value === undefined) return "–";
  if (value < 10) return `${value.toFixed(1)} s`;
  if (value < 90) return `${Math.round(value)} s`;
  if (value < 5_400) return `${Math.round(value / 60)} min`;
  return value < 172_800 ? `${(value / 3_600).toFixed(1)} h` : `${Math.round(value / 86_400)} days`;
}

export function ago(at, now) {
  const passed = Math.max(0, now - at);
  if (passed < 1.5) return "now";
  return passed < 90 ? `${Math.round(passed)} s ago` : `${seconds(passed)} ago`;
}

export function moment(at) {
  return new Date(at * 1000).toISOString().replace("T", " ").slice(0, 19) + " UTC";
}

export function plural(number, word) {
  return `${count(number)} ${word}${number === 1 ? "" : "s"}`;
}

/** How worrying a lag is: what the arrows are coloured by. */
export function lagLevel(value) {
  if (value === null || value === undefined) return "none";
  return value < 5 ? "ok" : value < 60 ? "warn" : "bad";
}

const LEVELS = {
  running: "ok", loading: "ok", "catching up": "warn", paused: "pause", waiting: "none",
  stalled: "bad", stopped: "bad", GAP: "bad", down: "bad", "no answer": "bad", quiet: "warn",
  "dead letters": "warn",
};

export function level(state) {
  return LEVELS[state] ?? "warn";
}
