// Asking for hashes, and watching each one's way.

import { asked, clearOver, follow, infohash, isOver, onAsked, tryNow } from "../asked.js";
import { append, button, card, field, h, put, select, table } from "../dom.js";
import { badge, bytes, count, hash, milliseconds, moment, number, outside, plain, reason } from "../format.js";
import { attempt, redraw } from "../shell.js";

/** The most that are sent at a time. */
const MOST = 1_000;
const SHOWN = 200;

const STATES = {
  asked: ["asked", "plain"],
  queued: ["waiting", "plain"],
  in_work: ["in work", "warn"],
  resolved: ["resolved", "good"],
  failed: ["failed", "bad"],
};

function particulars(row) {
  if (row.state === "resolved") {
    return [
      h("a", { class: "name", href: `#/torrents/${row.infohash}` }, row.name ? outside(row.name, 200) : "(no name)"),
      ` – ${bytes(row.size)}, ${count(row.files, "file")}${row.arm ? `, ${plain(row.arm, 40)}` : ""}`,
    ];
  }
  if (row.state === "failed") {
    return [
      reason(row.reason),
      " ",
      outside(row.detail, 300),
      row.retry_at ? h("div", { class: "hint" }, "To be tried again ", moment(row.retry_at)) : null,
    ];
  }
  return "…";
}

function actions(row) {
  if (row.state !== "failed") return null;
  return h(
    "span",
    { class: "row" },
    button("Try now", () => attempt(() => tryNow(row.infohash), "Asked for again."), { "data-key": `try-${row.infohash}`, "aria-label": `Try ${row.infohash} now` }),
    h("a", { href: `#/diagnose/${row.infohash}`, "aria-label": `Diagnose ${row.infohash}` }, "Diagnose"),
  );
}

const COLUMNS = [
  { title: "Hash", cell: (row) => hash(row.infohash) },
  { title: "State", cell: (row) => badge(...(STATES[row.state] ?? [String(row.state), "plain"])) },
  { title: "What came of it", wide: true, cell: particulars },
  { title: "Time", number: true, cell: (row) => (isOver(row) ? milliseconds(row.elapsed_ms) : moment(new Date(row.at).toISOString())) },
  { title: "Action", cell: (row) => actions(row) ?? "–" },
];

export function ask({ body, signal }) {
  const text = h("textarea", { rows: 6, spellcheck: false, autocomplete: "off", placeholder: "magnet:?xt=urn:btih:…\n0123456789abcdef0123456789abcdef01234567" });
  const priority = select("priority", [["", "usual"], ["10", "before others"], ["-10", "after others"]], "");
  const wrong = h("div", { class: "problem", role: "alert", hidden: true });
  const send = h("button", { type: "submit", class: "main" }, "Ask");
  const form = h(
    "form",
    { class: "card" },
    field("Hashes or magnets, one a line", text, `Hex, base32 or btmh; up to ${number(MOST)} at a time.`),
    h("div", { class: "fields" }, field("Priority", priority)),
    wrong,
    h("div", { class: "actions" }, send),
  );
  const refuse = (...words) => {
    wrong.hidden = false;
    put(wrong, words.map((sentence) => h("p", null, sentence)));
    text.setAttribute("aria-invalid", "true");
    text.focus();
  };
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    wrong.hidden = true;
    text.removeAttribute("aria-invalid");
    const given = text.value.split(/\s*\n\s*/).map((each) => each.trim()).filter(Boolean);
    const bad = given.filter((each) => !infohash(each));
    if (given.length === 0) return refuse("There is nothing to ask for. Paste a magnet or an infohash.");
    if (bad.length > 0) {
      return refuse(`${number(bad.length)} of ${number(given.length)} lines are no hash and no magnet. Correct or remove them. The first is:`, plain(bad[0], 120));
    }
    if (given.length > MOST) return refuse(`These are ${number(given.length)} lines. Ask for ${number(MOST)} at a time; for more use metafetch resolve FILE.`);
    if (send.disabled) return undefined;
    send.disabled = true;
    const done = await attempt(
      () => follow(given, { priority: priority.value === "" ? undefined : Number(priority.value) }),
      given.length === 1 ? "Asked for one hash." : `Asked for ${number(given.length)} hashes.`,
    );
    send.disabled = false;
    if (done) text.value = "";
    return undefined;
  });

  const summary = h("p", { class: "hint", role: "status" });
  const rows = h("div");
  const clear = button("Remove those that are over", () => clearOver());
  const draw = () => {
    const all = [...asked.values()].reverse();
    const having = (state) => all.filter((row) => row.state === state).length;
    const words = all.length === 0 ? "" : `${number(all.length)} asked for: ${number(having("resolved"))} resolved, ${number(having("failed"))} failed.`;
    if (summary.textContent !== words) put(summary, words);
    clear.hidden = !all.some(isOver);
    redraw(
      rows,
      table("Hashes asked for in this tab", COLUMNS, all.slice(0, SHOWN), "Nothing was asked for in this tab yet."),
      all.length > SHOWN && h("p", { class: "hint" }, `and ${number(all.length - SHOWN)} more`),
    );
  };
  append(body, [form, card("How they fare", summary, rows, h("div", { class: "actions" }, clear))]);
  let waiting = null;
  onAsked(() => {
    waiting ??= setTimeout(() => {
      waiting = null;
      if (!signal.aborted) draw();
    }, 200);
  }, signal);
  draw();
}
