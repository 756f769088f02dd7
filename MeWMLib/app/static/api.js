// Requests to the server of this app. The token stands in the fragment of the address, which no request carries.

const AGAIN_MS = [300, 700, 1500, 3000, 5000];

export class AppError extends Error {
  constructor(told) {
    super(told.what);
    Object.assign(this, told);
  }
}

export const token = () => new URLSearchParams(location.hash.slice(1)).get("token") || "";

const lost = new AppError({
  type: "Lost", what: "The app does not answer", given: "", remedy: "Look whether `mewm app` still runs; this page goes on by itself once it answers",
});
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

// Told true when the server does not answer, and false when it does again.
export const line = { onchange: () => {} };
let away = false;
function reached(yes) {
  if (away === yes) {
    away = !yes;
    line.onchange(away);
  }
}

async function raw(method, path, body, more = {}) {
  let answer;
  try {
    answer = await fetch(path, { method, body, headers: { Authorization: `Bearer ${token()}` }, redirect: "error", ...more });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    reached(false);
    throw lost;
  }
  reached(true);
  if (answer.ok) return answer;
  let told = { what: `The app answered ${answer.status}`, given: "", remedy: "" };
  try {
    told = (await answer.json()).error || told;
  } catch { /* no JSON: what was said above must do */ }
  throw new AppError(told);
}

// What changes nothing twice is asked again while the line is cut.
async function patient(method, path, body, more) {
  for (let n = 0; ; n++) {
    try {
      return await raw(method, path, body, more);
    } catch (error) {
      if (error !== lost || n >= AGAIN_MS.length) throw error;
      await pause(AGAIN_MS[n]);
    }
  }
}

export const get = async (path) => (await patient("GET", path)).json();
export const post = async (path, data) => (await raw("POST", path, JSON.stringify(data || {}))).json();
export const put = async (path, data) => (await patient("PUT", path, JSON.stringify(data))).json();
export const remove = async (path) => (await raw("DELETE", path)).json();
export const sendFile = async (path, file) => (await patient("PUT", path, file)).json();
export const patchBytes = async (path, bytes) => (await patient("PATCH", path, bytes)).json();
export const bytes = async (path) => (await patient("GET", path)).arrayBuffer();
export const blob = async (path) => (await patient("GET", path)).blob();

// Bytes with the edition that they are of.
export async function edition(path) {
  const answer = await patient("GET", path);
  return { edition: Number(answer.headers.get("X-MeWM-Edition")), bytes: await answer.arrayBuffer() };
}

// Every event of a job from the first one on, to its end; a cut line is taken up where it broke.
export async function follow(jobId, onEvent, signal) {
  let offset = 0;
  for (;;) {
    try {
      const answer = await raw("GET", `/jobs/${jobId}/events?offset=${offset}`, undefined, { signal });
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = "";
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        rest += value;
        const lines = rest.split("\n");
        rest = lines.pop();
        for (const text of lines) {
          if (!text.trim()) continue;
          const event = JSON.parse(text);
          if (event.queue) onEvent({ kind: "queue", ...event.queue });
          else {
            offset++;
            onEvent(event);
            if (event.kind === "result" || event.kind === "error") return event;
          }
        }
      }
      // it ended without an end: the server knows whether the job is over
      const state = (await get(`/jobs/${jobId}`)).state;
      if (!["queued", "running", "uploading"].includes(state)) return null;
    } catch (error) {
      if (error.name === "AbortError") return null;
      if (error instanceof AppError && error !== lost) throw error;
      reached(false);
    }
    await pause(700);
  }
}

// Hand a file to the user; a link could carry no token.
export function saveAs(content, name) {
  const url = URL.createObjectURL(content);
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60000);
}
