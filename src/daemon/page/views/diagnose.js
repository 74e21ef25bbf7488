// Why a hash does not resolve: phase by phase, peer by peer.

import { post } from "../api.js";
import { infohash } from "../asked.js";
import { append, button, card, facts, field, h, put, svg, table } from "../dom.js";
import { badge, bytes, milliseconds, moment, number, outside, plain, reason } from "../format.js";
import { problem } from "../shell.js";

const times = (step) => (step.times > 1 ? ` (${number(step.times)} times)` : "");

/** A step of an attempt in words. */
function said(step) {
  switch (step.event) {
    case "dialling":
      return step.encrypted ? "We open a connection, to encrypt it (MSE)." : "We open a connection.";
    case "connected":
      return "Connected.";
    case "unanswered":
      return `No handshake: ${step.why}`;
    case "keys_exchanged":
      return step.rc4 ? "Keys exchanged; all is encrypted." : "Keys exchanged; what follows is in the clear.";
    case "handshake":
      return `Handshake: ${step.client ?? "a client without a name"}, supports ${(step.supports ?? []).join(", ") || "nothing more"}.`;
    case "extension_handshake":
      return `Extension handshake: ${step.client ?? "no name"}, ut_metadata ${step.ut_metadata ?? "none"}, metadata size ${step.metadata_size ?? "none"}, reqq ${step.reqq ?? "none"}.`;
    case "message":
      return `${step.name}${step.bytes ? `, ${number(step.bytes)} bytes` : ""}${times(step)}`;
    case "requested":
      return step.blocks === 1 ? `We ask for block ${step.first}.` : `We ask for ${number(step.blocks)} blocks, from block ${step.first} on.`;
    case "block":
      return `Block ${step.piece}, ${number(step.bytes)} bytes.`;
    case "rejected":
      return `It rejects block ${step.piece}.`;
    case "nudged":
      return `We send a keep-alive, since nothing comes.${times(step)}`;
    default:
      return `${step.event}${times(step)}`;
  }
}

/** Steps of a peer that are listed. */
const STEPS = 300;

function timeline(peer) {
  const steps = (peer.steps ?? []).slice(0, STEPS);
  const end = Math.max(peer.elapsed_ms || 0, steps.at(-1)?.ms ?? 0, 0.001);
  const x = (ms) => ((ms / end) * 300).toFixed(1);
  const image = svg(
    "svg",
    { class: "timeline", viewBox: "0 0 300 12", preserveAspectRatio: "none", "aria-hidden": "true" },
    svg("rect", { class: peer.delivered ? "span good" : "span bad", x: 0, y: 4, width: 300, height: 4 }),
    steps.map((step) => svg("rect", { class: "step", x: x(step.ms), y: 1, width: 1.5, height: 10 })),
  );
  const columns = [
    { title: "At", number: true, cell: (row) => milliseconds(row.ms) },
    { title: "What happened", wide: true, most: true, cell: (row) => row.words },
  ];
  const rows = steps.map((step) => ({ ms: step.ms, words: outside(said(step), 2000) }));
  const left = (peer.steps ?? []).length - steps.length;
  if (left > 0) rows.push({ ms: null, words: `and ${number(left)} more steps` });
  const how = peer.delivered ? `Delivered ${bytes(peer.metadata_size)}; their hash is right.` : [reason(peer.reason), ` in ${plain(peer.phase, 40)}: `, outside(peer.detail, 1000)];
  rows.push({ ms: peer.elapsed_ms, words: how });
  return h(
    "details",
    { class: "peer" },
    h(
      "summary",
      null,
      h("code", null, plain(peer.peer, 80)),
      " ",
      peer.delivered ? badge("delivered", "good") : reason(peer.reason),
      ` after ${milliseconds(peer.elapsed_ms)}`,
      image,
    ),
    facts([
      ["Client", peer.client ? outside(peer.client, 200) : null],
      ["From", plain(peer.source, 40)],
      ["Named by", peer.reports > 1 ? `${number(peer.reports)} nodes` : null],
      ["Encrypted", peer.encrypted ? "yes" : "no"],
    ]),
    table(`Steps of ${plain(peer.peer, 80)}`, columns, rows),
  );
}

