// A torrent with its files, or how its hash stands.

import { download, get, token } from "../api.js";
import { follow, tryNow } from "../asked.js";
import { attemptsTable } from "../attempts.js";
import { append, button, card, facts, h, put } from "../dom.js";
import { fileTree } from "../files.js";
import { badge, bytes, hash, moment, number, outside, plain, reason, REASONS } from "../format.js";
import { listen } from "../live.js";
import { attempt, copier, load, problem } from "../shell.js";

/** Characters of a name that the heading shows. */
const HEADING = 120;
/** Characters of a name that its page shows before it is asked for more. */
const NAME = 1_000;

/** The magnet of a torrent: made here where the API gives none. */
function magnet(torrent) {
  const given = String(torrent.magnet ?? "");
  if (given.startsWith("magnet:?")) return given;
  const topic = torrent.infohash.length === 64 ? `urn:btmh:1220${torrent.infohash}` : `urn:btih:${torrent.infohash}`;
  return `magnet:?xt=${topic}`;
}

function fileLink(torrent) {
  const path = `api/v1/torrents/${encodeURIComponent(torrent.infohash)}/torrent`;
  const name = `${torrent.infohash}.torrent`;
  if (!token()) return h("a", { class: "button", href: path, download: name }, "Save .torrent");
  return button("Save .torrent", () => attempt(() => download(path, name), "Saved."));
}

function longName(text) {
  const whole = String(text ?? "");
  // The heading has it.
  if (whole.length <= HEADING) return null;
  const node = h("p", { class: "torrent-name" }, outside(whole, NAME));
  if (whole.length <= NAME) return node;
  const more = button(`Show all ${number(whole.length)} characters`, () => put(node, outside(whole, Infinity)) && more.remove());
  return [node, more];
}

function details(torrent, signal) {
  const link = magnet(torrent);
  const files = Array.isArray(torrent.files) ? torrent.files : [];
  const trackers = torrent.trackers ?? [];
  return [
    card(
      null,
      longName(torrent.name),
      facts([
        ["Infohash", h("code", null, torrent.infohash)],
        ["Infohash v2", torrent.infohash_v2 && torrent.infohash_v2 !== torrent.infohash ? h("code", null, plain(torrent.infohash_v2, 80)) : null],
        ["Size", `${bytes(torrent.size)} (${number(torrent.size)} bytes)`],
        ["Files", number(torrent.files_count ?? files.length)],
        ["Type", badge(torrent.content_type ?? "unknown")],
        ["Metadata", bytes(torrent.metadata_size)],
        ["Source", torrent.source ? outside(torrent.source, 200) : null],
        ["Pieces", torrent.pieces ? `${number(torrent.pieces)} of ${bytes(torrent.piece_length)}` : null],
        ["Private", torrent.private ? "yes: only its own trackers may be asked for peers" : "no"],
        ["Resolved", moment(torrent.resolved_at)],
        ["Discovered", torrent.discovered_at ? moment(torrent.discovered_at) : null],
        ["Got by", torrent.arm ? [plain(torrent.arm, 40), torrent.peer ? ` from ${plain(torrent.peer, 80)}` : ""] : null],
      ]),
      h(
        "div",
        { class: "actions" },
        h("a", { class: "button main", href: link }, "Open magnet"),
        copier("Copy magnet", link),
        fileLink(torrent),
        h("a", { class: "button", href: `#/diagnose/${encodeURIComponent(torrent.infohash)}` }, "Diagnose"),
      ),
    ),
    card(`Files (${number(files.length)})`, fileTree(files)),
    trackers.length > 0 &&
      card("Trackers", h("ul", { class: "items" }, trackers.slice(0, 200).map((tracker) => h("li", null, outside(tracker, 500)))),
        trackers.length > 200 && h("p", { class: "hint" }, `and ${number(trackers.length - 200)} more`)),
    attempts(torrent.infohash, signal),
  ];
}

function attempts(infohash, signal) {
  const node = h("div");
  const box = h("details", { class: "card" }, h("summary", null, "Attempts"), node);
  box.addEventListener("toggle", () => {
    if (!box.open || node.childElementCount > 0) return;
    load(node, signal, async () => attemptsTable((await get(`api/v1/torrents/${encodeURIComponent(infohash)}/attempts`, { signal })).items ?? []));
  });
  return box;
}

function unresolved(error, infohash, signal, retry) {
  const why = error.body.last_reason ?? error.reason;
  if (error.reason === "unknown") {
    const ask = async () => {
      await follow([infohash]);
      location.hash = "#/ask";
    };
    return card(
      null,
      h("p", null, "The hash ", h("code", null, plain(infohash, 100)), " is not stored, and nobody has asked for it."),
      h("div", { class: "actions" }, button("Ask for it", () => attempt(ask), { class: "main" })),
    );
  }
  if (!REASONS[why]) return problem(error, retry);
  return [
    card(
      null,
      h("p", { class: "verdict bad" }, "This hash is not resolved."),
      facts([
        ["Infohash", h("code", null, plain(infohash, 100))],
        ["Reason", reason(why)],
        ["Meaning", REASONS[why]],
        ["Phase", error.body.phase ? plain(error.body.phase, 40) : null],
        ["Failures", error.body.failures ? number(error.body.failures) : null],
        ["Particulars", outside(error.message, 1000)],
        ["Tried again", error.body.retry_at ? moment(error.body.retry_at) : null],
      ]),
      h(
        "div",
        { class: "actions" },
        button("Forget the failure and try now", () =>
          attempt(async () => {
            await tryNow(infohash);
            location.hash = "#/ask";
          }),
        ),
        h("a", { class: "button", href: `#/diagnose/${encodeURIComponent(infohash)}` }, "Diagnose"),
      ),
    ),
    attempts(infohash, signal),
  ];
}

export async function torrent({ body, signal, id, retitle }) {
  const node = h("div", { class: "view" });
  append(body, [node]);
  let done = false;
  const draw = () =>
    load(node, signal, async () => {
      let found;
      try {
        found = await get(`api/v1/torrents/${encodeURIComponent(id)}`, { signal });
      } catch (error) {
        if (error.status) return unresolved(error, id, signal, draw);
        throw error;
      }
      if (found?.location) {
        const words = found.standing?.standing === "in_work" ? "is being worked on" : "waits in the queue";
        return card(null, h("p", { role: "status" }, "The hash ", hash(id), ` ${words}. This page shows it as soon as it is there.`));
      }
      done = true;
      retitle(found.name ? outside(found.name, HEADING) : "Torrent without a name");
      return details(found, signal);
    });
  listen((kind, event) => {
    if (kind === "event" && !done && event.infohash === id && (event.event === "resolved" || event.event === "failed")) draw();
  }, signal);
  await draw();
}
