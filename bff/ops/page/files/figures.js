// The figures of one snapshot, put where they belong. bff/ops/figures.py says what each one means.

import { bytes, count, duration, exact, hourAndMinute, NOTHING, percent, rate, span } from "./format.js";
import { byId, children, made, mark, now, say, setClock, since } from "./dom.js";
import { place, Readout } from "./pictures.js";
import { chip, Table } from "./tables.js";

/**
 * @typedef {{p50_ms: number | null, p95_ms: number | null, p99_ms: number | null}} Latency
 * @typedef {{level: "well" | "impaired" | "failing" | "quiet", headline: string, causes: string[]}} Verdict
 * @typedef {{route: string, requests: number, per_second: number, failed: number, latency: Latency}} Route
 * @typedef {{resource: string, reads: number, hit_ratio: number | null,
 *   by_outcome: [string, number][], by_tier: [string, number][]}} Resource
 * @typedef {{at: number, requests: number, failed: number, bootstraps: number,
 *   bootstraps_cached: number, calls: number, calls_saved: number, throttled: number,
 *   latency: Latency, upstream: Latency}} Minute
 * @typedef {{space: string, window: string, used: number, limit: number}} Window
 * @typedef {{space: string, state: string, breaker: string, paused_s: number, per_token: boolean}} SpaceState
 * @typedef {{used: number, processes: number, heard: number, latency: Latency, errors: number}} Redis
 * @typedef {{space: string, shape: string, uses: number, bytes: number, saved: number}} Shape
 * @typedef {{at: number, space: string, kind: string, text: string, process: string}} Happening
 * @typedef {{at: number, space: string, route: string, status: number, type: string, request_id: string}} Problem
 * @typedef {{process: string, host: string, pid: number, version: string, started_at: number,
 *   seen_s: number, resident_bytes: number, l1_bytes: number, flights: number, waiters: number,
 *   loop_lag_ms: number, store: boolean, bus: boolean, stopping: boolean}} Process
 * @typedef {{at: number, space: string, spaces: string[], fleet: boolean, verdict: Verdict,
 *   requests: number, failed: number, incomplete: number, latency: Latency,
 *   bootstrap_hit_ratio: number | null, routes: Route[], resources: Resource[], minutes: Minute[],
 *   calls: number, calls_saved: number, calls_by_reason: [string, number][],
 *   calls_by_outcome: [string, number][], bytes_sent: number, bytes_saved: [string, number][],
 *   budget: Window[], states: SpaceState[], redis: Redis, shapes: Shape[], events: Happening[],
 *   problems: Problem[], processes: Process[], refreshes_paused: boolean, log_level: string,
 *   charts: Record<string, string>}} Snapshot
 */

const WORDS = { well: "Well", impaired: "Impaired", failing: "Failing", quiet: "Quiet" };
const RATE_OVER = 5;
const FEW = 10;
const COUNTED_FROM = 10;

/** Requests a second over the last few snapshots: those of whole minutes would be late. */
class Rate {
  constructor() {
    /** @type {Snapshot[]} */
    this.kept = [];
  }

  /** @param {Snapshot} snapshot */
  of(snapshot) {
    const last = this.kept.at(-1);
    // Of all processes, or of one where Redis is away: between those there is no difference to take.
    const alike = last && last.space === snapshot.space && last.fleet === snapshot.fleet;
    if (!alike || last.at > snapshot.at) this.kept = [];
    this.kept.push(snapshot);
    if (this.kept.length > RATE_OVER) this.kept.shift();
    const first = this.kept[0];
    const seconds = snapshot.at - first.at;
    if (seconds < 1) return snapshot.routes.reduce((sum, route) => sum + route.per_second, 0);
    // Of the minutes that both know of: the hour moves on in between.
    const from = snapshot.at - 1800;
    return Math.max(0, (total(snapshot, from) - total(first, from)) / seconds);
  }
}

/** @param {Snapshot} snapshot @param {number} from */
function total(snapshot, from) {
  return snapshot.minutes.reduce((sum, m) => sum + (m.at >= from ? m.requests : 0), 0);
}

export class Figures {
  /** @param {(requestId: string) => void} onExplain */
  constructor(onExplain) {
    this.rate = new Rate();
    this.readout = new Readout();
    this.announced = "";
    this.tables = tables(onExplain);
  }

