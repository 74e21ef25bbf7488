// The hashes that were asked for in this tab, and how far each is.

import { get, lines, remove, request } from "./api.js";
import { REASONS } from "./format.js";
import { listen, whileSeen } from "./live.js";
import { notice } from "./shell.js";

const KEPT = "metafetch.asked";
/** The most that are kept; the oldest go first. */
const MOST = 1_000;
/** Batches whose answers are read at a time: each takes a connection. */
const READ = 2;
/** How many of those without a result are asked about at a time. */
const LOOKED_AT = 20;
const LOOK_MS = 5_000;

/** By hash: `{ infohash, state, at, name, size, files, arm, elapsed_ms, reason, detail, retry_at }`. */
export const asked = new Map();
const listeners = new Set();
const reading = [];

/** Reasons of the API that are about a hash, and not about the request. */
const OUTCOMES = new Set([...Object.keys(REASONS), "unknown"]);

/** States that nothing follows. */
const ENDS = new Set(["resolved", "failed"]);

export function isOver(row) {
  return ENDS.has(row.state);
}

export function onAsked(listener, signal) {
  listeners.add(listener);
  signal.addEventListener("abort", () => listeners.delete(listener), { once: true });
}

let saving = null;

function save() {
  clearTimeout(saving);
  saving = null;
  try {
    sessionStorage.setItem(KEPT, JSON.stringify([...asked.keys()]));
  } catch {
    // They are gone when the page is loaded again.
  }
}

// What was asked for just before the page is left is known when it is opened again.
window.addEventListener("pagehide", () => saving !== null && save());

function changed() {
  for (const listener of [...listeners]) listener();
  saving ??= setTimeout(save, 500);
}

function set(infohash, change) {
  const row = asked.get(infohash);
  if (!row) return;
  Object.assign(row, change);
  changed();
}

const HEX = /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/i;
const BASE32 = /^[a-z2-7]{32}$/i;
const MULTIHASH = /^1220([0-9a-f]{64})$/i;

function base32(text) {
  let bits = "";
  for (const c of text.toLowerCase()) bits += "abcdefghijklmnopqrstuvwxyz234567".indexOf(c).toString(2).padStart(5, "0");
  return bits.match(/.{4}/g).map((four) => Number.parseInt(four, 2).toString(16)).join("");
}

function hashOf(text) {
  if (MULTIHASH.test(text)) return MULTIHASH.exec(text)[1].toLowerCase();
  if (HEX.test(text)) return text.toLowerCase();
  return BASE32.test(text) ? base32(text) : null;
}

/** The infohash of a hash (hex, base32, btmh) or magnet, as the API calls it; `null` where it is none. */
export function infohash(text) {
  const whole = text.trim();
  if (!/^magnet:\?/i.test(whole)) return hashOf(whole);
  let v2 = null;
  for (const [name, value] of new URLSearchParams(whole.slice(8))) {
    if (!/^xt(\.\d+)?$/.test(name)) continue;
    const v1 = /^urn:btih:(.+)$/i.exec(value);
    if (v1 && hashOf(v1[1])) return hashOf(v1[1]);
    const multihash = /^urn:btmh:(.+)$/i.exec(value);
    if (multihash) v2 ??= hashOf(multihash[1]);
  }
  return v2;
}

/** Takes a line of the API's answer. */
function take(line) {
  if (line.status === "resolved") {
    const { name, size, files, arm, elapsed_ms } = line;
    set(line.infohash, { state: "resolved", name, size, files, arm, elapsed_ms });
  } else if (line.status === "failed" || line.status === "refused") {
    const { reason, detail, retry_at, elapsed_ms } = line;
    set(line.infohash, { state: "failed", reason, detail, retry_at, elapsed_ms });
  } else if (line.status === "malformed") {
    notice(`“${line.input}” is not taken: ${line.detail}`, "bad");
  }
}

/** Asks for these, and goes on watching them after it returns. Throws what the API has against it. */
export async function follow(texts, { priority } = {}) {
  const ended = new AbortController();
  const response = await request("POST", "api/v1/resolve", {
    signal: AbortSignal.any([ended.signal, whileSeen()]),
    body: { hashes: texts, ...(priority === undefined ? {} : { priority }) },
    accept: "application/x-ndjson",
  });
  const at = Date.now();
  for (const text of texts) {
    const key = infohash(text);
    if (!key) continue;
    asked.delete(key);
    asked.set(key, { infohash: key, state: "asked", at });
  }
  while (asked.size > MOST) asked.delete(asked.keys().next().value);
  changed();
  read(response, ended);
}

async function read(response, ended) {
  reading.push(ended);
  // What an older batch has not told yet comes by events, or is asked for.
  while (reading.length > READ) reading.shift().abort();
  try {
    for await (const text of lines(response)) {
      if (text.trim()) take(JSON.parse(text));
    }
  } catch {
    // They stay wanted; `look` asks how they are.
  } finally {
    const place = reading.indexOf(ended);
    if (place >= 0) reading.splice(place, 1);
  }
}

/** Forgets that a hash failed; one that did not is as good. */
export async function forget(hash) {
  try {
    await remove(`admin/failed-torrents/${encodeURIComponent(hash)}`);
  } catch (error) {
    if (error.status !== 404) throw error;
  }
}

/** Forgets that a hash failed, and asks for it. */
export async function tryNow(hash) {
  await forget(hash);
  await follow([hash]);
}

/** Takes those off the list that have a result. */
export function clearOver() {
  for (const [key, row] of asked) if (isOver(row)) asked.delete(key);
  changed();
}

async function look() {
  const open = [...asked.values()].filter((row) => !isOver(row)).slice(0, LOOKED_AT);
  for (const { infohash: key } of open) {
    try {
      const found = await get(`api/v1/torrents/${encodeURIComponent(key)}`, { quiet: true });
      // A hash without a result has the address where that will be.
      if (found?.location) set(key, { state: found.standing?.standing ?? "asked" });
      else if (found) take({ ...found, infohash: key, status: "resolved", files: found.files_count });
    } catch (error) {
      const { reason, last_reason, retry_at } = error.body ?? {};
      if (!OUTCOMES.has(reason)) return;
      take({ infohash: key, status: "failed", reason: last_reason ?? reason, detail: error.message, retry_at });
    }
  }
}

listen((kind, event) => {
  if (kind !== "event" || !asked.has(event.infohash)) return;
  if (event.event === "queued" || event.event === "started") {
    const state = event.event === "queued" ? "queued" : "in_work";
    if (!isOver(asked.get(event.infohash))) set(event.infohash, { state });
  } else if (event.event === "resolved" || event.event === "failed") take({ ...event, status: event.event });
});

try {
  for (const key of JSON.parse(sessionStorage.getItem(KEPT) ?? "[]").slice(-MOST)) {
    if (hashOf(String(key))) asked.set(key, { infohash: key, state: "asked", at: Date.now() });
  }
} catch {
  // Nothing was kept.
}

setInterval(() => {
  if (!document.hidden) look();
}, LOOK_MS);
if (asked.size > 0) look();
