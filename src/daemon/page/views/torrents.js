// Search in what is stored.

import { get, query as search } from "../api.js";
import { append, card, field, h, select, table } from "../dom.js";
import { badge, bytes, hash, moment, number, outside } from "../format.js";
import { address, load, pager } from "../shell.js";

export const TYPES = ["video", "audio", "software", "document", "image", "archive", "other", "unknown"];

const SORTS = [
  ["", "best match"],
  ["resolved_at", "newest first"],
  ["size", "largest first"],
  ["name", "name"],
];

/** Files of each torrent that are shown with what was looked for. */
const FILES = 3;

const UNITS = [
  ["1048576", "MiB"],
  ["1073741824", "GiB"],
];

const COLUMNS = [
  {
    title: "Name",
    wide: true,
    cell: (row) => [
      h("a", { class: "name", href: `#/torrents/${encodeURIComponent(row.infohash)}` }, row.name ? outside(row.name, 200) : "(no name)"),
      Array.isArray(row.files) ? row.files.map((file) => h("div", { class: "hint" }, outside(file.path, 120))) : null,
    ],
  },
  { title: "Type", cell: (row) => badge(row.content_type ?? "unknown") },
  { title: "Size", number: true, cell: (row) => bytes(row.size) },
  { title: "Files", number: true, cell: (row) => number(row.files_count) },
  { title: "Resolved", cell: (row) => moment(row.resolved_at) },
  { title: "Hash", cell: (row) => hash(row.infohash) },
];

/** The filters of the address, as the API calls them. */
function wanted(query) {
  const names = ["q", "type", "min_size", "max_size", "private", "since", "sort", "cursor"];
  return Object.fromEntries(names.map((name) => [name, query.get(name) ?? ""]));
}

function sized(text, unit) {
  const value = Number(text);
  return text !== "" && Number.isFinite(value) && value >= 0 ? String(Math.round(value * Number(unit))) : "";
}

function shownSize(text, unit) {
  return text === "" ? "" : String(Number((Number(text) / Number(unit)).toFixed(3)));
}

function form(values) {
  const unit = [values.min_size, values.max_size].some((size) => Number(size) >= 1073741824) ? "1073741824" : "1048576";
  const q = h("input", { type: "search", name: "q", value: values.q, placeholder: "Words of names and file paths", maxlength: 500 });
  const type = select("type", [["", "any"], ...TYPES.map((name) => [name, name])], values.type);
  const low = h("input", { type: "number", min: 0, step: "any", inputmode: "decimal", value: shownSize(values.min_size, unit) });
  const high = h("input", { type: "number", min: 0, step: "any", inputmode: "decimal", value: shownSize(values.max_size, unit) });
  const units = select("unit", UNITS, unit);
  const since = h("input", { type: "date", value: values.since.slice(0, 10) });
  const hidden = select("private", [["", "any"], ["false", "public only"], ["true", "private only"]], values.private);
  const sort = select("sort", SORTS, values.sort);
  const filtered = values.type || values.min_size || values.max_size || values.since || values.private;
  const node = h(
    "form",
    { role: "search", class: "card" },
    h("div", { class: "searchline" }, field("Search", q), h("button", { type: "submit", class: "main" }, "Search")),
    h(
      "details",
      { open: Boolean(filtered) },
      h("summary", null, "Filters and order"),
      h(
        "div",
        { class: "fields" },
        field("Type", type),
        field("Smallest size", low),
        field("Largest size", high),
        field("Unit of the sizes", units),
        field("Resolved since", since),
        field("Private torrents", hidden),
        field("Order", sort),
      ),
    ),
  );
  node.addEventListener("submit", (event) => {
    event.preventDefault();
    const target = address("torrents", {
      q: q.value.trim(),
      type: type.value,
      min_size: sized(low.value, units.value),
      max_size: sized(high.value, units.value),
      since: since.value ? `${since.value}T00:00:00Z` : "",
      private: hidden.value,
      sort: sort.value,
    });
    if (location.hash === target) window.dispatchEvent(new HashChangeEvent("hashchange"));
    else location.hash = target;
  });
  return node;
}

export async function torrents({ body, signal, query }) {
  const values = wanted(query);
  const results = h("div");
  append(body, [form(values), card("Results", results)]);
  await load(results, signal, async () => {
    const page = await get(`api/v1/torrents${search({ ...values, limit: 50, files: values.q ? FILES : "" })}`, { signal });
    const empty = values.q || values.type || values.min_size || values.max_size || values.since || values.private
      ? "No stored torrent matches. Use fewer words or filters, or ask for the hash."
      : "No torrent is stored yet. Ask for a hash, or let the crawl run.";
    const items = page.items ?? [];
    const count = `${number(items.length)} on this page${page.next ? ", and there are more" : ""}.`;
    return [
      h("p", { class: "hint", role: "status" }, items.length > 0 ? count : ""),
      page.cut && h("p", { class: "hint" }, "So many torrents have these words that only the latest of them are in order. More words or filters find the others."),
      page.indexing && h("p", { class: "hint" }, "Older torrents are still being indexed, and may be missing."),
      table("Stored torrents", COLUMNS, items, empty),
      pager("torrents", values, page.next),
    ];
  });
}

