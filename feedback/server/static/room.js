// The compare page: shows the open pair, fetches the next one meanwhile, and turns keys and buttons into answers. The same page lets
// newcomers practise, and lets reviewers see an answered pair again and change their mind.

import { Outbox, Refusal, ask } from "./outbox.js";
import { PairPlayer } from "./player.js";
import { onSwipe } from "./swipe.js";

const SIDES = ["left", "right"];
const SAID = { left: "left is better", right: "right is better", tie: "about the same", cannot: "cannot compare", skip: "skipped" };
const CHOICE_OF_CODE = { Digit1: "left", Numpad1: "left", Digit2: "tie", Numpad2: "tie", Digit3: "right", Numpad3: "right" };
const CHOICE_OF_KEY = { x: "cannot", s: "skip" };
const ACT_OF_KEY = {
  " ": "play", arrowleft: "back", arrowright: "on", r: "restart", z: "undo", v: "slow", w: "why", q: "enlarge-left", e: "enlarge-right",
  escape: "both",
};
const RATES = [1, 0.5, 0.25];
const REST_AFTER_MIN = 25;

const find = (selector) => document.querySelector(selector);
const meta = (name) => find(`meta[name="${name}"]`).content;
const room = find("#room");
const { mode, label } = room.dataset;
const ASK = { compare: "/api/state", practice: "/api/practice", revise: `/api/said/${label}` }[mode];
const TELL = { compare: "/api/labels", practice: "/api/practice", revise: `/api/said/${label}` }[mode];
const AFTER = { compare: "/done", practice: "/compare", revise: "/history" }[mode];
const calm = matchMedia("(prefers-reduced-motion: reduce)");
const outbox = new Outbox(meta("csrf-token"), meta("reviewer") + (mode === "compare" ? "" : ` ${mode}`), showProblem);
const player = new PairPlayer(SIDES.map((side) => find(`#${side} video`)), showPlayback);
const stopwatch = makeStopwatch();

let pair = null;
let replays = 0;
let busy = true;
const clips = new Map(); // URL -> promise of the clip as an object URL

start();

async function start() {
  const left = outbox.left;
  try {
    if (left) {
      say("Saving the answer from before…");
    }
    await show(left ? await outbox.send(left.path, left.body) : await persistently(ASK));
  } catch (refusal) {
    await recover(refusal);
  }
}

/** Show the server's open pair, and fetch the one after it. */
async function show(state) {
  const { done, remaining } = state.progress;
  find("#progress").max = done + remaining;
  find("#progress").value = done;
  find("#progress-text").textContent = `${done} done, ${remaining} to go`;
  find("#time-left").textContent = state.minutes_left && remaining ? `about ${state.minutes_left} min` : "";
  document.title = `${done} of ${done + remaining} · Drive Fusion`;
  if (!state.pair) {
    location.assign(AFTER);
    return;
  }
  pair = state.pair;
  replays = 0;
  hideProblem();
  forgetClipsBut([state.pair, state.next]);
  for (const side of SIDES) {
    find(`#${side}`).classList.remove("broken");
    find(`#${side} .outcome`).textContent = "";
  }
  try {
    const urls = await Promise.all(SIDES.map((side) => clip(pair[side].video)));
    await player.load(urls, Math.max(...SIDES.map((side) => pair[side].frames_per_s)));
    settle();
    if (calm.matches || !(await player.play())) {
      say("Press Space to play.");
    }
    suggestRest();
  } catch (refusal) {
    if (refusal.status === 401) {
      throw refusal;
    }
    settle();
    showProblem(`${refusal.message} You can answer with X or S, or try again.`, () => show(state));
  }
  if (state.next) {
    for (const side of SIDES) {
      clip(state.next[side].video).catch(() => {}); // told when it is its turn
    }
  }
}

function settle() {
  busy = false;
  room.setAttribute("aria-busy", "false");
  stopwatch.restart();
}

/** Store an answer to the open pair, then go on. */
async function answer(choice) {
  const body = { choice, latency_s: stopwatch.seconds(), replays, client_key: newKey() };
  if (mode !== "revise") {
    body.pair_id = pair.id;
  }
  await tell(TELL, { ...body, ...takeRemark() }, mode === "practice" ? "" : `Saved: ${SAID[choice]}.`);
}

