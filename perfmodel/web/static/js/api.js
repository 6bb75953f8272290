// Requests to the API of this server: errors with their fields, and the newest of many requests first.

const PREFIX = "/api/v1";
const PATIENCE = 1500; // ms after which an answer on its way is given up for a newer question

export class Refused extends Error {
  constructor(document, status) {
    super(document.error ?? `the server answered ${status}`);
    this.status = status;
    this.mistakes = document.mistakes ?? [{ where: document.where ?? "server", error: this.message }];
  }
}

export async function ask(method, path, body, signal) {
  const blob = body instanceof Blob;
  const headers = body === undefined ? {} : { "content-type": blob ? "application/octet-stream" : "application/json" };
  let response;
  try {
    response = await fetch(PREFIX + path, {
      method, headers, signal, body: body === undefined || blob ? body : JSON.stringify(body),
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused({ error: "the server does not answer: has it ended?", where: "server" }, 0);
  }
  const text = await response.text();
  let found;
  try {
    found = JSON.parse(text);
  } catch {
    throw new Refused({ error: `the server answered ${response.status} without JSON`, where: "server" }, response.status);
  }
  if (!response.ok) throw new Refused(found, response.status);
  return found;
}

export const get = (path, signal) => ask("GET", path, undefined, signal);
export const post = (path, body, signal) => ask("POST", path, body, signal);

// A function that does one piece of work at a time. While one is under way only the newest of those asked for waits, so
// that a slider neither floods the server nor lags behind it: each answer is drawn, and the next question is the latest.
export function newest(work) {
  let waiting = null;
  let current = null;
  const run = async () => {
    while (waiting) {
      const [argument] = waiting;
      waiting = null;
      current = { controller: new AbortController(), began: performance.now() };
      try {
        await work(argument, current.controller.signal);
      } catch (error) {
        if (error.name !== "AbortError") throw error;
      }
    }
    current = null;
  };
  return {
    ask(argument) {
      waiting = [argument];
      if (!current) run();
      else if (performance.now() - current.began > PATIENCE) current.controller.abort();
    },
    cancel() {
      waiting = null;
      current?.controller.abort();
    },
  };
}
