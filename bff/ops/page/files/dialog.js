// Nothing is changed before it was said what will be, and somebody agreed.

import { byId, say } from "./dom.js";

/**
 * @param {string} title
 * @param {string} text what exactly will happen
 * @param {string} yes the words on the button
 * @returns {Promise<boolean>}
 */
export function confirmed(title, text, yes) {
  const dialog = /** @type {HTMLDialogElement} */ (byId("confirm"));
  const agree = /** @type {HTMLButtonElement} */ (byId("confirm-yes"));
  const refuse = /** @type {HTMLButtonElement} */ (byId("confirm-no"));
  say(byId("confirm-title"), title);
  say(byId("confirm-text"), text);
  say(agree, yes);
  dialog.returnValue = "";
  return new Promise((resolve) => {
    agree.onclick = () => dialog.close("yes");
    refuse.onclick = () => dialog.close("");
    dialog.onclose = () => resolve(dialog.returnValue === "yes");
    dialog.showModal();
    // The way back is the first choice: Enter alone drops nothing.
    refuse.focus();
  });
}