  /** @param {Snapshot} snapshot */
  show(snapshot) {
    setClock(snapshot.at);
    verdict(snapshot);
    this.announce(snapshot.verdict);
    keys(snapshot, this.rate.of(snapshot));
    place(snapshot.charts);
    this.readout.show(snapshot);
    redis(snapshot.redis);
    for (const [table, items] of this.tables) table.show(items(snapshot));
    const versions = [...new Set(snapshot.processes.map((each) => each.version))];
    say(byId("version"), versions.length ? `bff ${versions.join(", ")}.` : "");
  }

  /**
   * Read out when something begins or ends, not each time that a figure in it moves.
   * @param {Verdict} verdict
   */
  announce(verdict) {
    const told = [WORDS[verdict.level], verdict.headline, ...verdict.causes].join(". ");
    const kind = [verdict.level, ...verdict.causes].join(" ").replace(/[\d.,]+/g, "");
    if (kind === this.announced) return;
    this.announced = kind;
    say(byId("announced"), told);
  }
}

/** @param {Snapshot} snapshot */
function verdict(snapshot) {
  const { level, headline, causes } = snapshot.verdict;
  mark(byId("verdict"), "data-level", level);
  mark(byId("sign"), "href", `#sign-${level}`);
  say(byId("level"), WORDS[level]);
  say(byId("verdict-line"), headline);
  children(byId("causes"), causes, (cause) => cause.replace(/[\d.,]+/g, ""), () => made("li"), say);
  const processes = snapshot.processes.length;
  const whose = snapshot.fleet
    ? `${count(processes)} ${processes === 1 ? "process" : "processes"}`
    : "figures of the answering process only";
  say(byId("extent"), `${snapshot.space || "all spaces"} · ${whose}`);
  document.title = `${WORDS[level]} · bff operations`;
}

/** @param {Snapshot} snapshot @param {number} perSecond */
function keys(snapshot, perSecond) {
  const { requests, failed, latency, calls, calls_saved: saved } = snapshot;
  say(byId("key-rate"), rate(perSecond));
  const share = requests ? ` (${percent(failed / requests)})` : "";
  say(byId("key-rate-note"), `${count(requests)} in the hour, ${count(failed)} failed${share}`);
  say(byId("key-p50"), duration(latency.p50_ms));
  say(byId("key-p50-note"), `p95 ${duration(latency.p95_ms)} · p99 ${duration(latency.p99_ms)}`);
  say(byId("key-cached"), percent(snapshot.bootstrap_hit_ratio));
  say(byId("key-cached-note"), `${count(snapshot.incomplete)} without their related part`);
  say(byId("key-saved"), count(saved));
  say(byId("key-saved-note"), `${count(calls)} made: ${percent(calls + saved ? saved / (calls + saved) : null)} saved`);
  // Windows of fewer calls are for spacing: they are full all the time.
  const counted = snapshot.budget.filter((window) => window.limit >= COUNTED_FROM);
  const fullest = counted.sort((a, b) => part(b) - part(a))[0];
  say(byId("key-budget"), fullest ? percent(part(fullest)) : NOTHING);
  say(byId("key-budget-note"), fullest
    ? `${fullest.space} · ${fullest.window}: ${count(fullest.used)} of ${count(fullest.limit)}`
    : "No budget is kept");
  const spared = snapshot.bytes_saved.reduce((sum, [, size]) => sum + size, 0);
  say(byId("key-bytes"), bytes(spared));
  say(byId("key-bytes-note"), `${bytes(snapshot.bytes_sent)} sent`);
}

/** @param {Window} window */
function part(window) {
  return window.used / window.limit;
}

/** @param {Redis} of */
function redis(of) {
  const used = `${count(of.used)} of ${count(of.processes)} processes`;
  chip(byId("redis-used"), of.used < of.processes ? "bad" : "good", used);
  const heard = `${count(of.heard)} of ${count(of.processes)} processes`;
  chip(byId("redis-heard"), of.heard < of.processes ? "bad" : "good", heard);
  say(byId("redis-latency"), `${duration(of.latency.p50_ms)} · ${duration(of.latency.p99_ms)}`);
  say(byId("redis-errors"), count(of.errors));
}

const time = () => made("time");
/** @param {HTMLElement} held @param {{at: number}} item */
const tell = (held, item) => since(held, item.at);
const chipped = () => made("span", "", "chip");

/**
 * Every table with what it shows.
 * @param {(requestId: string) => void} onExplain
 * @returns {[Table<any>, (snapshot: Snapshot) => readonly any[]][]}
 */
function tables(onExplain) {
  return [...minuteTables(), ...sideTables(), ...lowerTables(onExplain)];
}

