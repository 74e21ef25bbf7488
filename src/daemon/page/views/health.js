// Whether the service is well, and its runs.

import { get } from "../api.js";
import { append, card, h, table } from "../dom.js";
import { badge, bytes, milliseconds, moment, number, outside, plain } from "../format.js";
import { every, load } from "../shell.js";

const CONDITIONS = {
  ok: ["well", "good"],
  off: ["off", "plain"],
  degraded: ["degraded", "warn"],
  failed: ["failed", "bad"],
};

const PARTS = [
  { title: "Part", cell: (row) => h("strong", null, plain(row.part, 60)) },
  { title: "State", cell: (row) => badge(...(CONDITIONS[row.condition] ?? [plain(row.condition, 30), "plain"])) },
  { title: "What was seen", wide: true, cell: (row) => (row.reason ? outside(row.reason, 500) : "–") },
  { title: "What to do", wide: true, cell: (row) => (row.advice ? outside(row.advice, 500) : "–") },
];

const RUNS = [
  { title: "Started", cell: (row) => moment(row.started_at) },
  { title: "Command", cell: (row) => plain(row.command, 60) },
  { title: "State", cell: (row) => badge(plain(row.status, 30), { running: "good", failed: "bad" }[row.status]) },
  { title: "Ran for", number: true, cell: (row) => milliseconds(Date.parse(row.ended_at ?? row.heartbeat_at) - Date.parse(row.started_at)) },
  { title: "Resolved", number: true, cell: (row) => number(row.resolved) },
  { title: "Failed", number: true, cell: (row) => number(row.failed) },
  { title: "Discovered", number: true, cell: (row) => number(row.discovered) },
  { title: "Most memory", number: true, cell: (row) => (row.peak_memory_kib ? bytes(row.peak_memory_kib * 1024) : "–") },
  { title: "Error", wide: true, cell: (row) => (row.error_message ? outside(row.error_message, 300) : "–") },
];

/** How the parts are: told with 200 where none has failed, else with 503. */
async function readiness(signal) {
  try {
    return await get("readyz", { signal });
  } catch (error) {
    if (error.status === 503 && Array.isArray(error.body?.parts)) return error.body;
    throw error;
  }
}

export async function health({ body, signal }) {
  const checks = h("div");
  const runs = h("div");
  append(body, [card("Ready to work", checks), card("Runs", runs)]);
  const draw = () =>
    load(checks, signal, async () => {
      const { ready, parts } = await readiness(signal);
      return [
        h("p", { class: `verdict ${ready ? "good" : "bad"}` }, ready ? "The service is ready." : "The service is not ready: see below why."),
        table("Parts of the service", PARTS, parts ?? [], "The service names no parts."),
      ];
    });
  every(10_000, signal, draw);
  await Promise.all([
    draw(),
    load(runs, signal, async () => table("Runs, the latest first", RUNS, (await get("api/v1/sessions", { signal })).items ?? [], "No run is stored.")),
  ]);
}