/** What the reviewer gave as reasons, once. */
function takeRemark() {
  const dialog = find("#why");
  if (!dialog) {
    return {};
  }
  const reasons = [...dialog.querySelectorAll(":checked")].map((box) => box.value);
  const comment = find("#comment").value.trim();
  dialog.querySelector("form").reset();
  showRemark();
  return { ...(reasons.length && { reasons }), ...(comment && { comment }) };
}

function showRemark() {
  const dialog = find("#why");
  const count = dialog.querySelectorAll(":checked").length + (find("#comment").value.trim() ? 1 : 0);
  find('[data-act="why"]').classList.toggle("noted", count > 0);
}

/** Tell a newcomer what everybody should have said; resolves when they have read it. */
function teach({ right, answer: better, lesson }) {
  const dialog = find("#lesson");
  find("#verdict").textContent = right ? "That is what we would say too" : "We would say something else";
  const word = find(`#${better} .side`) && getComputedStyle(find(`#${better} .side`), "::before").content.replaceAll('"', "");
  const said = better === "tie" ? "They are about the same." : `${word} is better.`;
  find("#lesson-text").textContent = `${said} ${lesson} Practice does not count; go by what you feel from now on.`;
  dialog.classList.toggle("fine", right);
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener("close", resolve, { once: true }));
}

async function tell(path, body, news) {
  busy = true;
  room.setAttribute("aria-busy", "true");
  player.pause();
  try {
    const state = await outbox.send(path, body);
    hideProblem();
    if (state.verdict) {
      await teach(state.verdict);
    }
    say(state.undone === null ? "There is no answer to take back." : news);
    await show(state);
    room.focus({ preventScroll: true });
  } catch (refusal) {
    await recover(refusal);
  }
}

/** After a message that cannot be stored: say why, and show what is open now. */
async function recover(refusal) {
  if (!(refusal instanceof Refusal)) {
    throw refusal;
  }
  if (refusal.status === 401) {
    showProblem("You are logged out; what is not saved is kept here until you log in again.", () => location.assign("/login"), "Log in");
    return;
  }
  if (refusal.status === 403) {
    showProblem("This page is out of date; your answer is kept.", () => location.reload(), "Reload");
    return;
  }
  if (mode === "revise") {
    showProblem(`Not saved: ${refusal.message}`, () => location.assign("/history"), "To the history");
    return;
  }
  await show(await persistently(ASK));
  say(`Not saved: ${refusal.message}`);
}

/** Ask until there is a connection. */
async function persistently(path) {
  for (;;) {
    try {
      return await ask(path);
    } catch (refusal) {
      if (!refusal.passing) {
        throw refusal;
      }
      await new Promise((resolve) => showProblem(`The server cannot be reached (${refusal.message}).`, resolve));
    }
  }
}

/** A clip, wholly here, as an object URL: it then plays in step and without the network. */
function clip(url) {
  if (!clips.has(url)) {
    const fetched = fetchClip(url);
    fetched.catch(() => clips.delete(url));
    clips.set(url, fetched);
  }
  return clips.get(url);
}

async function fetchClip(url) {
  let response;
  try {
    response = await fetch(url);
    if (response.ok) {
      return URL.createObjectURL(await response.blob());
    }
  } catch {
    throw new Refusal("A video cannot be fetched (no connection).", 0);
  }
  const body = await response.json().catch(() => ({}));
  throw new Refusal(body.error ?? `A video cannot be fetched (${response.status}).`, response.status);
}

function forgetClipsBut(pairs) {
  const kept = new Set(pairs.filter(Boolean).flatMap((of) => SIDES.map((side) => of[side].video)));
  for (const [url, fetched] of clips) {
    if (!kept.has(url)) {
      clips.delete(url);
      fetched.then(URL.revokeObjectURL, () => {});
    }
  }
}

function showPlayback() {
  const { timeS, durationS } = player;
  find("#time").max = durationS;
  find("#time").value = timeS;
  find("#clock").value = `${timeS.toFixed(1)} s`;
  find("#play-icon").setAttribute("href", `/static/icon.svg#${player.playing ? "pause" : "play"}`);
  find('[data-act="play"]').setAttribute("aria-label", player.playing ? "Pause" : "Play");
  for (const [place, side] of SIDES.entries()) {
    const line = find(`#${side} .outcome`);
    const text = pair && player.videos[place].ended ? pair[side].outcome : line.textContent;
    if (line.textContent !== text) {
      line.textContent = text;
    }
  }
}

