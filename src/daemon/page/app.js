// The frame of the page: which view is shown, the menu, the theme, the token, the connection.

import { onTokenNeeded, setToken, token } from "./api.js";
import { h, put } from "./dom.js";
import { tick } from "./format.js";
import { listen, live, run } from "./live.js";
import { problem } from "./shell.js";
import { ask } from "./views/ask.js";
import { blocklist } from "./views/blocklist.js";
import { diagnose } from "./views/diagnose.js";
import { failed } from "./views/failed.js";
import { health } from "./views/health.js";
import { overview } from "./views/overview.js";
import { peers } from "./views/peers.js";
import { queue } from "./views/queue.js";
import { settings } from "./views/settings.js";
import { torrent } from "./views/torrent.js";
import { torrents } from "./views/torrents.js";

/** The views by their names in the address: title, whether the menu has it, how it is drawn. */
const VIEWS = [
  { name: "", title: "Overview", draw: overview },
  { name: "torrents", title: "Torrents", draw: torrents, one: torrent },
  { name: "ask", title: "Ask for hashes", draw: ask },
  { name: "queue", title: "Sources and queue", draw: queue },
  { name: "failed", title: "Failed", draw: failed },
  { name: "peers", title: "Peers", draw: peers },
  { name: "diagnose", title: "Diagnose", draw: diagnose, one: diagnose },
  { name: "blocklist", title: "Blocklist", draw: blocklist },
  { name: "settings", title: "Settings", draw: settings },
  { name: "health", title: "Health", draw: health },
];

const main = document.getElementById("main");
const menu = document.getElementById("menu");
const menuButton = document.getElementById("menu-button");

let leaving = new AbortController();
let shown = null;

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function route() {
  const [path, search = ""] = location.hash.replace(/^#\/?/, "").split("?", 2);
  const [name, ...rest] = path.split("/");
  const id = decoded(rest.join("/"));
  const view = VIEWS.find((candidate) => candidate.name === name);
  return { view, id, name, query: new URLSearchParams(search) };
}

async function draw() {
  const { view, id, name, query } = route();
  leaving.abort();
  leaving = new AbortController();
  const { signal } = leaving;
  const first = shown === null;
  const again = shown === `${name}/${id}`;
  shown = `${name}/${id}`;
  openMenu(false);
  for (const link of menu.querySelectorAll("a")) {
    if (link.dataset.view === name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const title = view?.title ?? "No such page";
  document.title = `${title} – metafetch`;
  const heading = h("h1", { tabindex: "-1" }, title);
  const body = h("div", { class: "view" });
  put(main, heading, body);
  if (!first) (again ? main : heading).focus({ preventScroll: again });
  if (!again) window.scrollTo(0, 0);
  const retitle = (text) => {
    put(heading, text);
    document.title = `${heading.textContent.slice(0, 80)} – metafetch`;
  };
  if (!view) {
    put(body, h("p", null, "There is no such page. Choose one in the menu."));
    return;
  }
  try {
    await (id && view.one ? view.one : view.draw)({ body, signal, id, query, retitle });
  } catch (error) {
    if (!signal.aborted) put(body, problem(error, draw));
  }
}

function openMenu(open) {
  menuButton.setAttribute("aria-expanded", String(open));
  menu.classList.toggle("open", open);
}

const THEMES = ["system", "light", "dark"];

function theme() {
  return document.documentElement.dataset.theme ?? "system";
}

function setTheme(name) {
  if (name === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = name;
  try {
    if (name === "system") localStorage.removeItem("metafetch.theme");
    else localStorage.setItem("metafetch.theme", name);
  } catch {
    // It holds until the page is loaded again.
  }
  showTheme();
}

function showTheme() {
  put(document.getElementById("theme-button"), h("span", { class: "long" }, "Theme: "), theme());
  document.getElementById("theme-button").setAttribute("aria-label", `Theme: ${theme()}`);
}

/** Asks for a token; whether there is a new one. */
function askForToken(why) {
  const dialog = document.getElementById("token-dialog");
  const input = document.getElementById("token-input");
  const forget = document.getElementById("token-forget");
  if (why) put(document.getElementById("token-why"), why);
  input.value = "";
  forget.hidden = token() === "";
  if (!dialog.open) dialog.showModal();
  input.focus();
  return new Promise((resolve) => {
    const end = new AbortController();
    const { signal } = end;
    const finish = (answer) => {
      end.abort();
      if (dialog.open) dialog.close();
      resolve(answer);
    };
    const submit = (event) => {
      event.preventDefault();
      const text = input.value.trim();
      if (!text) return input.focus();
      input.value = "";
      setToken(text);
      finish(true);
    };
    document.getElementById("token-form").addEventListener("submit", submit, { signal });
    forget.addEventListener("click", () => finish(setToken("") ?? true), { signal });
    document.getElementById("token-cancel").addEventListener("click", () => finish(false), { signal });
    // The event of an earlier time may come only now: it is not about this one.
    dialog.addEventListener("close", () => dialog.open || finish(false), { signal });
  });
}

const CONNECTION = {
  connecting: ["wait", "Connecting…"],
  live: ["good", "Live"],
  polling: ["warn", "Live stream interrupted. Asking every few seconds."],
  lost: ["bad", "No connection. The service does not answer; trying again."],
  token: ["warn", "A token is needed."],
};

function showConnection() {
  const [kind, text] = CONNECTION[live.state];
  const node = document.getElementById("connection");
  node.className = `connection ${kind}`;
  put(node, text);
}

for (const { name, title } of VIEWS) {
  menu.append(h("a", { href: `#/${name}`, "data-view": name }, title));
}
menuButton.addEventListener("click", () => openMenu(!menu.classList.contains("open")));
menu.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && menu.classList.contains("open")) {
    openMenu(false);
    menuButton.focus();
  }
});
document.getElementById("skip").addEventListener("click", (event) => {
  // The address is the view's.
  event.preventDefault();
  main.focus();
});
document.getElementById("theme-button").addEventListener("click", () => {
  setTheme(THEMES[(THEMES.indexOf(theme()) + 1) % THEMES.length]);
});
document.getElementById("token-button").addEventListener("click", async () => {
  if (await askForToken("")) draw();
});
onTokenNeeded(askForToken);
listen((kind) => kind === "state" && showConnection());
window.addEventListener("hashchange", draw);
window.addEventListener("pagehide", () => leaving.abort());
window.addEventListener("pageshow", (event) => event.persisted && draw());
setInterval(tick, 5_000);
showTheme();
showConnection();
draw();
run();
