// "Why was this answered so?", asked by request id or by URL and headers, and what comes back.

import { ask } from "./session.js";
import { Refused } from "./connection.js";
import { byId, made } from "./dom.js";
import { span } from "./format.js";

export class Explain {
  constructor() {
    this.id = /** @type {HTMLInputElement} */ (byId("explain-id"));
    this.url = /** @type {HTMLInputElement} */ (byId("explain-url"));
    this.headers = /** @type {HTMLTextAreaElement} */ (byId("explain-headers"));
    this.result = byId("explain-result");
    byId("explain-form").addEventListener("submit", (event) => {
      event.preventDefault();
      void this.run();
    });
  }

  /** @param {string} requestId */
  async about(requestId) {
    this.id.value = requestId;
    await this.run();
    this.result.scrollIntoView({ block: "nearest" });
    this.result.focus({ preventScroll: true });
  }

  forget() {
    this.id.value = this.url.value = this.headers.value = "";
    this.result.replaceChildren();
  }

  /** What is asked, or a sentence that says why it cannot be. */
  asked() {
    const id = this.id.value.trim();
    if (id) return { request_id: id };
    const url = this.url.value.trim();
    if (!url) return "Give a request id, or a URL.";
    /** @type {Record<string, string>} */
    const headers = {};
    for (const line of this.headers.value.split("\n").filter((each) => each.trim())) {
      const colon = line.indexOf(":");
      if (colon < 1) return `“${line.trim().slice(0, 20)}…” is no header: write “Name: value”.`;
      headers[line.slice(0, colon).trim()] = line.slice(colon + 1).trim();
    }
    return { url, headers };
  }

  async run() {
    const asked = this.asked();
    if (typeof asked === "string") {
      this.tell(asked, "bad");
      return;
    }
    this.tell("Asking …");
    try {
      this.show(await ask("explain", asked));
    } catch (error) {
      this.tell(error instanceof Refused ? error.message : "The gateway does not answer.", "bad");
    }
  }

  /** @param {string} text @param {string} [kind] */
  tell(text, kind = "") {
    this.result.replaceChildren(made("p", text, kind));
  }

  /** @param {Record<string, any>} answer */
  show(answer) {
    const sentence = answer.sentence ?? answer.answer?.sentence ?? "";
    const all = made("details");
    all.append(made("summary", "Everything that is known"), listed(answer));
    const documents = (answer.documents ?? []).map(documented);
    this.result.replaceChildren(made("p", sentence, "sentence"), ...documents, all);
  }
}

/**
 * One document of an answer, in a line and why.
 * @param {Record<string, any>} of
 */
function documented(of) {
  const card = made("div", "", "document");
  const name = of.ident ? `${of.resource} of ${of.ident}` : of.resource;
  const how = of.plan_text ?? [of.outcome, of.tier].filter(Boolean).join(" from ");
  card.append(made("p", `${name}: ${how}`, "how"));
  const seen = typeof of.age_s === "number" ? `${span(of.age_s)} old` : "";
  const why = of.why ?? seen;
  if (why) card.append(made("p", why, "hint"));
  return card;
}

/**
 * Any JSON as nested lists: names of fields stay those of the API.
 * @param {unknown} value
 * @returns {HTMLElement}
 */
function listed(value) {
  if (Array.isArray(value)) {
    if (value.every((each) => typeof each !== "object")) return made("span", value.join(", ") || "none");
    const list = made("ol");
    for (const each of value) {
      const item = made("li");
      item.append(listed(each));
      list.append(item);
    }
    return list;
  }
  if (value && typeof value === "object") {
    const list = made("dl");
    for (const [name, inner] of Object.entries(value)) {
      if (inner === null || inner === "") continue;
      const row = made("div");
      const held = made("dd");
      held.append(listed(inner));
      row.append(made("dt", name.replaceAll("_", " ")), held);
      list.append(row);
    }
    return list;
  }
  if (typeof value === "boolean") return made("span", value ? "yes" : "no");
  if (typeof value === "number") return made("span", String(Math.round(value * 1000) / 1000));
  return made("span", String(value));
}
