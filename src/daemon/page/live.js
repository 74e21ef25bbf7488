// What happens in the service, as it happens: the event stream, or polling where that does not come through.

import { events, get, token } from "./api.js";

/** Seconds that the charts show. */
export const KEPT = 180;
/** Events that the list of the latest ones holds. */
const LATEST = 60;
/** Without a byte for so long the stream is dead: the service sends every second. */
const SILENCE_MS = 15_000;
const POLL_MS = 3_000;
const SLOWEST_MS = 15_000;

/** After so long in the background a page lets go of its streams. */
const UNSEEN_MS = 15_000;

const listeners = new Set();

let seen = new AbortController();

/**
 * Ends when the page is left, or was not looked at for a while: streams end with it. Browsers open six connections to a
 * service, for all pages together, and a stream takes one.
 */
export function whileSeen() {
  return seen.signal;
}

function letGo() {
  seen.abort();
  seen = new AbortController();
}

let unseen = null;

document.addEventListener("visibilitychange", () => {
  clearTimeout(unseen);
  if (document.hidden) unseen = setTimeout(letGo, UNSEEN_MS);
});
window.addEventListener("pagehide", letGo);

const visible = () =>
  new Promise((resolve) => {
    if (!document.hidden) resolve();
    else document.addEventListener("visibilitychange", () => resolve(visible()), { once: true });
  });

/** `state` is connecting, live, polling, lost or token. */
export const live = {
  state: "connecting",
  stats: null,
  /** `{ at, stats }`, oldest first. */
  samples: [],
  /** `{ at, event }`, newest first. */
  latest: [],
  missed: 0,
};

/** Tells `listener(kind, event)` of `state`, `stats` and `event` until the signal ends. */
export function listen(listener, signal) {
  listeners.add(listener);
  signal?.addEventListener("abort", () => listeners.delete(listener), { once: true });
}

function tell(kind, event) {
  for (const listener of [...listeners]) listener(kind, event);
}

function setState(state) {
  if (live.state === state) return;
  live.state = state;
  tell("state");
}

function takeStats(stats) {
  const at = Date.now();
  live.stats = stats;
  live.samples.push({ at, stats });
  while (live.samples.length > 2 && at - live.samples[0].at > KEPT * 1000) live.samples.shift();
  tell("stats");
}

function takeEvent(event) {
  live.latest.unshift({ at: Date.now(), event });
  live.latest.length = Math.min(live.latest.length, LATEST);
  tell("event", event);
}

function take({ name, data }) {
  let value;
  try {
    value = JSON.parse(data);
  } catch {
    return;
  }
  const kind = value?.event ?? name;
  if (name === "stats" || kind === "stats") takeStats(value.stats ?? value);
  else if (name === "lagged" || kind === "lagged") live.missed += Number(value.missed) || 0;
  else takeEvent({ event: kind, ...value });
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function stream() {
  const ended = new AbortController();
  let heard = Date.now();
  const watch = setInterval(() => {
    if (Date.now() - heard > SILENCE_MS) ended.abort();
  }, 1000);
  try {
    const options = {
      signal: AbortSignal.any([ended.signal, whileSeen()]),
      onBytes: () => {
        heard = Date.now();
      },
    };
    for await (const message of events("api/v1/events", options)) {
      setState("live");
      take(message);
    }
  } finally {
    clearInterval(watch);
    ended.abort();
  }
}

/** Goes on for as long as the page is open. */
export async function run() {
  let wait = POLL_MS;
  for (;;) {
    await visible();
    try {
      await stream();
      wait = POLL_MS;
    } catch (error) {
      if (error?.status === 401) {
        // A view asks for the token; go on once there is another one.
        const used = token();
        setState("token");
        while (token() === used) await pause(500);
        continue;
      }
    }
    try {
      takeStats(await get("api/v1/stats", { quiet: true, signal: AbortSignal.timeout(SILENCE_MS) }));
      setState("polling");
      wait = POLL_MS;
    } catch {
      setState("lost");
      wait = Math.min(wait * 1.5, SLOWEST_MS);
    }
    await pause(wait);
  }
}
