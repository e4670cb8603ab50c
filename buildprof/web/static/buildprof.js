// Keeps a page true while it is open. Without this script every page says the same, as of when it was loaded.
"use strict";

const REFRESH_MS = 1000; // at most so often, however much happens
const AGE_MS = 10000;
const SILENCE_MS = 45000; // three times what the server leaves between two words
const AGAIN_MS = 10000;

// The server's clock, as far as the page tells it: ages must not depend on this machine's.
let ahead = 0; // of this machine's clock, in milliseconds

function setClock() {
  ahead = Date.now() - Number(document.getElementById("main").dataset.now ?? Date.now());
}

const AGES = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];

function age(seconds) {
  for (const [name, length] of AGES) {
    const count = Math.floor(seconds / length);
    if (count >= 1) return `${count} ${name}${count === 1 ? "" : "s"} ago`;
  }
  return "just now";
}

function tellAges() {
  for (const one of document.querySelectorAll("time[data-ns]")) {
    one.textContent = age((Date.now() - ahead) / 1000 - Number(one.dataset.ns) / 1e9);
  }
}

// What a page shows is asked for again, whole, and only what differs is changed: nothing jumps, no focus is lost.
let asked = 0;
let waiting = null;
let asking = false;
let isStale = false;

async function refresh() {
  waiting = null;
  asked = Date.now();
  asking = true;
  try {
    const signal = AbortSignal.timeout?.(SILENCE_MS);
    const response = await fetch(location.href, { headers: { accept: "text/html" }, signal });
    if (!response.ok) return say(response.status === 404 ? "this is gone" : "what is shown is not of now");
    if (source?.readyState === EventSource.OPEN) say("live");
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    const main = document.getElementById("main");
    const next = page.getElementById("main");
    if (!next) return;
    document.dispatchEvent(new CustomEvent("buildprof:before", { detail: next }));
    Idiomorph.morph(main, next, {
      ignoreActiveValue: true,
      callbacks: {
        beforeNodeMorphed: (node) => node.tagName !== "FORM", // what somebody is choosing stays chosen
        beforeAttributeUpdated: (name, node) => !(name === "open" && node.tagName === "DETAILS"),
      },
    });
    document.title = page.title;
    document.dispatchEvent(new Event("buildprof:after"));
  } catch {
    // The agent is gone for a moment; the stream of events says when it is back.
  } finally {
    asking = false;
    if (isStale) ask();
    else schedule();
  }
}

// Somebody asked for another view: at once, or as soon as the answer that is on its way has come.
function ask() {
  isStale = asking;
  if (asking) return;
  clearTimeout(waiting);
  refresh();
}

function soon() {
  if (waiting === null && !asking) waiting = setTimeout(refresh, Math.max(0, asked + REFRESH_MS - Date.now()));
}

// A page of what runs now moves by itself.
function schedule() {
  const live = document.getElementById("main").dataset.live;
  if (live && document.querySelector("[data-running]") && !document.hidden) soon();
}

// Browsers lend one site a few connections, for all its tabs together: only a tab that is seen holds one.
let source = null;
let silence = null;

function say(text) {
  document.getElementById("live").textContent = text;
}

function leave() {
  source?.close();
  source = null;
  clearTimeout(silence);
}

// The server says something every few seconds; when it does not, it hangs, or the network does.
function heard() {
  clearTimeout(silence);
  silence = setTimeout(again, SILENCE_MS);
}

function again() {
  leave();
  say("not connected");
  silence = setTimeout(follow, AGAIN_MS);
}

function follow() {
  leave();
  if (!document.getElementById("main").dataset.live || document.hidden) return;
  source = new EventSource("/api/v1/events");
  source.onopen = () => { say("live"); heard(); soon(); };
  source.onerror = () => {
    say("not connected");
    if (source?.readyState === EventSource.CLOSED) again(); // refused, as when too many listen: it would not try again
  };
  source.addEventListener("ping", heard);
  heard();
  for (const name of ["build_started", "step_finished", "build_finished"]) {
    source.addEventListener(name, (event) => {
      heard();
      const wanted = document.getElementById("main").dataset.live;
      if (wanted === "all" ? name !== "step_finished" : wanted && JSON.parse(event.data).ref === wanted) soon();
    });
  }
}

setClock();
tellAges();
setInterval(tellAges, AGE_MS);
document.addEventListener("visibilitychange", () => {
  leave();
  if (document.hidden) return;
  follow();
  schedule();
});
addEventListener("pagehide", leave);
addEventListener("pageshow", (event) => event.persisted && follow());
document.addEventListener("buildprof:after", () => { setClock(); tellAges(); });
document.addEventListener("buildprof:stale", ask);
follow();
schedule();
