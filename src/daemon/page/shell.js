// What all views share: notices, questions, errors, and parts that load.

import { ApiError } from "./api.js";
import { append, button, h, put } from "./dom.js";
import { plain } from "./format.js";
import { listen, live } from "./live.js";

const NOTICE_MS = 8_000;
const NOTICES = 4;

/** Says that something was done, or went wrong, without taking the focus. */
export function notice(text, kind = "good") {
  const box = document.getElementById("notices");
  const close = h("button", { type: "button", class: "quiet", "aria-label": "Close this notice" }, "×");
  const node = h("div", { class: `notice ${kind}` }, h("p", null, plain(text, 600)), close);
  close.addEventListener("click", () => node.remove());
  box.append(node);
  while (box.childElementCount > NOTICES) box.firstElementChild.remove();
  // Errors stay until they are closed.
  if (kind === "good") setTimeout(() => node.remove(), NOTICE_MS);
}

/** A text with a capital at its beginning and a point at its end. */
function sentence(text) {
  const whole = plain(text, 2000).trim();
  return whole[0]?.toUpperCase() + whole.slice(1) + (/[.!?…]$/.test(whole) ? "" : ".");
}

/** What an error says, and what to do. */
export function words(error) {
  if (error instanceof ApiError) return [error.message, error.advice].filter(Boolean).map(sentence).join(" ");
  return `This page has a fault: ${error?.message ?? error}. Load it again; if that does not help, report it.`;
}

/** Does something, and tells how it went; whether it went well. */
export async function attempt(work, done) {
  try {
    const result = await work();
    const text = typeof done === "function" ? done(result) : done;
    if (text) notice(text);
    return true;
  } catch (error) {
    if (error?.name !== "AbortError") notice(words(error), "bad");
    return false;
  }
}

/** Asks before something that can't be undone. */
export function confirm(title, text, yes) {
  const dialog = document.getElementById("confirm-dialog");
  put(document.getElementById("confirm-title"), title);
  put(document.getElementById("confirm-text"), text);
  const agree = document.getElementById("confirm-yes");
  const cancel = document.getElementById("confirm-no");
  put(agree, yes);
  dialog.showModal();
  cancel.focus();
  return new Promise((resolve) => {
    const end = new AbortController();
    const finish = (answer) => {
      end.abort();
      if (dialog.open) dialog.close();
      resolve(answer);
    };
    agree.addEventListener("click", () => finish(true), { signal: end.signal });
    cancel.addEventListener("click", () => finish(false), { signal: end.signal });
    // The event of an earlier question may come only now: it is not about this one.
    dialog.addEventListener("close", () => dialog.open || finish(false), { signal: end.signal });
  });
}

/** An error in its place, with a way to try again. */
export function problem(error, retry) {
  const box = h("div", { class: "problem", role: "alert" }, h("p", null, h("strong", null, sentence(error?.message ?? error))));
  const advice = error instanceof ApiError ? error.advice : "Load the page again; if that does not help, report it.";
  append(box, [advice && h("p", null, advice), retry && button("Try again", retry)]);
  return box;
}

const keyed = (node) => [...node.querySelectorAll("[data-key]")];

/**
 * Replaces what is in a node. The focus stays on what has the same `data-key`; where that is gone, it goes to what took
 * its place.
 */
export function redraw(node, ...content) {
  const focused = node.contains(document.activeElement) ? document.activeElement : null;
  const place = focused ? keyed(node).indexOf(focused) : -1;
  put(node, content);
  if (!focused) return;
  const now = keyed(node);
  const same = now.find((other) => focused.dataset.key && other.dataset.key === focused.dataset.key);
  const next = same ?? (place >= 0 ? now[Math.min(place, now.length - 1)] : null);
  if (next) next.focus();
  else {
    node.tabIndex = -1;
    node.focus();
  }
}

/** Fills a part of the page with what `work` gives; keeps what is there until then. */
export async function load(node, signal, work) {
  node.setAttribute("aria-busy", "true");
  if (node.childElementCount === 0) put(node, h("p", { class: "empty" }, "Loading…"));
  try {
    const content = await work();
    if (signal.aborted) return;
    redraw(node, content);
  } catch (error) {
    if (signal.aborted) return;
    const again = () => load(node, signal, work);
    put(node, problem(error, again));
    if (error instanceof ApiError && error.status === 0) onceBack(signal, again);
  } finally {
    node.removeAttribute("aria-busy");
  }
}

/** Does something as soon as the service answers again. */
function onceBack(signal, work) {
  const waiting = new AbortController();
  signal.addEventListener("abort", () => waiting.abort(), { once: true });
  const isBack = () => live.state === "live" || live.state === "polling";
  listen((kind) => {
    if (kind !== "state" || !isBack()) return;
    waiting.abort();
    work();
  }, waiting.signal);
}

/** Does something every so often until the signal ends; not while nobody looks. */
export function every(ms, signal, work) {
  const timer = setInterval(() => {
    if (!document.hidden) work();
  }, ms);
  signal.addEventListener("abort", () => clearInterval(timer), { once: true });
}

/** Copies a text, where the browser lets us: not on a plain HTTP address other than this computer's. */
export function copier(label, text) {
  if (!navigator.clipboard) return null;
  return button(label, () => attempt(() => navigator.clipboard.writeText(text), "Copied."));
}

/** The address of a view with a query. */
export function address(view, values = {}) {
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) {
    if (value !== null && value !== undefined && value !== "") params.set(name, String(value));
  }
  const text = params.toString();
  return `#/${view}${text ? `?${text}` : ""}`;
}

/**
 * Links to the next page of a list and back to the first. Cursors lead forward only; the browser's own way back
 * leads back.
 */
export function pager(view, values, next) {
  const links = [];
  if (values.cursor) links.push(h("a", { class: "button", href: address(view, { ...values, cursor: "" }) }, "First page"));
  if (next) links.push(h("a", { class: "button", rel: "next", href: address(view, { ...values, cursor: next }) }, "Next page"));
  return links.length > 0 ? h("nav", { class: "actions", "aria-label": "Pages" }, links) : null;
}
