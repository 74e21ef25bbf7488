// Hashes that are never fetched.

import { get, post, query as search, remove } from "../api.js";
import { infohash } from "../asked.js";
import { append, button, card, field, h, put, table } from "../dom.js";
import { moment, number, plain } from "../format.js";
import { attempt, confirm, load, pager } from "../shell.js";

/** A v1 hash; or a v2 hash, or the digest of a hash. */
const blocked = (row) => row.infohash ?? row.digest;

export async function blocklist({ body, signal, query }) {
  const values = { list: query.get("list") ?? "", cursor: query.get("cursor") ?? "" };
  const rows = h("div");
  const draw = () => load(rows, signal, list);
  const unblock = async (row) => {
    const yes = await confirm("Take it off the blocklist?", `Then ${blocked(row)} may be fetched again.`, "Take it off");
    if (!yes) return;
    await attempt(() => remove(`admin/blocklist/${encodeURIComponent(blocked(row))}`), "Taken off the blocklist.");
    await draw();
  };
  const columns = [
    { title: "Hash or digest", wide: true, cell: (row) => [h("code", null, plain(blocked(row), 200)), row.salt ? h("div", { class: "hint" }, "a digest with salt") : null] },
    { title: "List", cell: (row) => plain(row.list, 100) },
    { title: "Since", cell: (row) => moment(row.blocked_at) },
    {
      title: "Action",
      cell: (row) =>
        row.salt ? "–" : button("Remove", () => unblock(row), { "aria-label": `Take ${blocked(row)} off the blocklist`, "data-key": `remove-${blocked(row)}` }),
    },
  ];
  async function list() {
    const page = await get(`admin/blocklist${search({ ...values, limit: 100 })}`, { signal });
    return [table("Blocked hashes", columns, page.items ?? [], "No hash is blocked."), pager("blocklist", values, page.next)];
  }

  const text = h("textarea", { rows: 3, spellcheck: false, autocomplete: "off" });
  const name = h("input", { type: "text", value: "api", maxlength: 100, spellcheck: false });
  const wrong = h("p", { class: "problem", role: "alert", hidden: true });
  const form = h(
    "form",
    null,
    field("Hashes or magnets, one a line", text),
    h("div", { class: "fields" }, field("Name of the list", name)),
    wrong,
    h("div", { class: "actions" }, h("button", { type: "submit", class: "main" }, "Block")),
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const given = text.value.split("\n").map((line) => line.trim()).filter(Boolean);
    const bad = given.find((line) => !infohash(line));
    wrong.hidden = given.length > 0 && bad === undefined;
    if (!wrong.hidden) {
      put(wrong, bad === undefined ? "There is nothing to block. Paste a hash." : `This line is no hash and no magnet: ${plain(bad, 120)}`);
      text.focus();
      return;
    }
    const done = await attempt(() => post("admin/blocklist", { hashes: given.map(infohash), list: name.value.trim() || "api" }), `${number(given.length)} blocked.`);
    if (done) {
      text.value = "";
      await draw();
    }
  });
  append(body, [card("Block hashes", form), card("Blocked hashes", rows)]);
  await draw();
}
