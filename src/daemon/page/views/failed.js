// Hashes that failed, why, and when they are tried again.

import { get, post, query as search } from "../api.js";
import { forget, tryNow } from "../asked.js";
import { append, button, card, field, h, select, table } from "../dom.js";
import { count, hash, moment, number, outside, plain, reason, REASONS } from "../format.js";
import { address, attempt, confirm, load, pager } from "../shell.js";

export async function failed({ body, signal, query }) {
  const values = { reason: query.get("reason") ?? "", cooling: query.get("cooling") ?? "", cursor: query.get("cursor") ?? "" };
  const rows = h("div");
  const draw = () => load(rows, signal, list);

  const columns = [
    { title: "Hash", cell: (row) => hash(row.infohash) },
    { title: "Reason", cell: (row) => [reason(row.reason), h("div", { class: "hint" }, `in ${plain(row.phase, 40)}`)] },
    { title: "Particulars", wide: true, cell: (row) => outside(row.detail, 200) },
    { title: "Failed", cell: (row) => [moment(row.failed_at), h("div", { class: "hint" }, count(row.failures, "time"))] },
    { title: "Tried again", cell: (row) => (row.retry_at ? moment(row.retry_at) : "never") },
    {
      title: "Action",
      nowrap: true,
      cell: (row) =>
        h(
          "span",
          { class: "row" },
          button("Try now", () => attempt(() => tryNow(row.infohash), "Asked for. Watch it under “Ask for hashes”.").then(draw), {
            "aria-label": `Try ${row.infohash} now`,
            "data-key": `try-${row.infohash}`,
          }),
          button("Forget", () => attempt(() => forget(row.infohash), "Forgotten. It is tried again when it is asked for.").then(draw), {
            "aria-label": `Forget that ${row.infohash} failed`,
            "data-key": `forget-${row.infohash}`,
          }),
          h("a", { href: `#/diagnose/${encodeURIComponent(row.infohash)}`, "aria-label": `Diagnose ${row.infohash}` }, "Diagnose"),
        ),
    },
  ];
  async function list() {
    const page = await get(`admin/failed-torrents${search({ ...values, limit: 50 })}`, { signal });
    return [table("Hashes that failed", columns, page.items ?? [], also.checked ? "No hash has failed." : "No hash is left alone for a failure now."), pager("failed", values, page.next)];
  }

  const which = select("reason", [["", "all reasons"], ...Object.keys(REASONS).map((name) => [name, name.replaceAll("_", " ")])], values.reason);
  const also = h("input", { type: "checkbox", id: "also-over", checked: values.cooling === "false" });
  for (const control of [which, also]) {
    control.addEventListener("change", () => {
      location.hash = address("failed", { reason: which.value, cooling: also.checked ? "false" : "" });
    });
  }
  const clear = button(values.reason ? `Forget all of “${values.reason.replaceAll("_", " ")}”` : "Forget all", async () => {
    const what = values.reason ? `all hashes that failed as ${values.reason.replaceAll("_", " ")}` : "all hashes that failed";
    const yes = await confirm("Forget failures?", `This forgets ${what}. They are tried again when they are asked for, which may be much work at once.`, "Forget them");
    if (!yes) return;
    const filter = values.reason ? { reason: values.reason } : { all: true };
    await attempt(
      () => post("admin/failed-torrents/clear", filter),
      (answer) => `${number(answer?.removed)} forgotten.`,
    );
    await draw();
  });
  append(body, [
    card(null, h("div", { class: "searchline" }, field("Reason", which), clear),
      h("label", { class: "check" }, also, " Also those that may be tried again by now"), values.reason && h("p", { class: "hint" }, REASONS[values.reason])),
    card("Failed hashes", rows),
  ]);
  await draw();
}
