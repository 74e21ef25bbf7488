// What the service does, right now.

import { bars, Chart } from "../chart.js";
import { append, card, h, put, table } from "../dom.js";
import { bytes, count, duration, hash, milliseconds, moment, number, outside, plain, rate, reason } from "../format.js";
import { KEPT, listen, live } from "../live.js";
import { every, redraw } from "../shell.js";
import { counter, rates } from "../stats.js";
import { sourcesTable } from "./queue.js";

/** Stages of the funnel, in order. */
const STAGES = [
  ["queued", "Hashes put into the queue"],
  ["started", "Work begun"],
  ["lookups", "Lookups of peers"],
  ["peers", "Peers found"],
  ["attempts", "Attempts at peers"],
  ["resolved", "Resolved"],
  ["failed", "Failed"],
];

function tile(title, value, hint) {
  return h("div", { class: "tile" }, h("span", { class: "title" }, title), h("strong", null, value), hint && h("span", { class: "hint" }, hint));
}

function tiles(stats) {
  const rows = stats.store?.rows ?? {};
  const { queue = {}, dht } = stats;
  return [
    tile("Torrents stored", number(rows.torrents), typeof rows.files === "number" ? count(rows.files, "file") : null),
    tile("Resolved", number(counter(stats, "resolved")), `${number(stats.last_minute?.resolved)} in the last minute`),
    tile("Failed", number(counter(stats, "failed")), `${number(stats.last_minute?.failed)} in the last minute`),
    tile("In work", number(queue.in_work), `${number(queue.jobs)} at the most`),
    tile("Waiting", number(queue.waiting)),
    tile("DHT", dht ? plain(dht.state, 20) : "off", dht ? count(dht.nodes, "node") : null),
    tile("Running for", duration(stats.uptime_seconds ?? 0), `version ${plain(stats.version ?? "unknown", 40)}`),
  ];
}

function said(event) {
  switch (event.event) {
    case "queued":
      return ["queued", hash(event.infohash), `wanted by ${event.source}`];
    case "started":
      return ["started", hash(event.infohash), `wanted by ${event.source}`];
    case "resolved":
      return [
        "resolved",
        hash(event.infohash),
        [outside(event.name, 120), ` – ${bytes(event.size)}, ${count(event.files, "file")}, ${event.arm}, ${milliseconds(event.elapsed_ms)}`],
      ];
    case "failed":
      return ["failed", hash(event.infohash), [reason(event.reason), " ", outside(event.detail, 160)]];
    case "source":
      return ["source", "", `${event.source} is ${event.paused ? "paused" : "resumed"}`];
    case "reloaded":
      return ["reloaded", "", `${(event.applied ?? []).length} keys are in effect`];
    default:
      return [String(event.event), "", ""];
  }
}

const EVENT_COLUMNS = [
  { title: "When", cell: (row) => moment(new Date(row.at).toISOString()) },
  { title: "What", cell: (row) => h("span", { class: `badge ${{ resolved: "good", failed: "bad" }[row.said[0]] ?? "plain"}` }, row.said[0]) },
  { title: "Hash", cell: (row) => row.said[1] },
  { title: "Particulars", wide: true, cell: (row) => row.said[2] },
];

