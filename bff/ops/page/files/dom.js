// The document is changed in place, and only where it differs: focus, selection, open tables and
// the place that one has scrolled to stay as they are.

import { ago, exact } from "./format.js";

/**
 * @template {Element} T
 * @param {string} id
 * @returns {T}
 */
export function byId(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`The page has no ${id}.`);
  return /** @type {T} */ (/** @type {unknown} */ (found));
}

/**
 * @param {Element} element
 * @param {string} text
 */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * @param {Element} element
 * @param {string} name
 * @param {string} value
 */
export function mark(element, name, value) {
  if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

/**
 * @param {string} name
 * @param {string} [text]
 * @param {string} [kind] its class
 */
export function made(name, text = "", kind = "") {
  const element = document.createElement(name);
  if (text) element.textContent = text;
  if (kind) element.className = kind;
  return element;
}

/**
 * One child for each item, in order; children are kept by key.
 * @template T
 * @param {Element} parent
 * @param {readonly T[]} items
 * @param {(item: T) => string} keyOf
 * @param {() => HTMLElement} make
 * @param {(child: HTMLElement, item: T) => void} fill
 */
export function children(parent, items, keyOf, make, fill) {
  const kept = new Map();
  for (const child of parent.children) kept.set(child.getAttribute("data-key"), child);
  let after = null;
  const used = new Set();
  for (const item of items) {
    let key = keyOf(item);
    while (used.has(key)) key += "+";
    used.add(key);
    let child = kept.get(key);
    if (!child) {
      child = make();
      child.setAttribute("data-key", key);
    }
    fill(child, item);
    const place = after ? after.nextElementSibling : parent.firstElementChild;
    if (place !== child) parent.insertBefore(child, place);
    after = child;
  }
  for (const [key, child] of kept) if (!used.has(key)) child.remove();
}

let ahead = 0;

/** The gateway's clock counts, not this machine's. @param {number} at UTC seconds there, now */
export function setClock(at) {
  ahead = at - Date.now() / 1000;
}

/** UTC seconds by the gateway's clock. */
export function now() {
  return Date.now() / 1000 + ahead;
}

/**
 * How long ago, with the exact time behind it.
 * @param {Element} element a <time>
 * @param {number} at UTC seconds
 */
export function since(element, at) {
  mark(element, "data-at", String(at));
  mark(element, "datetime", new Date(at * 1000).toISOString());
  mark(element, "title", exact(at));
  say(element, ago(now() - at));
}

/** To be called each second. */
export function tellTimes() {
  for (const element of document.querySelectorAll("time[data-at]")) {
    say(element, ago(now() - Number(element.getAttribute("data-at"))));
  }
}
