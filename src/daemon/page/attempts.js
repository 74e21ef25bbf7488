// Attempts at a hash, as the store has them.

import { table } from "./dom.js";
import { badge, milliseconds, moment, outside, plain, reason } from "./format.js";

const COLUMNS = [
  { title: "When", cell: (row) => moment(row.started_at) },
  { title: "Peer", cell: (row) => plain(row.peer ?? "–", 80) },
  { title: "Way", cell: (row) => plain(row.way ?? row.arm ?? "–", 40) },
  { title: "Phase", cell: (row) => plain(row.phase ?? "–", 40) },
  { title: "Outcome", cell: (row) => (row.reason ? reason(row.reason) : badge("delivered", "good")) },
  { title: "Took", number: true, cell: (row) => milliseconds(row.elapsed_ms) },
  { title: "Particulars", wide: true, cell: (row) => (row.detail ? outside(row.detail, 300) : "–") },
];

export function attemptsTable(rows) {
  return table("The latest attempts at this hash", COLUMNS, rows, "No attempt is stored: they are kept for a while only.");
}