/** @returns {[Table<any>, (snapshot: Snapshot) => readonly any[]][]} */
function minuteTables() {
  /** @param {Snapshot} s */
  const latest = (s) => [...s.minutes].reverse();
  /** @param {string} id @param {string} caption @param {import("./tables.js").Column<Minute>[]} columns */
  const table = (id, caption, columns) => {
    const when = { title: "Minute", text: (/** @type {Minute} */ m) => hourAndMinute(m.at) };
    return new Table(byId(id), caption, [when, ...columns], (m) => String(m.at), "No figures yet.");
  };
  return [
    [table("table-traffic", "Requests by minute", [
      { title: "Requests", kind: "number", text: (m) => count(m.requests) },
      { title: "Failed", kind: "number", text: (m) => count(m.failed) },
    ]), latest],
    [table("table-latency", "Time to answer by minute", [
      { title: "Median", kind: "number", text: (m) => duration(m.latency.p50_ms) },
      { title: "p95", kind: "number", text: (m) => duration(m.latency.p95_ms) },
      { title: "p99", kind: "number", text: (m) => duration(m.latency.p99_ms) },
      { title: "Nexudus, median", kind: "number", text: (m) => duration(m.upstream.p50_ms) },
    ]), latest],
    [table("table-calls", "Calls to Nexudus by minute", [
      { title: "Saved", kind: "number", text: (m) => count(m.calls_saved) },
      { title: "Made", kind: "number", text: (m) => count(m.calls) },
      { title: "Refused", kind: "number", text: (m) => count(m.throttled) },
    ]), latest],
    [table("table-cached", "Bootstraps by minute", [
      { title: "Bootstraps", kind: "number", text: (m) => count(m.bootstraps) },
      { title: "From cache", kind: "number", text: (m) => count(m.bootstraps_cached) },
    ]), latest],
    [eventTable("table-events"), newest],
  ];
}

/** @returns {[Table<any>, (snapshot: Snapshot) => readonly any[]][]} */
function sideTables() {
  /** @typedef {{name: string, what: string, number: number}} Counted */
  const counted = (/** @type {string} */ name, /** @type {[string, number][]} */ pairs) =>
    pairs.map(([what, number]) => ({ name, what, number }));
  /** @param {string} id @param {string} caption @param {string} first */
  const counts = (id, caption, first) => new Table(byId(id), caption, [
    { title: first, text: (/** @type {Counted} */ c) => c.name },
    { title: "Which", text: (c) => c.what },
    { title: "Number", kind: "number", text: (c) => count(c.number) },
  ], (c) => `${c.name} ${c.what}`, "Nothing was counted.");
  return [
    [counts("table-reads", "Reads by tier and outcome", "Resource"), (s) => s.resources.flatMap((r) => [
      ...counted(r.resource, r.by_tier), ...counted(r.resource, r.by_outcome),
    ])],
    [new Table(byId("table-budget"), "Windows of the budget", [
      { title: "Space", text: (/** @type {Window} */ w) => w.space },
      { title: "Window", text: (w) => w.window },
      { title: "Used", kind: "number", text: (w) => count(w.used) },
      { title: "Allowed", kind: "number", text: (w) => count(w.limit) },
    ], (w) => `${w.space} ${w.window}`, "No budget is kept."), (s) => s.budget],
    [new Table(byId("table-states"), "Nexudus by space", [
      { title: "Space", text: (/** @type {SpaceState} */ s) => s.space },
      { title: "State", make: chipped, fill: fillState },
      { title: "Related lists", text: (s) => (s.per_token ? "one a token" : "shared") },
    ], (s) => s.space, "No space was called yet."), (s) => s.states],
    [counts("table-calls-by", "Calls by reason and outcome", "By"), (s) => [
      ...counted("reason", s.calls_by_reason), ...counted("outcome", s.calls_by_outcome),
    ]],
  ];
}

/** @param {HTMLElement} held @param {SpaceState} state */
function fillState(held, state) {
  const bad = state.breaker === "open";
  const good = state.breaker === "closed" && state.paused_s <= 0 && /^(reachable|not called)/.test(state.state);
  const paused = state.paused_s > 0 && !state.state.includes("paused") ? `, paused for ${span(state.paused_s)}` : "";
  const breaker = state.breaker === "closed" ? "" : `, breaker ${state.breaker.replace("_", " ")}`;
  chip(held, bad ? "bad" : good ? "good" : "warn", state.state + breaker + paused);
}

/**
 * @param {(requestId: string) => void} onExplain
 * @returns {[Table<any>, (snapshot: Snapshot) => readonly any[]][]}
 */
