// The files of a torrent, as a tree. Of tens of thousands only those are drawn that are looked at.

import { button, h, put } from "./dom.js";
import { bytes, count, number, outside } from "./format.js";

/** Entries that are drawn at a time. */
const STEP = 200;
/** Levels below which the rest of a path is shown as one name. */
const DEEPEST = 64;

function folder(name) {
  return { name, size: 0, count: 0, folders: new Map(), files: [] };
}

function parts(path) {
  const names = Array.isArray(path) ? path.map(String) : String(path ?? "").split("/");
  return names.length <= DEEPEST ? names : [...names.slice(0, DEEPEST), names.slice(DEEPEST).join("/")];
}

/** The tree of `[{ path, length }]`. */
function tree(files) {
  const root = folder("");
  for (const file of files) {
    const names = parts(file.path);
    const size = Number(file.length) || 0;
    let at = root;
    for (const name of names.slice(0, -1)) {
      at.size += size;
      at.count += 1;
      if (!at.folders.has(name)) at.folders.set(name, folder(name));
      at = at.folders.get(name);
    }
    at.size += size;
    at.count += 1;
    at.files.push({ name: names.at(-1), size });
  }
  return root;
}

function leaf(name, size) {
  return h("li", { class: "file" }, h("span", { class: "file-name" }, outside(name, 500)), h("span", { class: "number" }, bytes(size)));
}

function branch(node) {
  const inside = h("div", { hidden: true });
  const toggle = h(
    "button",
    { type: "button", class: "folder", "aria-expanded": "false" },
    h("span", { class: "file-name" }, outside(`${node.name}/`, 500)),
    h("span", { class: "number" }, `${count(node.count, "file")}, ${bytes(node.size)}`),
  );
  toggle.addEventListener("click", () => {
    const open = inside.hidden;
    inside.hidden = !open;
    toggle.setAttribute("aria-expanded", String(open));
    if (open && inside.childElementCount === 0) inside.append(list(node));
  });
  return h("li", null, toggle, inside);
}

/** A list of `count` entries that grows by steps. */
function growing(count, entry) {
  const items = h("ul", { class: "tree" });
  let drawn = 0;
  const grow = () => {
    const end = Math.min(drawn + STEP, count);
    const first = drawn;
    for (; drawn < end; drawn += 1) items.append(entry(drawn));
    if (drawn >= count) more.remove();
    else put(more, `Show ${number(Math.min(STEP, count - drawn))} more of ${number(count - drawn)}`);
    return items.children[first];
  };
  const more = button("", () => {
    const first = grow();
    // The button may be gone: the focus goes to what came.
    if (!more.isConnected) {
      first.tabIndex = -1;
      first.focus();
    }
  });
  const node = h("div", null, items, more);
  grow();
  return node;
}

function list(node) {
  const folders = [...node.folders.values()];
  return growing(folders.length + node.files.length, (index) => {
    if (index < folders.length) return branch(folders[index]);
    const file = node.files[index - folders.length];
    return leaf(file.name, file.size);
  });
}

/** The files with a field that filters them by their paths. */
export function fileTree(files) {
  if (files.length === 0) return h("p", { class: "empty" }, "It has no files.");
  const whole = list(tree(files));
  if (files.length < 10) return whole;
  const input = h("input", { type: "search", id: "file-filter", placeholder: "Part of a path" });
  const status = h("p", { class: "hint", role: "status" });
  const shown = h("div", null, whole);
  let waiting = null;
  input.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      const text = input.value.trim().toLowerCase();
      if (!text) {
        put(status);
        put(shown, whole);
        return;
      }
      const path = (file) => (Array.isArray(file.path) ? file.path.join("/") : String(file.path));
      const found = files.filter((file) => path(file).toLowerCase().includes(text));
      put(status, `${number(found.length)} of ${number(files.length)} files`);
      put(shown, growing(found.length, (index) => leaf(path(found[index]), found[index].length)));
    }, 150);
  });
  return [h("div", { class: "field" }, h("label", { for: "file-filter" }, "Filter the files"), input), status, shown];
}
