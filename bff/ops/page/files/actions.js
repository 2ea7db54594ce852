// What operators may change. Each form says in a dialog what exactly will happen, then what did.

import { count } from "./format.js";
import { ask } from "./session.js";
import { Refused } from "./connection.js";
import { confirmed } from "./dialog.js";
import { byId, children, made, mark, say } from "./dom.js";

const ALL = "*";

/** @type {Record<string, {label: string, mode: string}>} */
const WHAT = {
  user: { label: "User id", mode: "numeric" },
  coworker: { label: "Coworker id", mode: "numeric" },
  token: { label: "Digest of the token, 32 characters", mode: "text" },
};

/** @param {string} id */
const select = (id) => /** @type {HTMLSelectElement} */ (byId(id));

export class Actions {
  constructor() {
    this.mayAct = false;
    this.paused = false;
    /** @type {import("./figures.js").Snapshot | null} */
    this.snapshot = null;
    this.value = /** @type {HTMLInputElement} */ (byId("purge-value"));
    select("purge-what").addEventListener("change", () => this.choose());
    this.on("purge", () => this.purge());
    this.on("refreshes", () => this.refreshes());
    this.on("level", () => this.level());
    this.on("sharing", () => this.sharing());
    this.choose();
  }

  /** @param {boolean} mayAct */
  allow(mayAct) {
    this.mayAct = mayAct;
    byId("may-not").hidden = mayAct;
    for (const group of document.querySelectorAll("fieldset.acting")) {
      /** @type {HTMLFieldSetElement} */ (group).disabled = !mayAct;
    }
  }

  /** @param {import("./figures.js").Snapshot} snapshot */
  show(snapshot) {
    const before = this.snapshot;
    this.snapshot = snapshot;
    this.paused = snapshot.refreshes_paused;
    say(byId("refreshes-state"), this.paused ? "paused" : "run");
    say(byId("refreshes-button"), this.paused ? "Resume …" : "Pause …");
    // Not over the head of somebody who is choosing.
    if (before?.log_level !== snapshot.log_level) select("log-level").value = snapshot.log_level.toLowerCase();
    const spaces = snapshot.spaces.map((name) => ({ name, text: name }));
    const all = spaces.length > 1 ? [{ name: ALL, text: "all spaces" }] : [];
    options(select("purge-space"), [...spaces, ...all]);
    options(select("sharing-space"), spaces);
  }

  choose() {
    const what = WHAT[select("purge-what").value];
    const label = byId("purge-value-label");
    label.hidden = this.value.hidden = !what;
    if (!what) return;
    say(label, what.label);
    mark(this.value, "inputmode", what.mode);
  }

  async purge() {
    const what = select("purge-what").value;
    const chosen = select("purge-space").value;
    const value = this.value.value.trim();
    const form = what === "token" ? /^[A-Za-z0-9_-]{32}$/ : /^[1-9]\d{0,18}$/;
    if (what !== "everything" && !form.test(value)) {
      this.value.focus();
      return `Give the ${WHAT[what].label[0].toLowerCase()}${WHAT[what].label.slice(1)}.`;
    }
    const where = chosen === ALL ? "all spaces" : chosen;
    const [text, yes] = this.purged(what, value, where);
    if (!(await confirmed("Purge", text, yes))) return "";
    const wanted = { [what]: what === "everything" ? true : value };
    const done = await ask("purge", { ...(chosen === ALL ? { spaces: "all" } : { space: chosen }), ...wanted });
    const reach = done.everywhere
      ? "in every process"
      : done.stored
        ? "stored: processes that did not answer drop it before its next use"
        : "here; Redis is away, the others follow when it is back";
    return `Purged ${done.purged} of ${where}: ${reach}.`;
  }

  /** @param {string} what @param {string} value @param {string} where */
  purged(what, value, where) {
    const next = "In every process and in Redis; the next read asks Nexudus.";
    if (what === "user") return [`The profile lists in all tokens of user ${value} in ${where} are dropped. ${next}`, `Purge user ${value}`];
    if (what === "coworker") return [`Every list in ${where} that coworker ${value} is in is dropped. ${next}`, `Purge coworker ${value}`];
    if (what === "token") return [`What is kept for the token ${value} in ${where} is dropped. ${next}`, "Purge this token"];
    const asked = this.snapshot?.minutes.at(-2)?.bootstraps ?? 0;
    const load = asked ? ` In the last minute there were ${count(asked)} bootstraps: as many members may ask Nexudus at once, within the budget.` : "";
    return [`Every document of every member of ${where} is dropped, in every process and in Redis.${load}`, `Purge everything of ${where}`];
  }

  async refreshes() {
    const pause = !this.paused;
    const text = pause
      ? "No process refreshes stale documents in the background. Members are served what is kept until it is too old, then wait for Nexudus."
      : "Stale documents are refreshed in the background again.";
    if (!(await confirmed(pause ? "Pause refreshes" : "Resume refreshes", text, pause ? "Pause" : "Resume"))) return "";
    await ask("refreshes", { paused: pause });
    return pause ? "Refreshes are paused." : "Refreshes run again.";
  }

  async level() {
    const level = select("log-level").value;
    const text = `Every process logs ${level} and what is more urgent, until it is set again.`;
    if (!(await confirmed("Log level", text, `Set ${level}`))) return "";
    await ask("log-level", { level });
    return `The log level is ${level}.`;
  }

  async sharing() {
    const space = select("sharing-space").value;
    const text = `Related lists of ${space} are shared between the tokens of those who may see them, as before a comparison found two that differ. Do this only once it is known why they did.`;
    if (!(await confirmed("Share related lists again", text, "Share again"))) return "";
    await ask("sharing", { space, scope: "coworker" });
    return `Related lists of ${space} are shared again.`;
  }

  /** @param {string} name @param {() => Promise<string>} act */
  on(name, act) {
    const result = byId(`${name}-result`);
    byId(`${name}-form`).addEventListener("submit", async (event) => {
      event.preventDefault();
      if (!this.mayAct) return;
      result.classList.remove("bad");
      say(result, "");
      try {
        say(result, await act());
      } catch (error) {
        result.classList.add("bad");
        say(result, error instanceof Refused ? error.message : "The gateway does not answer: look whether it was done before trying again.");
      }
    });
  }
}

/**
 * @param {HTMLSelectElement} parent
 * @param {{name: string, text: string}[]} wanted
 */
export function options(parent, wanted) {
  children(parent, wanted, (each) => each.name, () => made("option"), (child, each) => {
    const option = /** @type {HTMLOptionElement} */ (child);
    mark(option, "value", each.name);
    say(option, each.text);
  });
}
