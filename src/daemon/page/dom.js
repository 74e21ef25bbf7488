// Elements. Text goes in as text nodes only: nothing here reads markup from a string.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "value") node.value = value;
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  append(node, children);
  return node;
}

/** Puts children in: nodes as they are, all else as text; lists are flattened, `null` is left out. */
export function append(node, children) {
  for (const child of [children].flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    node.append(child instanceof Node ? child : String(child));
  }
  return node;
}

/** An HTML element. */
export function h(tag, props, ...children) {
  return fill(document.createElement(tag), props, children);
}

/** An SVG element. */
export function svg(tag, props, ...children) {
  return fill(document.createElementNS(SVG, tag), props, children);
}

/** Replaces what is in a node. */
export function put(node, ...children) {
  node.replaceChildren();
  return append(node, children);
}

/** A button that runs `action`, and cannot be pressed again until that is over. */
export function button(label, action, props = {}) {
  const node = h("button", { type: "button", ...props }, label);
  node.addEventListener("click", async () => {
    if (node.getAttribute("aria-disabled") === "true") return;
    // Not `disabled`: the focus would be lost.
    node.setAttribute("aria-disabled", "true");
    try {
      await action(node);
    } finally {
      node.removeAttribute("aria-disabled");
    }
  });
  return node;
}

let fields = 0;

/** A labelled control. */
export function field(label, control, hint) {
  fields += 1;
  const id = `field-${fields}`;
  control.id = id;
  const said = hint && h("p", { class: "hint", id: `${id}-hint` }, hint);
  if (said) control.setAttribute("aria-describedby", said.id);
  return h("div", { class: "field" }, h("label", { for: id }, label), control, said);
}

/** A choice; `options` are `[value, label]`. */
export function select(name, options, chosen) {
  const node = h("select", { name });
  for (const [value, label] of options) {
    node.append(h("option", { value, selected: String(value) === String(chosen ?? "") }, label));
  }
  return node;
}

/** What a column may be: of numbers, of long texts, of texts on one line, the one that takes the room. */
const KINDS = ["number", "wide", "nowrap", "most"];

/**
 * A table. A column is `{ title, cell(row) }` and any of those. On a narrow screen each row becomes a
 * card, so the roles are spelled out: without them such a table is none for a screen reader.
 */
export function table(caption, columns, rows, empty = "Nothing here.") {
  if (rows.length === 0) return h("p", { class: "empty" }, empty);
  const head = columns.map((column) =>
    h("th", { scope: "col", role: "columnheader", class: column.number && "number" }, column.title),
  );
  const body = h("tbody", { role: "rowgroup" });
  for (const row of rows) body.append(line(columns, row));
  const whole = h(
    "table",
    { role: "table" },
    h("caption", { class: "unseen" }, caption),
    h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, head)),
    body,
  );
  return h("div", { class: "scroll" }, whole);
}

/** A row of such a table. */
function line(columns, row) {
  const cells = columns.map((column) =>
    h(
      "td",
      {
        role: "cell",
        "data-label": column.title,
        class: KINDS.filter((kind) => column[kind]).join(" ") || null,
      },
      // On a narrow screen the title stands beside it.
      append(h("div"), [column.cell(row)]),
    ),
  );
  return h("tr", { role: "row" }, cells);
}

/** Terms and what they are, as a list of descriptions; those without a value are left out. */
export function facts(pairs) {
  const list = h("dl", { class: "facts" });
  for (const [term, value] of pairs) {
    if (value === null || value === undefined || value === "") continue;
    list.append(h("div", null, h("dt", null, term), append(h("dd"), [value])));
  }
  return list;
}

/** A part of a view with a heading. */
export function card(title, ...children) {
  const heading = title && h("h2", null, title);
  return h("section", { class: "card" }, heading, ...children);
}
