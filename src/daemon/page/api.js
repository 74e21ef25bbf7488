// The HTTP API: requests, the token, errors in words, and streams.

const TOKEN = "metafetch.token";

let ask = null;
let asking = null;

/** What went wrong, and what to do. */
export class ApiError extends Error {
  constructor(message, { advice = "", status = 0, reason = "", body = {} } = {}) {
    super(message);
    this.advice = advice;
    this.status = status;
    this.reason = reason;
    /** The problem details, as they came. */
    this.body = body;
  }
}

/** Who asks the user for a token: `ask(why)` gives whether there is a new one. */
export function onTokenNeeded(handler) {
  ask = handler;
}

export function token() {
  try {
    return sessionStorage.getItem(TOKEN) ?? "";
  } catch {
    return "";
  }
}

export function setToken(text) {
  try {
    if (text) sessionStorage.setItem(TOKEN, text);
    else sessionStorage.removeItem(TOKEN);
  } catch {
    // Without storage there is no token, and the API says so.
  }
}

/** Several requests that need a token ask for it once. */
function needToken(why) {
  asking ??= Promise.resolve(ask ? ask(why) : false).finally(() => {
    asking = null;
  });
  return asking;
}

const ADVICE = {
  413: "Send less at a time.",
  415: "This page and the service do not fit together. Load the page again.",
  429: "Wait a little, then try again.",
  500: "Look into the log of the service, which says more.",
  503: "Try again later.",
  504: "Try again later, or with less work at a time.",
};

async function problem(response) {
  let body = {};
  try {
    body = JSON.parse(await response.text()) ?? {};
  } catch {
    // Not of the API: the status must do.
  }
  const said = body.detail || body.title || `The service answered ${response.status} ${response.statusText}`.trim();
  return new ApiError(String(said), {
    // The API says itself what to do; others do not.
    advice: body.detail ? "" : (ADVICE[response.status] ?? ""),
    status: response.status,
    reason: typeof body.reason === "string" ? body.reason : "",
    body,
  });
}

/** A request; gives the response if it is a good one. Paths are relative, so that a proxy may put the page below a path. */
export async function request(method, path, { body, signal, accept = "application/json", quiet = false } = {}) {
  for (;;) {
    const used = token();
    const headers = { accept };
    if (used) headers.authorization = `Bearer ${used}`;
    if (body !== undefined) headers["content-type"] = "application/json";
    let response;
    try {
      response = await fetch(path, {
        method,
        headers,
        signal,
        body: body === undefined ? undefined : JSON.stringify(body),
        cache: "no-store",
        credentials: "same-origin",
        redirect: "error",
      });
    } catch (error) {
      if (signal?.aborted) throw error;
      throw new ApiError("The service does not answer.", {
        advice: "See whether it runs, and whether this computer reaches it. The page goes on by itself once it is back.",
      });
    }
    if (response.ok) return response;
    if (response.status === 401 && !quiet) {
      // Another request may have brought one meanwhile.
      if (token() !== used) continue;
      const why = used ? "The service does not know this token. It may have been taken out of the configuration." : "";
      if (await needToken(why)) continue;
      throw new ApiError("The service asks for a token.", { advice: "Press “Token” above and give one.", status: 401 });
    }
    if (response.status === 403) {
      const error = await problem(response);
      if (error.reason === "forbidden") {
        error.advice = "This needs a token with the admin scope. Press “Token” above and give another one.";
      }
      throw error;
    }
    throw await problem(response);
  }
}

/** The JSON of an answer; `null` where it has none. */
export async function json(method, path, options) {
  const response = await request(method, path, options);
  const text = await response.text();
  if (text === "") return null;
  try {
    return JSON.parse(text);
  } catch {
    throw new ApiError("The service answered something that is no JSON.", {
      advice: "A proxy in between may have answered. Open the page at the service itself.",
    });
  }
}

export const get = (path, options) => json("GET", path, options);
export const post = (path, body, options) => json("POST", path, { body, ...options });
export const remove = (path, options) => json("DELETE", path, options);

/** A query string of what has a value. */
export function query(values) {
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) {
    if (value !== null && value !== undefined && value !== "") params.set(name, String(value));
  }
  const text = params.toString();
  return text ? `?${text}` : "";
}

/** The lines of a response, as they come. */
export async function* lines(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) break;
      rest += value;
      const parts = rest.split(/\r\n|\n|\r(?!$)/);
      rest = parts.pop();
      yield* parts;
    }
    if (rest) yield rest;
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** Server-sent events. `EventSource` can't send a token, so they are read from a fetch. */
export async function* events(path, { signal, onBytes = () => {} } = {}) {
  const response = await request("GET", path, { signal, accept: "text/event-stream", quiet: true });
  let name = "message";
  let data = [];
  for await (const line of lines(response)) {
    onBytes();
    if (line === "") {
      if (data.length > 0) yield { name, data: data.join("\n") };
      name = "message";
      data = [];
    } else if (line.startsWith("event:")) name = line.slice(6).trim();
    else if (line.startsWith("data:")) data.push(line.slice(5).replace(/^ /, ""));
  }
}

/** Downloads what needs the token, which a plain link can't send. */
export async function download(path, fallback) {
  const response = await request("GET", path, { accept: "*/*" });
  const said = /filename="([^"\\/]*)"/.exec(response.headers.get("content-disposition") ?? "");
  const url = URL.createObjectURL(await response.blob());
  const link = document.createElement("a");
  link.href = url;
  link.download = said?.[1] || fallback;
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