export function overview({ body, signal }) {
  const numbers = h("div", { class: "tiles" });
  const charts = [
    [new Chart("Resolved per second", { seconds: KEPT, show: rate, kind: "good" }), (samples) => rates(samples, "resolved")],
    [new Chart("Failed per second", { seconds: KEPT, show: rate, kind: "bad" }), (samples) => rates(samples, "failed")],
    [new Chart("Attempts per second", { seconds: KEPT, show: rate }), (samples) => rates(samples, "attempts")],
    [
      new Chart("Hashes in work", { seconds: KEPT, show: (value) => number(Math.round(value)) }),
      (samples) => samples.map(({ at, stats }) => [at, Number(stats.queue?.in_work) || 0]),
    ],
  ];
  const funnel = card("Funnel since the start");
  const funnelBars = h("div");
  funnel.append(funnelBars);
  const reasons = card("Why hashes failed");
  const reasonBars = h("div");
  reasons.append(reasonBars);
  const sources = card("Sources");
  const sourceRows = h("div");
  sources.append(sourceRows);
  const events = card("Latest events");
  const only = h("input", { type: "checkbox", id: "only-results" });
  const still = h("input", { type: "checkbox", id: "still" });
  const missed = h("p", { class: "hint" });
  const eventRows = h("div");
  events.append(
    h(
      "div",
      { class: "row" },
      h("label", { class: "check" }, only, " Results only"),
      h("label", { class: "check" }, still, " Stand still"),
    ),
    missed,
    eventRows,
  );

  const problems = h("div", { class: "view", role: "status" });
  let told = "";
  const drawStats = () => {
    const { stats, samples } = live;
    if (!stats) {
      put(numbers, h("p", { class: "empty" }, "Waiting for the first numbers…"));
      return;
    }
    put(numbers, tiles(stats));
    const wrong = [
      stats.store?.problem && `The database can't be written to: ${stats.store.problem}. ${number(stats.store.journal_records)} records wait in journals; nothing is lost.`,
      stats.dht?.problem && `The DHT: ${stats.dht.problem}.`,
      ...(stats.dht?.listen_errors ?? []).map((error) => `A port can't be listened at: ${error}`),
    ].filter(Boolean);
    const said = wrong.join("\n");
    if (said !== told) {
      told = said;
      put(problems, wrong.map((text) => h("div", { class: "problem" }, h("p", null, plain(text, 500)))));
    }
    for (const [chart, points] of charts) chart.draw(points(samples));
    const stages = STAGES.filter(([name]) => typeof stats.funnel?.[name] === "number");
    put(funnelBars, bars(stages.map(([name, label]) => [label, counter(stats, name)]), number));
    const failures = Object.entries(stats.reasons ?? {})
      .filter(([, times]) => times > 0)
      .sort(([, one], [, other]) => other - one)
      .slice(0, 12);
    put(
      reasonBars,
      failures.length > 0
        ? bars(failures.map(([name, times]) => [h("a", { href: `#/failed?reason=${encodeURIComponent(name)}` }, name.replaceAll("_", " ")), times]), number, "bad")
        : h("p", { class: "empty" }, "Nothing has failed."),
    );
  };
  // A table that is drawn anew takes the focus from its buttons: only when something changed.
  let drawn = "";
  const drawSources = () => {
    const list = live.stats?.sources ?? [];
    const now = JSON.stringify(list);
    if (now === drawn) return;
    drawn = now;
    redraw(sourceRows, sourcesTable(list));
  };
  const drawEvents = () => {
    if (still.checked || eventRows.contains(document.activeElement)) return;
    const rows = live.latest
      .filter(({ event }) => !only.checked || event.event === "resolved" || event.event === "failed")
      .slice(0, 20)
      .map(({ at, event }) => ({ at, said: said(event) }));
    put(eventRows, table("Latest events, the newest first", EVENT_COLUMNS, rows, "Nothing has happened since this page was opened."));
    put(missed, live.missed > 0 ? `${number(live.missed)} events came faster than this page could take them.` : null);
  };
  const drawAll = () => {
    drawStats();
    drawSources();
    drawEvents();
  };
  append(body, [
    problems,
    numbers,
    h("div", { class: "charts" }, charts.map(([chart]) => chart.node)),
    h("div", { class: "columns" }, funnel, reasons),
    sources,
    events,
  ]);
  only.addEventListener("change", drawEvents);
  let late = false;
  listen((kind) => {
    if (kind === "event") late = true;
    else if (kind === "stats" && !document.hidden) {
      drawStats();
      drawSources();
    }
  }, signal);
  // Thousands of events a second are drawn once a second.
  every(1000, signal, () => {
    if (late) drawEvents();
    late = false;
  });
  drawAll();
}
