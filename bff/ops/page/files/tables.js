// Tables whose rows are kept by key. On a narrow screen each row becomes a card, so the roles are
// said explicitly: changing `display` would take them away.

import { children, made, mark, say } from "./dom.js";

/**
 * @template T
 * @typedef {object} Column
 * @property {string} title
 * @property {(item: T) => string} [text]
 * @property {() => HTMLElement} [make] what the cell holds, where it is more than text
 * @property {(held: HTMLElement, item: T) => void} [fill]
 * @property {"number" | "long" | ""} [kind]
 */

/** @template T */
export class Table {
  /**
   * @param {Element} parent a <details>, filled only while it is open, or any other element
   * @param {string} caption
   * @param {Column<T>[]} columns
   * @param {(item: T) => string} keyOf
   * @param {string} empty what stands there when there is nothing
   */
  constructor(parent, caption, columns, keyOf, empty) {
    this.columns = columns;
    this.keyOf = keyOf;
    /** @type {readonly T[]} */
    this.items = [];
    this.details = parent instanceof HTMLDetailsElement ? parent : null;
    this.details?.addEventListener("toggle", () => this.fill());
    this.table = role(made("table"), "table");
    this.table.append(made("caption", caption, "unseen"));
    const head = role(made("thead"), "rowgroup");
    const row = role(made("tr"), "row");
    for (const column of columns) {
      const cell = role(made("th", column.title, column.kind ?? ""), "columnheader");
      cell.setAttribute("scope", "col");
      row.append(cell);
    }
    head.append(row);
    this.body = role(made("tbody"), "rowgroup");
    this.table.append(head, this.body);
    this.none = made("p", empty, "none");
    parent.append(this.table, this.none);
    this.fill();
  }

  /** @param {readonly T[]} items */
  show(items) {
    this.items = items;
    this.fill();
  }

  fill() {
    if (this.details && !this.details.open) return;
    this.table.hidden = this.items.length === 0;
    this.none.hidden = this.items.length > 0;
    children(this.body, this.items, this.keyOf, () => this.row(), (row, item) => {
      this.columns.forEach((column, index) => {
        const cell = row.children[index];
        if (column.fill) column.fill(/** @type {HTMLElement} */ (cell.firstElementChild), item);
        else say(cell, column.text?.(item) ?? "");
      });
    });
  }

  row() {
    const row = role(made("tr"), "row");
    for (const column of this.columns) {
      const cell = role(made("td", "", column.kind ?? ""), "cell");
      mark(cell, "data-title", column.title);
      if (column.make) cell.append(column.make());
      row.append(cell);
    }
    return row;
  }
}

/** @param {HTMLElement} element @param {string} name */
function role(element, name) {
  element.setAttribute("role", name);
  return element;
}

/**
 * A word with a sign before it: colour is never all that says it.
 * @param {HTMLElement} element
 * @param {"good" | "warn" | "bad" | "plain"} kind
 * @param {string} text
 */
export function chip(element, kind, text) {
  mark(element, "data-kind", kind);
  say(element, text);
}
