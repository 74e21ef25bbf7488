// Values as people read them.

import { h } from "./dom.js";

/** Characters of a text from outside that a list shows. */
const SHORT = 300;

/** Turns of the writing direction, which can make a name read as another one. */
const DIRECTION = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;
// eslint-disable-next-line no-control-regex
const CONTROL = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g;

/** A text from outside as one line: turns of direction can be seen, control characters are spaces. */
export function plain(text, most = Infinity) {
  let whole = String(text ?? "");
  let cut = false;
  if (whole.length > most) {
    whole = whole.slice(0, most);
    cut = true;
    // Not half a character.
    if (/[\ud800-\udbff]$/.test(whole)) whole = whole.slice(0, -1);
  }
  const seen = whole
    .replace(DIRECTION, (c) => `[U+${c.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}]`)
    .replace(CONTROL, " ");
  return cut ? `${seen}…` : seen;
}

/** The same as an element, kept apart from the direction of what is around it. */
export function outside(text, most = SHORT) {
  return h("bdi", { class: "outside", dir: "auto" }, plain(text, most));
}

const BYTES = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

/** Bytes with a unit. */
export function bytes(count) {
  if (typeof count !== "number" || !Number.isFinite(count)) return "–";
  let value = count;
  let unit = 0;
  while (value >= 1024 && unit < BYTES.length - 1) {
    value /= 1024;
    unit += 1;
  }
  const digits = unit === 0 || value >= 100 ? 0 : value >= 10 ? 1 : 2;
  return `${value.toFixed(digits)} ${BYTES[unit]}`;
}

const whole = new Intl.NumberFormat("en");

/** A count. */
export function number(count) {
  return typeof count === "number" && Number.isFinite(count) ? whole.format(count) : "–";
}

/** A count of things by their name. */
export function count(things, name) {
  return `${number(things)} ${name}${things === 1 ? "" : "s"}`;
}

/** A number of things per second. */
export function rate(value) {
  if (typeof value !== "number" || !Number.isFinite(value)) return "–";
  return value >= 100 ? whole.format(Math.round(value)) : value.toFixed(value >= 10 ? 1 : 2);
}

/** Milliseconds as a time. */
export function milliseconds(ms) {
  if (typeof ms !== "number" || !Number.isFinite(ms)) return "–";
  if (ms < 1) return `${ms.toFixed(2)} ms`;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  return duration(ms / 1000);
}

/** Seconds as a time: its two largest units. */
export function duration(seconds) {
  const units = [
    [86_400, "d"],
    [3600, "h"],
    [60, "min"],
    [1, "s"],
  ];
  let left = Math.max(0, Math.round(seconds));
  const parts = [];
  for (const [size, name] of units) {
    if (left >= size && parts.length < 2) {
      parts.push(`${Math.floor(left / size)} ${name}`);
      left %= size;
    } else if (parts.length > 0) break;
  }
  return parts.join(" ") || "0 s";
}

function relative(at) {
  let seconds = (at - Date.now()) / 1000;
  if (Math.abs(seconds) < 2) return "now";
  // Seconds matter for what is near.
  if (Math.abs(seconds) > 300) seconds = Math.round(seconds / 60) * 60;
  return seconds > 0 ? `in ${duration(seconds)}` : `${duration(-seconds)} ago`;
}

/** A time, told from now; `<time>` elements of the page are kept up to date. */
export function moment(text) {
  const at = Date.parse(text ?? "");
  if (Number.isNaN(at)) return "–";
  const title = new Date(at).toLocaleString();
  return h("time", { datetime: text, title, "data-relative": at }, relative(at));
}

/** Writes all such times anew. */
export function tick() {
  for (const node of document.querySelectorAll("time[data-relative]")) {
    const text = relative(Number(node.dataset.relative));
    if (node.textContent !== text) node.textContent = text;
  }
}

/** A hash, shortened to what fits in a table, as a link to its details. */
export function hash(infohash, view = "torrents") {
  const text = String(infohash);
  return h(
    "a",
    { class: "hash", href: `#/${view}/${encodeURIComponent(text)}`, title: text, "aria-label": text },
    text.length > 16 ? `${text.slice(0, 12)}…` : text,
  );
}

/** A word on a coloured ground. */
export function badge(text, kind = "plain") {
  return h("span", { class: `badge ${kind}` }, text);
}

/** What the reasons of failures mean, in a sentence. */
export const REASONS = {
  no_peers: "No source knew any peer.",
  connect_timeout: "The peer did not answer.",
  refused: "The peer's host refused the connection.",
  unreachable: "There is no route to the peer.",
  reset: "The peer reset the connection.",
  closed: "The peer closed the connection.",
  handshake_timeout: "The peer accepted the connection and said nothing in time.",
  wrong_infohash: "The peer answered for another torrent.",
  self_connection: "The peer is metafetch itself.",
  encryption_required: "The peer takes part in a key exchange, and then does not go on.",
  no_extension_protocol: "The client knows no extension protocol, so it can't serve metadata.",
  no_ut_metadata: "The peer serves no metadata, or has none itself yet.",
  metadata_size_invalid: "The peer claims an impossible size of the metadata.",
  rejected: "The peer rejected every request.",
  transfer_timeout: "The pieces stopped coming.",
  protocol_violation: "The peer sent what the protocol does not allow.",
  hash_mismatch: "The bytes that came are not this torrent's.",
  invalid_info_dict: "The bytes have the right hash, and are no torrent that a client could use.",
  cooldown: "It failed a short while ago, and is left alone for now.",
  blocked: "The hash is on the blocklist.",
  cancelled: "The run ended first.",
  internal: "A fault of this program or this host.",
};

/** A reason with its meaning. */
export function reason(name) {
  const text = String(name ?? "");
  return h("span", { class: "badge bad", title: REASONS[text] ?? null }, plain(text, 60).replaceAll("_", " "));
}