const acts = {
  play() {
    if (player.ended) {
      replays += 1;
    }
    player.toggle();
  },
  restart() {
    replays += 1;
    player.seek(0);
    player.play();
  },
  back: () => player.step(-1),
  on: () => player.step(1),
  undo() {
    if (mode === "compare") {
      tell("/api/undo", { client_key: newKey() }, "Taken back. Here is that pair again.");
    }
  },
  slow() {
    player.setRate(RATES[(RATES.indexOf(player.rate) + 1) % RATES.length]);
    find("#speed").textContent = { 1: "1×", 0.5: "½×", 0.25: "¼×" }[player.rate];
    find("#speed").setAttribute("aria-label", `Speed ${player.rate}`);
  },
  why() {
    if (mode === "compare") {
      player.pause();
      find("#why").showModal();
    }
  },
  "enlarge-left": () => enlarge("left"),
  "enlarge-right": () => enlarge("right"),
  both: () => enlarge(null),
};

/** Give one ride all the room, or both their half again. */
function enlarge(side) {
  const panes = find(".panes");
  const large = panes.dataset.large === side ? null : side;
  if (large) {
    panes.dataset.large = large;
  } else {
    delete panes.dataset.large;
  }
  for (const each of SIDES) {
    find(`[data-act="enlarge-${each}"]`).setAttribute("aria-pressed", String(each === large));
  }
}

/** After a good while, say once that a break is in order. */
function suggestRest() {
  const place = "drive-fusion began";
  try {
    const began = Number(sessionStorage.getItem(place)) || Date.now();
    sessionStorage.setItem(place, began);
    if (Date.now() - began > REST_AFTER_MIN * 60_000) {
      sessionStorage.setItem(place, Date.now());
      say(`You have been at it for ${REST_AFTER_MIN} minutes. A break keeps your eye fresh; everything is saved.`);
    }
  } catch {
    // Storage is off: no hint.
  }
}

find("#why")?.addEventListener("close", showRemark);

function run({ choice, act }) {
  if (busy || !pair || (choice && !find(`[data-choice="${choice}"]`))) {
    return;
  }
  if (choice) {
    answer(choice);
  } else {
    acts[act]();
  }
}

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) {
    return;
  }
  const key = event.key.toLowerCase();
  const choice = CHOICE_OF_CODE[event.code] ?? CHOICE_OF_KEY[key];
  const act = ACT_OF_KEY[key];
  const pressesFocusedButton = key === " " && event.target.matches?.("button:focus-visible, a");
  if ((!choice && !act) || pressesFocusedButton) {
    return;
  }
  event.preventDefault();
  if (!event.repeat || act === "back" || act === "on") {
    run({ choice, act });
  }
});

addEventListener("click", (event) => {
  const button = event.target.closest("button[data-choice], button[data-act]");
  if (event.target.closest("dialog")) {
    return;
  }
  if (button) {
    run(button.dataset);
  } else if (event.target.closest(".screen") && !busy) {
    acts.play();
  }
});

for (const side of SIDES) {
  onSwipe(find(`#${side}`), { right: () => run({ choice: side }), left: () => run({ act: "undo" }) });
}

find("#time").addEventListener("input", (event) => {
  player.pause();
  player.seek(Number(event.target.value));
});

function showProblem(line, retry, button = "Try again now") {
  const problem = find("#problem");
  problem.querySelector("span").textContent = line;
  find("#retry").textContent = button;
  find("#retry").onclick = () => {
    hideProblem();
    retry();
  };
  problem.hidden = false;
}

function hideProblem() {
  find("#problem").hidden = true;
}

function say(line) {
  find("#status").textContent = line;
}

function newKey() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Counts the seconds for which the page could be seen. */
function makeStopwatch() {
  let countedMs = 0;
  let sinceMs = performance.now();
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      countedMs += performance.now() - sinceMs;
    }
    sinceMs = performance.now();
  });
  return {
    restart() {
      countedMs = 0;
      sinceMs = performance.now();
    },
    seconds: () => (countedMs + (document.hidden ? 0 : performance.now() - sinceMs)) / 1000,
  };
}
