// Who looks: the token, kept in this tab only, and what it may do.

import { refusal } from "./connection.js";

const KEY = "bff-operator-token";

/** @typedef {{name: string, role: "read" | "act"}} Operator */

export const session = {
  get token() {
    return sessionStorage.getItem(KEY) ?? "";
  },

  /** @param {string} token */
  keep(token) {
    sessionStorage.setItem(KEY, token);
  },

  forget() {
    sessionStorage.removeItem(KEY);
  },
};

/**
 * Ask the operators' API. Raises Refused, or TypeError where there is no answer.
 * @param {string} path below `ops/api/`
 * @param {object} [body] makes it a POST
 * @param {string} [token]
 */
export async function ask(path, body, token = session.token) {
  /** @type {Record<string, string>} */
  const headers = { authorization: `Bearer ${token}`, accept: "application/json" };
  if (body) headers["content-type"] = "application/json";
  const answer = await fetch(`ops/api/${path}`, {
    method: body ? "POST" : "GET",
    headers,
    body: body && JSON.stringify(body),
    cache: "no-store",
    credentials: "omit",
  });
  if (!answer.ok) throw await refusal(answer);
  return await answer.json();
}

/**
 * A token as it may be sent: what else is in a header would be an error of the browser's.
 * @param {string} token
 */
export function sendable(token) {
  return /^[\x21-\x7e]+$/.test(token);
}
