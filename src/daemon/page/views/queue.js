// Sources of hashes, and what waits.

import { get, post, query as search } from "../api.js";
import { append, button, card, field, h, select, table } from "../dom.js";
import { badge, hash, moment, number, plain } from "../format.js";
import { live, listen } from "../live.js";
import { address, attempt, every, load, pager, redraw } from "../shell.js";

const NAMES = { api: "API", directory: "Directories", backlog: "Backlog", crawl: "DHT crawl" };

function state(source) {
  if (!source.enabled) return badge("off");
  if (source.paused) return badge("paused", "warn");
  return source.problem ? badge("problem", "bad") : badge("running", "good");
}

function problem(source) {
  if (source.problem) return plain(source.problem, 300);
  return source.enabled ? "none" : "It is off: the section [sources] of the configuration has it.";
}

function toggle(source) {
  if (!source.enabled) return "–";
  const name = NAMES[source.name] ?? source.name;
  const word = source.paused ? "Resume" : "Pause";
  const act = () =>
    attempt(
      () => post(`admin/sources/${encodeURIComponent(source.name)}/${source.paused ? "resume" : "pause"}`),
      source.paused ? `${name} goes on.` : `${name} is paused. What is in work goes on.`,
    );
  return button(word, act, { "aria-label": `${word} ${name}`, "data-key": `pause-${source.name}` });
}

const SOURCES = [
  { title: "Source", nowrap: true, cell: (source) => h("strong", null, NAMES[source.name] ?? plain(source.name)) },
  { title: "State", cell: state },
  { title: "Weight", number: true, cell: (source) => number(source.weight) },
  { title: "In work", number: true, cell: (source) => `${number(source.in_work)} of ${number(source.limit)}` },
  { title: "Waiting", number: true, cell: (source) => number(source.waiting) },
  { title: "Resolved", number: true, cell: (source) => number(source.resolved) },
  { title: "Failed", number: true, cell: (source) => number(source.failed) },
  { title: "Problem", wide: true, cell: problem },
  { title: "Action", cell: toggle },
];

/** The sources with a button to pause or resume each. */
export function sourcesTable(sources) {
  return table("Sources of hashes", SOURCES, sources, "No source is known yet.");
}

const WAITING = [
  { title: "Hash", cell: (row) => hash(row.infohash) },
  { title: "State", cell: (row) => (row.standing?.standing === "in_work" ? badge("in work", "good") : badge("waiting")) },
  { title: "Priority", number: true, cell: (row) => number(row.priority) },
  { title: "Asked for", cell: (row) => moment(row.requested_at) },
];

export async function queue({ body, signal, query }) {
  const values = { source: query.get("source") ?? "", cursor: query.get("cursor") ?? "" };
  const sources = h("div");
  const waiting = h("div");
  const whose = select("source", [["", NAMES.api], ["directory", NAMES.directory]], values.source);
  whose.addEventListener("change", () => {
    location.hash = address("queue", { source: whose.value });
  });
  append(body, [
    card("Sources", h("p", { class: "hint" }, "A paused source begins nothing new. It stays paused after a restart, until you resume it."), sources),
    card(
      "Queue",
      h("div", { class: "searchline" }, field("Asked for by", whose)),
      h("p", { class: "hint" }, "In the order in which they are worked on. These survive a restart; the crawl and the backlog take theirs when it is their turn."),
      waiting,
    ),
  ]);
  const draw = () => load(waiting, signal, async () => {
    const page = await get(`api/v1/queue${search({ ...values, limit: 100 })}`, { signal });
    return [table("Hashes in the queue", WAITING, page.items ?? [], "Nothing waits."), pager("queue", values, page.next)];
  });
  let drawn = "";
  const drawSources = () => {
    const list = live.stats?.sources ?? [];
    const now = JSON.stringify(list);
    if (now === drawn) return;
    drawn = now;
    redraw(sources, sourcesTable(list));
  };
  listen((kind) => kind === "stats" && drawSources(), signal);
  drawSources();
  every(5_000, signal, draw);
  await draw();
}
