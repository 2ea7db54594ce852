// The stream of figures: opened with the token, watched, and opened again when it breaks.

const SLOWEST_RETRY_S = 15;
const SILENT_S = 15;

/**
 * @typedef {{kind: "live"} | {kind: "connecting"} | {kind: "off"} |
 *   {kind: "waiting", seconds: number, why: string}} State
 */

/** What the gateway said instead of figures. */
export class Refused extends Error {
  /** @param {number} status @param {string} detail @param {number} retryAfter seconds, or 0 */
  constructor(status, detail, retryAfter = 0) {
    super(detail);
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

/**
 * The sentence of a problem document, or what there is instead.
 * @param {Response} answer
 */
export async function refusal(answer) {
  let detail = `The gateway answered ${answer.status}.`;
  try {
    const problem = await answer.json();
    if (typeof problem.detail === "string") detail = problem.detail;
  } catch {
    // Somebody between the gateway and this page has answered: the status is all that it said.
  }
  return new Refused(answer.status, detail, Number(answer.headers.get("retry-after")) || 0);
}

export class Connection {
  /**
   * @param {(snapshot: import("./figures.js").Snapshot) => void} onSnapshot
   * @param {(state: State) => void} onState
   * @param {(refused: Refused) => void} onRefused for a token or a space that is not known
   */
  constructor(onSnapshot, onState, onRefused) {
    this.onSnapshot = onSnapshot;
    this.onState = onState;
    this.onRefused = onRefused;
    this.stopped = new AbortController();
    this.tries = 0;
  }

  /** @param {string} token @param {string} space */
  open(token, space) {
    this.close();
    this.stopped = new AbortController();
    this.tries = 0;
    void this.keep(token, space, this.stopped.signal);
  }

  close() {
    this.stopped.abort();
    this.onState({ kind: "off" });
  }

  /** @param {string} token @param {string} space @param {AbortSignal} stopped */
  async keep(token, space, stopped) {
    while (!stopped.aborted) {
      this.onState({ kind: "connecting" });
      let why = "The connection ended";
      let least = 0;
      try {
        await this.read(token, space, stopped);
      } catch (error) {
        if (stopped.aborted) return;
        // Of the gateway's own answers these last; all others may be somebody's on the way.
        if (error instanceof Refused && (error.status === 401 || error.status === 400)) {
          this.onRefused(error);
          return;
        }
        why = error instanceof Refused ? error.message : "The gateway does not answer";
        least = error instanceof Refused ? error.retryAfter : 0;
      }
      if (stopped.aborted) return;
      const delay = Math.max(least, Math.min(SLOWEST_RETRY_S, 2 ** this.tries));
      this.tries += 1;
      await this.wait(delay, why, stopped);
    }
  }

  /** @param {string} token @param {string} space @param {AbortSignal} stopped */
  async read(token, space, stopped) {
    const silent = new AbortController();
    const signal = AbortSignal.any([stopped, silent.signal]);
    let watch = setTimeout(() => silent.abort(), SILENT_S * 1000);
    try {
      const answer = await fetch(`ops/api/live?space=${encodeURIComponent(space)}`, {
        headers: { authorization: `Bearer ${token}`, accept: "text/event-stream" },
        cache: "no-store",
        credentials: "omit",
        signal,
      });
      if (!answer.ok || !answer.body) throw await refusal(answer);
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      let text = "";
      for (;;) {
        const { value, done } = await reader.read();
        if (done) return;
        clearTimeout(watch);
        watch = setTimeout(() => silent.abort(), SILENT_S * 1000);
        const events = (text + value).split("\n\n");
        text = events.pop() ?? "";
        for (const event of events) if (!stopped.aborted) this.hear(event);
      }
    } finally {
      clearTimeout(watch);
    }
  }

  /** @param {string} event */
  hear(event) {
    const lines = event.split("\n");
    if (!lines.includes("event: snapshot")) return;
    const data = lines.filter((line) => line.startsWith("data: ")).map((line) => line.slice(6));
    this.tries = 0;
    this.onSnapshot(JSON.parse(data.join("\n")));
    this.onState({ kind: "live" });
  }

  /** @param {number} seconds @param {string} why @param {AbortSignal} stopped */
  async wait(seconds, why, stopped) {
    for (let left = Math.ceil(seconds); left > 0 && !stopped.aborted; left -= 1) {
      this.onState({ kind: "waiting", seconds: left, why });
      await new Promise((resolve) => setTimeout(resolve, 1000));
    }
  }
}