function stored(store) {
  if (!store) return "no store";
  if (store.blocked) return "It is on the blocklist.";
  if (store.resolved) return "Its metadata is stored.";
  const { failed } = store;
  if (!failed) return "It never failed.";
  return [`It failed ${number(failed.failures)} times, the last time as `, reason(failed.reason), ": ", outside(failed.detail, 500), ". To be tried again ", moment(failed.retry_at), "."];
}

function looked(dht) {
  if (!dht) return "not asked, or no node of it is alive";
  return `${number(dht.answered)} of ${number(dht.asked)} nodes answered, ${dht.converged ? "the closest ones too" : "but not all of the closest ones"}; they name ${number(dht.peers)} peers`;
}

function result(diagnosis) {
  const end = diagnosis.resolution;
  const every = !end
    ? null
    : end.status === "resolved"
      ? ["resolved: ", outside(end.name, 300)]
      : [reason(end.reason), " ", outside(end.detail, 500)];
  return [
    card(
      null,
      h("p", { class: `verdict ${diagnosis.resolves ? "good" : "bad"}` }, outside(diagnosis.verdict, 2000)),
      diagnosis.advice && h("p", null, h("strong", null, "What to do: "), outside(diagnosis.advice, 2000)),
      facts([
        ["Infohash", h("code", null, plain(diagnosis.infohash, 100))],
        ["Store", stored(diagnosis.store)],
        ["DHT", looked(diagnosis.dht)],
        ["Peers", `${number(diagnosis.found)} known, ${number((diagnosis.peers ?? []).length)} asked over TCP${diagnosis.refused ? `, ${number(diagnosis.refused)} refused as private, reserved or without a port` : ""}`],
        ["Every way", every],
      ]),
      diagnosis.resolves && h("div", { class: "actions" }, h("a", { class: "button", href: `#/torrents/${encodeURIComponent(diagnosis.infohash)}` }, "Show the torrent")),
    ),
    card("Peer by peer", (diagnosis.peers ?? []).length > 0 ? diagnosis.peers.map(timeline) : h("p", { class: "empty" }, "No peer was asked.")),
  ];
}

export function diagnose({ body, signal, id }) {
  const input = h("input", { type: "text", value: id, spellcheck: false, autocomplete: "off" });
  const named = h("input", { type: "text", spellcheck: false, autocomplete: "off", placeholder: "192.0.2.1:6881" });
  const wrong = h("p", { class: "problem", role: "alert", hidden: true });
  const form = h(
    "form",
    { class: "card" },
    h("div", { class: "searchline" }, field("Hash or magnet", input), h("button", { type: "submit", class: "main" }, "Diagnose")),
    h("details", null, h("summary", null, "Peers to ask as well"), field("Addresses", named, "IP:PORT or HOST:PORT, with spaces between them.")),
    wrong,
    h("p", { class: "hint" }, "The DHT is asked who has it, then each peer, with every step and its time. This takes up to a minute or two."),
  );
  const out = h("div", { class: "view" });
  const run = async (hash) => {
    const cancel = new AbortController();
    const both = AbortSignal.any([signal, cancel.signal]);
    const since = Date.now();
    const peers = named.value.split(/[\s,]+/).filter(Boolean);
    const seconds = h("span", { "aria-hidden": "true" });
    const timer = setInterval(() => put(seconds, ` ${Math.round((Date.now() - since) / 1000)} s`), 1000);
    put(out, h("section", { class: "card" }, h("p", { role: "status" }, "Looking for peers and asking each one…", seconds), button("Cancel", () => cancel.abort())));
    try {
      const diagnosis = await post(`api/v1/torrents/${encodeURIComponent(hash)}/diagnose`, { peers }, { signal: both });
      if (!signal.aborted) put(out, result(diagnosis));
    } catch (error) {
      if (signal.aborted) return;
      put(out, cancel.signal.aborted ? h("p", { class: "empty" }, "Cancelled.") : problem(error, () => run(hash)));
    } finally {
      clearInterval(timer);
    }
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const hash = infohash(input.value);
    wrong.hidden = Boolean(hash);
    if (!hash) {
      put(wrong, "This is no hash and no magnet. Paste an infohash (hex, base32, btmh) or a whole magnet.");
      input.focus();
    } else if (hash === id) run(hash);
    else {
      // The address names what is shown; the form stays as it is.
      id = hash;
      history.pushState(null, "", `#/diagnose/${hash}`);
      run(hash);
    }
  });
  // A link only fills the form: a diagnosis is work for many peers.
  append(body, [form, out]);
}
