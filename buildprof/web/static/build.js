// Comfort for the page of a build: folds, zoom, keys, and what a step waits for. Without it all rows are shown.
"use strict";

const SVG = "http://www.w3.org/2000/svg";
const ROWS = "tr.step, tr.fold";

// Nothing folds under the eyes of somebody who saw the build run.
const wasRunning = document.querySelector("main [data-running]") !== null;
const opened = new Set();
let zoom = null; // as on the server, each doubles the width; null where there is no waterfall
let current = null; // the id of the row that Tab comes to

document.documentElement.classList.add("js");

// What this script adds to a page, also to one that has just come from the server.
function dress(root) {
  for (const run of root.querySelectorAll("tbody.run")) {
    const isOpen = wasRunning || opened.has(run.id);
    run.classList.toggle("open", isOpen);
    run.querySelector("button").setAttribute("aria-expanded", String(isOpen));
  }
  const table = root.querySelector("table.waterfall");
  if (!table) return;
  zoom ??= Number(table.dataset.zoom);
  table.className = `waterfall z${zoom}`;
  const rows = table.querySelectorAll(ROWS);
  const chosen = [...rows].find((row) => row.id && row.id === current) ?? rows[0];
  for (const row of rows) row.setAttribute("tabindex", row === chosen ? "0" : "-1");
}

const box = () => document.getElementById("waterfall-box");
const isSeen = (row) => row.getClientRects().length > 0;

function toggle(run, isOpen) {
  if (isOpen) opened.add(run.id);
  else opened.delete(run.id);
  dress(document);
  unlink();
}

// A link into rows that are folded opens them.
function reveal() {
  let target = null;
  try {
    target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  } catch {
    return; // no address of a place on this page
  }
  const run = target?.closest("tbody.run:not(.open)");
  if (!run) return;
  toggle(run, true);
  target.scrollIntoView({ block: "center" });
}

// The moment in the middle stays there. What a width has of ticks and folds, the server knows.
function setZoom(wanted) {
  const track = document.querySelector("table.waterfall thead .track");
  const scroll = box();
  const most = Number(document.querySelector("table.waterfall")?.dataset.mostZoom);
  const next = Math.min(Math.max(wanted, 0), most);
  if (!track || next === zoom) return;
  const middle = (scroll.clientWidth + track.offsetLeft) / 2;
  const share = (scroll.scrollLeft + middle - track.offsetLeft) / track.offsetWidth;
  zoom = next;
  dress(document);
  scroll.scrollLeft = zoom ? track.offsetLeft + share * track.offsetWidth - middle : 0;
  relink();
  const address = new URL(location.href);
  if (zoom) address.searchParams.set("zoom", zoom);
  else address.searchParams.delete("zoom");
  history.replaceState(null, "", address);
  document.dispatchEvent(new Event("buildprof:stale"));
}

function move(step) {
  const rows = [...document.querySelectorAll(`table.waterfall :is(${ROWS})`)].filter(isSeen);
  const at = rows.indexOf(document.activeElement?.closest("tr"));
  rows[Math.min(Math.max(at + step, 0), rows.length - 1)]?.focus();
}

// Lines from what a step takes to the step, and from the step to what takes it.
let linked = null;

function unlink() {
  linked = null;
  document.getElementById("links")?.replaceChildren();
  for (const row of document.querySelectorAll("tr.is-input, tr.is-user")) row.classList.remove("is-input", "is-user");
}

function shownRow(row) {
  return isSeen(row) ? row : row.closest("tbody.run")?.querySelector("tr.fold");
}

function ends(row) {
  const frame = box();
  const outer = frame.getBoundingClientRect();
  const bar = (row.querySelector(".track rect") ?? row.querySelector(".track")).getBoundingClientRect();
  const left = bar.left - outer.left + frame.scrollLeft;
  return { start: left, end: left + bar.width, y: bar.top + bar.height / 2 - outer.top + frame.scrollTop };
}

function draw(from, to, kind) {
  if (!from || !to || from === to) return;
  const [a, b] = [ends(from), ends(to)];
  const turn = Math.max(b.start - 6, 0);
  const line = document.createElementNS(SVG, "polyline");
  line.setAttribute("points", `${a.end},${a.y} ${turn},${a.y} ${turn},${b.y} ${b.start},${b.y}`);
  line.setAttribute("class", kind);
  const dot = document.createElementNS(SVG, "circle");
  for (const [name, value] of [["cx", b.start], ["cy", b.y], ["r", 3], ["class", kind]]) dot.setAttribute(name, value);
  document.getElementById("links").append(line, dot);
}

function link(row) {
  unlink();
  if (!row?.matches("tr.step")) return;
  linked = row.id;
  for (const id of (row.dataset.in ?? "").split(" ").filter(Boolean)) {
    const source = document.getElementById(id);
    const shown = source && shownRow(source);
    shown?.classList.add("is-input");
    draw(shown, row, "input");
  }
  for (const user of document.querySelectorAll(`tr[data-in~="${CSS.escape(row.id)}"]`)) {
    const shown = shownRow(user);
    shown?.classList.add("is-user");
    draw(row, shown, "user");
  }
}

function relink() {
  if (linked) link(document.getElementById(linked));
}

const rowOf = (event) => event.target.closest?.("table.waterfall tbody tr");
const focusedRow = () => document.activeElement?.closest("table.waterfall tr.step");

document.addEventListener("click", (event) => {
  const fold = event.target.closest?.("tr.fold button");
  if (fold) toggle(fold.closest("tbody"), fold.getAttribute("aria-expanded") !== "true");
  const wanted = event.target.closest?.(".zoom a");
  if (!wanted || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  setZoom({ in: zoom + 1, out: zoom - 1, fit: 0 }[wanted.dataset.zoom]);
});

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || !event.target.closest?.("#waterfall-box")) return;
  const act = {
    ArrowDown: () => move(1),
    ArrowUp: () => move(-1),
    "+": () => setZoom(zoom + 1),
    "=": () => setZoom(zoom + 1),
    "-": () => setZoom(zoom - 1),
    0: () => setZoom(0),
    Enter: event.target.matches("tr.fold") && (() => event.target.querySelector("button").click()),
  }[event.key];
  if (!act) return;
  event.preventDefault();
  act();
});

document.addEventListener("focusin", (event) => {
  const row = rowOf(event);
  if (!row) return unlink();
  current = row.id || null;
  for (const one of document.querySelectorAll(`table.waterfall :is(${ROWS})[tabindex="0"]`)) one.setAttribute("tabindex", "-1");
  if (row.matches(ROWS)) row.setAttribute("tabindex", "0");
  return link(row);
});
document.addEventListener("pointerover", (event) => {
  if (!focusedRow()) link(rowOf(event));
});
document.addEventListener("buildprof:before", (event) => dress(event.detail));
document.addEventListener("buildprof:after", relink);
addEventListener("resize", relink);
addEventListener("hashchange", reveal);

dress(document);
reveal();