function lowerTables(onExplain) {
  return [
    [problemTable(onExplain), (s) => [...s.problems].sort((a, b) => b.at - a.at).slice(0, FEW)],
    [eventTable("table-latest"), (s) => newest(s).slice(0, FEW)],
    [new Table(byId("table-shapes"), "Shapes by use", [
      { title: "Shape", kind: "long", text: (/** @type {Shape} */ s) => s.shape || "whole document" },
      { title: "Space", text: (s) => s.space },
      { title: "Uses", kind: "number", text: (s) => count(s.uses) },
      { title: "Sent", kind: "number", text: (s) => bytes(s.bytes) },
      { title: "Left out", kind: "number", text: (s) => bytes(s.saved) },
    ], (s) => `${s.space} ${s.shape}`, "No shape was asked for in the last hour."), (s) => s.shapes],
    [new Table(byId("table-routes"), "Routes", [
      { title: "Route", kind: "long", text: (/** @type {Route} */ r) => r.route },
      { title: "Requests", kind: "number", text: (r) => count(r.requests) },
      { title: "A second", kind: "number", text: (r) => rate(r.per_second) },
      { title: "Failed", kind: "number", text: (r) => count(r.failed) },
      { title: "Median", kind: "number", text: (r) => duration(r.latency.p50_ms) },
      { title: "p99", kind: "number", text: (r) => duration(r.latency.p99_ms) },
    ], (r) => r.route, "Nothing was asked in the last hour."), (s) => s.routes],
    [processTable(), (s) => s.processes],
  ];
}

/** @param {Snapshot} snapshot */
function newest(snapshot) {
  return [...snapshot.events].sort((a, b) => b.at - a.at);
}

/** @param {string} id */
function eventTable(id) {
  return new Table(byId(id), "Events, latest first", [
    { title: "When", make: time, fill: tell },
    { title: "What", kind: "long", text: (/** @type {Happening} */ e) => e.text },
    { title: "Kind", text: (e) => e.kind },
    { title: "Space", text: (e) => e.space || "all" },
  ], (e) => `${e.at} ${e.process} ${e.kind} ${e.text}`, "Nothing happened in the last hour.");
}

/** @param {(requestId: string) => void} onExplain */
function problemTable(onExplain) {
  const button = () => {
    const link = /** @type {HTMLButtonElement} */ (made("button", "", "plain id"));
    link.type = "button";
    link.addEventListener("click", () => onExplain(link.value));
    return link;
  };
  return new Table(byId("table-problems"), "Recent problems, latest first", [
    { title: "When", make: time, fill: tell },
    { title: "Status", text: (/** @type {Problem} */ p) => String(p.status) },
    { title: "Problem", text: (p) => p.type || "as Nexudus sent it" },
    { title: "Route", kind: "long", text: (p) => p.route },
    { title: "Space", text: (p) => p.space },
    { title: "Request id", kind: "long", make: button, fill: (held, p) => {
      /** @type {HTMLButtonElement} */ (held).value = p.request_id;
      say(held, p.request_id);
      mark(held, "title", "Explain this request");
    } },
  ], (p) => `${p.request_id} ${p.at}`, "None in the last hour.");
}

function processTable() {
  return new Table(byId("table-processes"), "Processes of the fleet", [
    { title: "Process", text: (/** @type {Process} */ p) => `${p.host} · ${p.pid}` },
    { title: "State", make: chipped, fill: fillProcess },
    { title: "Up for", make: () => made("span"), fill: (held, p) => {
      say(held, span(now() - p.started_at));
      mark(held, "title", `since ${exact(p.started_at)}`);
    } },
    { title: "Version", text: (p) => p.version },
    { title: "Memory", kind: "number", text: (p) => bytes(p.resident_bytes) },
    { title: "Cache", kind: "number", text: (p) => bytes(p.l1_bytes) },
    { title: "Fetches", kind: "number", text: (p) => count(p.flights) },
    { title: "Waiting", kind: "number", text: (p) => count(p.waiters) },
    { title: "Loop lag", kind: "number", text: (p) => duration(p.loop_lag_ms) },
  ], (p) => p.process, "No process has reported yet.");
}

/** @param {HTMLElement} held @param {Process} p */
function fillProcess(held, p) {
  if (p.stopping) chip(held, "warn", "stopping");
  else if (p.seen_s > 6) chip(held, "bad", `silent for ${span(p.seen_s)}`);
  else if (!p.store) chip(held, "bad", "without Redis");
  else if (!p.bus) chip(held, "bad", "hears no invalidations");
  else chip(held, "good", "serves");
}
