// Pictures come drawn from the gateway; here they are put in place, and a line follows the pointer
// through all of those that share the time axis.

import { count, duration, hourAndMinute, NOTHING, percent } from "./format.js";
import { byId, made, say } from "./dom.js";

const MINUTES = 60;
const parser = new DOMParser();

/** @type {Map<string, string>} */
const shown = new Map();

/** @param {Readonly<Record<string, string>>} charts SVG documents by name */
export function place(charts) {
  for (const [name, text] of Object.entries(charts)) {
    const frame = document.getElementById(`chart-${name}`);
    if (!frame || shown.get(name) === text) continue;
    const drawn = parser.parseFromString(text, "image/svg+xml").documentElement;
    if (drawn.localName !== "svg") continue;
    shown.set(name, text);
    const old = frame.querySelector("svg.chart");
    const fresh = document.importNode(drawn, true);
    if (old) old.replaceWith(fresh);
    else frame.append(fresh);
  }
}

/** The minute under the pointer, in words above the pictures. */
export class Readout {
  constructor() {
    this.line = byId("readout");
    this.frame = byId("timelines");
    /** @type {HTMLElement[]} */
    this.rules = [];
    for (const picture of this.frame.querySelectorAll(".picture.time")) {
      const rule = made("span", "", "pointer");
      rule.hidden = true;
      picture.append(rule);
      this.rules.push(rule);
      picture.addEventListener("pointermove", (event) => {
        const { left, width } = picture.getBoundingClientRect();
        const part = (/** @type {PointerEvent} */ (event).clientX - left) / width;
        this.index = Math.min(MINUTES - 1, Math.max(0, Math.floor(part * MINUTES)));
        this.tell();
      });
      picture.addEventListener("pointerleave", () => {
        this.index = null;
        this.tell();
      });
    }
    /** @type {number | null} */
    this.index = null;
    /** @type {import("./figures.js").Snapshot | null} */
    this.snapshot = null;
  }

  /** @param {import("./figures.js").Snapshot} snapshot */
  show(snapshot) {
    this.snapshot = snapshot;
    this.tell();
  }

  tell() {
    const snapshot = this.snapshot;
    if (!snapshot) return;
    const last = snapshot.minutes.at(-1);
    const newest = Math.floor((last ? last.at : snapshot.at) / 60);
    const index = this.index;
    for (const rule of this.rules) {
      rule.hidden = index === null;
      if (index !== null) rule.style.left = `${((index + 0.5) / MINUTES) * 100}%`;
    }
    if (index === null) {
      const from = hourAndMinute((newest - MINUTES + 1) * 60);
      say(this.line, `${from} to ${hourAndMinute(snapshot.at)}, one bar a minute`);
      return;
    }
    const at = newest - MINUTES + 1 + index;
    const minute = snapshot.minutes.find((each) => Math.floor(each.at / 60) === at);
    const when = hourAndMinute(at * 60);
    if (!minute) {
      say(this.line, `${when}: no figures`);
      return;
    }
    const { requests, failed, latency, calls, calls_saved: saved } = minute;
    const cached = minute.bootstraps ? minute.bootstraps_cached / minute.bootstraps : null;
    const told = [
      `${count(requests)} requests`,
      `${count(failed)} failed`,
      `${duration(latency.p50_ms)} / ${duration(latency.p99_ms)}`,
      `${count(calls)} calls, ${count(saved)} saved`,
      cached === null ? NOTHING : `${percent(cached)} from cache`,
    ];
    say(this.line, `${when}: ${told.join(" · ")}`);
  }
}
