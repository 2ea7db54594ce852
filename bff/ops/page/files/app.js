// The page: asks for a token, follows the figures of the space in its address, tells how it fares.

import { Actions, options } from "./actions.js";
import { Connection } from "./connection.js";
import { byId, mark, now, say, tellTimes } from "./dom.js";
import { Explain } from "./explain.js";
import { Figures } from "./figures.js";
import { span } from "./format.js";
import { ask, sendable, session } from "./session.js";

const OLD_S = 6;

const prompt = byId("prompt");
const tokenInput = /** @type {HTMLInputElement} */ (byId("token"));
const tokenError = byId("token-error");
const spaces = /** @type {HTMLSelectElement} */ (byId("space"));
const notice = byId("notice");

const explain = new Explain();
const actions = new Actions();
const figures = new Figures((requestId) => void explain.about(requestId));

/** @type {import("./connection.js").State} */
let state = { kind: "off" };
let heardAt = 0;

const connection = new Connection(
  (snapshot) => {
    heardAt = snapshot.at;
    figures.show(snapshot);
    actions.show(snapshot);
    const known = new Set([...snapshot.spaces, snapshot.space].filter(Boolean));
    const names = [...known].map((name) => ({ name, text: name }));
    options(spaces, [{ name: "", text: "all spaces" }, ...names]);
    if (spaces.value !== snapshot.space) spaces.value = snapshot.space;
  },
  (next) => {
    state = next;
    tellConnection();
  },
  (refused) => {
    if (refused.status === 401) askForToken(refused.message);
    else if (wantedSpace()) {
      tellNotice(`${refused.message} These are the figures of all spaces.`);
      history.replaceState(null, "", location.pathname);
      follow();
    } else tellNotice(refused.message);
  },
);

function wantedSpace() {
  return new URLSearchParams(location.hash.slice(1)).get("space") ?? "";
}

/** @param {string} text */
function tellNotice(text) {
  say(notice, text);
  notice.hidden = !text;
}

function tellConnection() {
  const age = now() - heardAt;
  const old = heardAt > 0 && age > OLD_S;
  const kind = state.kind === "live" && old ? "old" : state.kind;
  const behind = old ? `figures are ${span(age)} old` : "";
  const told = {
    live: old ? "" : "live",
    connecting: heardAt ? "reconnecting" : "connecting",
    off: "not connected",
    waiting: state.kind === "waiting" ? `${state.why.replace(/\.$/, "")}; reconnecting in ${state.seconds} s` : "",
  }[state.kind];
  mark(byId("connection"), "data-state", kind);
  byId("figures").toggleAttribute("data-old", old);
  say(byId("connection-text"), [told, behind].filter(Boolean).join("; "));
}

function follow() {
  connection.open(session.token, wantedSpace());
}

/** @param {string} [why] */
function askForToken(why = "") {
  connection.close();
  session.forget();
  explain.forget();
  heardAt = 0;
  prompt.hidden = false;
  byId("figures").hidden = byId("controls").hidden = true;
  tokenInput.value = "";
  say(tokenError, why);
  mark(tokenInput, "aria-invalid", String(Boolean(why)));
  tokenInput.focus();
}

/** @param {string} token */
async function enter(token) {
  if (!sendable(token)) {
    askForToken(token ? "A token has no spaces and no special characters." : "Paste your operator token.");
    return;
  }
  let operator;
  try {
    operator = await ask("whoami", undefined, token);
  } catch (error) {
    const refused = /** @type {{status?: number, message: string}} */ (error);
    if (refused.status === 401) askForToken("This token is not known here. Check that it is whole, and of this gateway.");
    else {
      prompt.hidden = false;
      const why = refused.status ? refused.message : "The gateway does not answer.";
      say(tokenError, session.token ? `${why} Trying again …` : why);
      if (session.token) setTimeout(() => void enter(session.token), 3000);
    }
    return;
  }
  session.keep(token);
  prompt.hidden = true;
  byId("figures").hidden = byId("controls").hidden = false;
  say(byId("who"), `${operator.name} · ${operator.role === "act" ? "may act" : "may read"}`);
  actions.allow(operator.role === "act");
  tokenInput.value = "";
  say(tokenError, "");
  follow();
}

byId("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  void enter(tokenInput.value.trim());
});
byId("skip").addEventListener("click", (event) => {
  // The fragment is the space's.
  event.preventDefault();
  byId("main").focus();
});
byId("forget").addEventListener("click", () => askForToken());
spaces.addEventListener("change", () => {
  location.hash = spaces.value ? `space=${encodeURIComponent(spaces.value)}` : "";
});
addEventListener("hashchange", () => {
  tellNotice("");
  if (session.token) follow();
});
setInterval(() => {
  tellTimes();
  tellConnection();
}, 1000);

if (session.token) void enter(session.token);
else askForToken();
