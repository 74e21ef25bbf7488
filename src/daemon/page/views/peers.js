// What is known of peers.

import { get, query as search } from "../api.js";
import { append, card, field, h, select, table } from "../dom.js";
import { badge, milliseconds, moment, number, outside, plain, reason } from "../format.js";
import { address, load, pager } from "../shell.js";

const SORTS = [
  ["", "delivered lately"],
  ["failing", "fail again and again"],
  ["address", "are known, by address"],
];

function supports(row) {
  const words = [];
  if (row.needs_encryption) words.push("encryption only");
  if (row.bep10_support === false) words.push("no extension protocol");
  else if (row.bep9_support === false) words.push("no ut_metadata");
  return words.join(", ") || "–";
}

const COLUMNS = [
  { title: "Peer", nowrap: true, cell: (row) => h("code", null, plain(row.peer, 80)) },
  { title: "Client", cell: (row) => (row.client ? outside(row.client, 60) : "–") },
  { title: "Delivered", number: true, cell: (row) => `${number(row.deliveries)} of ${number(row.attempts)}` },
  { title: "Last outcome", cell: (row) => (row.last_outcome ? reason(row.last_outcome) : badge("delivered", "good")) },
  { title: "In a row", number: true, cell: (row) => (row.failures_in_a_row ? `${number(row.failures_in_a_row)} failed` : "–") },
  { title: "Usual time", number: true, cell: (row) => milliseconds(row.avg_latency_ms) },
  { title: "Way", cell: (row) => plain(row.delivered_way ?? "–", 40) },
  { title: "Limits", cell: supports },
  { title: "Tried", cell: (row) => moment(row.last_seen_at) },
];

export async function peers({ body, signal, query }) {
  const values = { sort: query.get("sort") ?? "", ip: query.get("ip") ?? "", cursor: query.get("cursor") ?? "" };
  const rows = h("div");
  const sort = select("sort", SORTS, values.sort);
  const ip = h("input", { type: "search", name: "ip", value: values.ip, placeholder: "Any", spellcheck: false, autocomplete: "off" });
  const form = h(
    "form",
    { class: "card" },
    h("div", { class: "searchline" }, field("Peers that", sort), field("IP address", ip), h("button", { type: "submit", class: "main" }, "Show")),
    h("p", { class: "hint" }, "History orders peers, and excludes none: one that failed is tried after the others."),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    location.hash = address("peers", { sort: sort.value, ip: ip.value.trim() });
  });
  append(body, [form, card("Peers", rows)]);
  await load(rows, signal, async () => {
    const page = await get(`api/v1/peers${search({ ...values, limit: 100 })}`, { signal });
    return [table("Peers", COLUMNS, page.items ?? [], "No peer is known that fits."), pager("peers", values, page.next)];
  });
}
