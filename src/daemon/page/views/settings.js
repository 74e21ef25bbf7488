// The configuration as it is in effect, and what can be done to the running service.

import { get, post } from "../api.js";
import { append, button, card, field, h, put, table } from "../dom.js";
import { badge, count, plain } from "../format.js";
import { attempt, confirm, load } from "../shell.js";

const COLUMNS = [
  {
    title: "Key",
    wide: true,
    cell: (row) => [h("code", null, h("strong", null, row.key)), h("div", { class: "hint" }, meaning(row.meaning ?? ""))],
  },
  { title: "Value", wide: true, cell: (row) => [value(row.value), isChanged(row) ? [" ", badge("changed", "warn")] : null] },
  { title: "Default", wide: true, cell: (row) => value(row.default) },
];

/** What stands between backticks is code. */
function meaning(text) {
  return plain(text, 1000)
    .split("`")
    .map((part, index) => (index % 2 === 1 ? h("code", null, part) : part));
}

function value(text) {
  return text === null || text === undefined ? h("span", { class: "hint" }, "not set") : h("code", null, plain(text, 500));
}

const isChanged = (row) => (row.value ?? null) !== (row.default ?? null);

function sections(items, text, changed) {
  const found = items.filter((row) => {
    if (changed && !isChanged(row)) return false;
    return `${row.section}.${row.key} ${row.value ?? ""} ${row.meaning ?? ""}`.toLowerCase().includes(text);
  });
  if (found.length === 0) return h("p", { class: "empty" }, "No key matches.");
  const names = [...new Set(found.map((row) => row.section))];
  return names.map((name) => {
    const rows = found.filter((row) => row.section === name);
    return h("details", { open: text !== "" || changed }, h("summary", null, h("code", null, `[${name}]`), ` ${count(rows.length, "key")}`), table(`Keys of ${name}`, COLUMNS, rows));
  });
}

function reloaded(answer) {
  const applied = answer?.applied ?? [];
  const later = answer?.needs_restart ?? [];
  const parts = [applied.length > 0 ? `In effect now: ${applied.join(", ")}.` : "Nothing that can change while it runs has changed."];
  if (later.length > 0) parts.push(`A restart is needed for: ${later.join(", ")}.`);
  return parts.join(" ");
}

export async function settings({ body, signal }) {
  const keys = h("div");
  const draw = () =>
    load(keys, signal, async () => {
      const answer = await get("api/v1/config", { signal });
      const items = answer.items ?? [];
      const filter = h("input", { type: "search", placeholder: "Part of a key, its value or its meaning" });
      const only = h("input", { type: "checkbox", id: "only-changed" });
      const shown = h("div");
      const show = () => put(shown, sections(items, filter.value.trim().toLowerCase(), only.checked));
      filter.addEventListener("input", show);
      only.addEventListener("change", show);
      show();
      return [field("Filter", filter), h("label", { class: "check" }, only, " Only what is not the default"), shown];
    });
  const reload = button("Read the configuration again", async () => {
    await attempt(() => post("admin/reload"), reloaded);
    await draw();
  });
  const backup = button("Back up the database", async () => {
    const yes = await confirm("Back up the database?", "A copy is written into the directory of backups while all goes on. It needs as much room as the database.", "Back up");
    if (yes) await attempt(() => post("admin/backup"), "The copy is written.");
  });
  append(body, [
    card("Service", h("div", { class: "actions" }, reload, backup), h("p", { class: "hint" }, "A wrong file changes nothing: what is wrong with it is said here.")),
    card("Configuration in effect", h("p", { class: "hint" }, "Secrets are masked. To change a key, edit the file and read it again."), keys),
  ]);
  await draw();
}
