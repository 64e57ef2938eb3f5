// The ride-along page: draws the pictures of a live ride as they come, and tells the server what the person wants: the wheel, pedals,
// a pause, slow motion. Every message says all of it, so that a lost one does not matter.

import { Outbox, ask } from "./outbox.js";

const SEND_EVERY_MS = 66; // while the wheel is held
const HEARTBEAT_MS = 1000; // otherwise
const STEER_PER_S = 3.5; // how fast a key turns the wheel, from 0 to 1
const CENTRE_PER_S = 6;
const RATES = [1, 0.5, 0.25];
const PAD_OF_KEY = { arrowleft: "left", arrowright: "right", arrowup: "gas", arrowdown: "brake", a: "left", d: "right", w: "gas", s: "brake" };

const find = (selector) => document.querySelector(selector);
const meta = (name) => find(`meta[name="${name}"]`).content;
const page = find("#ride");
const canvas = find("#view");
const pen = canvas.getContext("2d");
const headers = { "Content-Type": "application/json", "X-CSRF-Token": meta("csrf-token") };
const outbox = new Outbox(meta("csrf-token"), `${meta("reviewer")} ride`, (line) => showProblem(line));

let ride = null; // its name
let state = null; // what the server said last
let seq = 0;
let lastSent = 0;
let sending = false;
let again = false;
const want = { held: false, paused: false, rate: 1 };
const down = new Set(); // pads that are pressed, by key, pointer or game pad
let steering = 0;
let padHeld = false;
const pictures = { count: 0, since: performance.now() };
window.rideFigures = pictures; // for who measures

find("#start").addEventListener("click", start);
find("#again").addEventListener("click", start);
find("#take").addEventListener("click", toggleWheel);
find("#pause").addEventListener("click", togglePause);
find("#slow").addEventListener("click", slower);
find("#end").addEventListener("click", () => post("end", { client_key: newKey() }));
find("#rate").addEventListener("click", rate);
find("#after").addEventListener("change", () => {
  find("#rate").disabled = !find("[name=stars]:checked") || !state?.ride_id;
});
sendLeftover();

/** A rating that was not saved when the page was last closed. */
async function sendLeftover() {
  const left = outbox.left;
  if (left) {
    await outbox.send(left.path, left.body).catch(() => {});
  }
}

async function start() {
  hideProblem();
  find("#before").hidden = true;
  find("#after").hidden = true;
  badge("Getting ready…");
  Object.assign(want, { held: false, paused: false, rate: 1 });
  try {
    const begun = await ask("/api/rides", { method: "POST", headers, body: JSON.stringify({ client_key: newKey() }) });
    ride = begun.ride;
    seq = begun.seq;
    Object.assign(pictures, { count: 0, since: performance.now() });
    page.dataset.state = "riding";
    page.focus({ preventScroll: true });
    await watch();
  } catch (error) {
    badge("");
    page.dataset.state = "idle";
    find("#before").hidden = false;
    showProblem(error.message);
  }
}

/** Read the stream: two lengths, JSON, JPEG, and again; after a lost connection, again from what is shown then. */
async function watch() {
  for (let tries = 0; ride && tries < 5; tries += 1) {
    try {
      const response = await fetch(`/api/rides/${ride}/stream`);
      if (!response.ok) {
        throw new Error(response.status === 401 ? "You are logged out; the ride was stored." : "This ride is over.");
      }
      const reader = response.body.getReader();
      let waiting = new Uint8Array();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) {
          break;
        }
        tries = 0;
        const joined = new Uint8Array(waiting.length + value.length);
        joined.set(waiting);
        joined.set(value, waiting.length);
        waiting = await takePackets(joined);
      }
      if (state?.state === "over") {
        return finish();
      }
    } catch (error) {
      if (!(error instanceof TypeError)) {
        throw error;
      }
    }
    badge("Connection lost. Trying again…");
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
  throw new Error("The connection to the ride is lost; what was driven is stored.");
}

async function takePackets(bytes) {
  let at = 0;
  let latest = null;
  while (bytes.length - at >= 8) {
    const view = new DataView(bytes.buffer, bytes.byteOffset + at);
    const about = view.getUint32(0);
    const picture = view.getUint32(4);
    const end = at + 8 + about + picture;
    if (bytes.length < end) {
      break;
    }
    state = JSON.parse(new TextDecoder().decode(bytes.subarray(at + 8, at + 8 + about)));
    if (picture) {
      latest = bytes.slice(at + 8 + about, end);
    }
    at = end;
  }
  if (latest) {
    const image = await createImageBitmap(new Blob([latest], { type: "image/jpeg" }));
    if (canvas.width !== image.width || canvas.height !== image.height) {
      canvas.width = image.width;
      canvas.height = image.height;
    }
    pen.drawImage(image, 0, 0);
    image.close();
    pictures.count += 1;
  }
  showState();
  return bytes.slice(at);
}

function showState() {
  if (!state) {
    return;
  }
  const riding = state.state === "riding";
  for (const id of ["take", "pause", "slow", "end"]) {
    find(`#${id}`).disabled = !riding;
  }
  const handing = state.held && !state.wanted;
  page.dataset.held = String(Boolean(state.held));
  find("#take").setAttribute("aria-pressed", String(want.held));
  find("#take span").textContent = handing ? "Handing back…" : want.held ? "Give it back" : "Take the wheel";
  find("#pause").textContent = want.paused ? "Go on" : "Pause";
  badge(
    !riding ? (state.state === "starting" ? "Getting ready…" : state.state === "storing" ? "Saving…" : "")
      : state.lost ? "Waiting for you…" : want.paused ? "Paused" : handing ? "Handing back…" : state.held ? "You drive" : "",
  );
  const open = state.takeovers.findIndex((each) => each.release_s !== null && !each.cause);
  find("#causes").hidden = open < 0 || !riding;
  find("#causes").dataset.takeover = open;
}

function finish() {
  page.dataset.state = "over";
  ride = null;
  down.clear();
  badge("");
  find("#causes").hidden = true;
  if (!state.ride_id) {
    find("#before").hidden = false;
    showProblem(state.line || "The ride is over; nothing was stored.");
    return;
  }
  const count = state.takeovers.length;
  find("#outcome").textContent = state.outcome ? `The car ${state.outcome.startsWith("still") ? "was " : ""}${state.outcome}` : "The ride is over";
  find("#summary").textContent = count ? `You took the wheel ${count === 1 ? "once" : `${count} times`}.` : "You never took the wheel.";
  for (const star of document.querySelectorAll("[name=stars]")) {
    star.checked = false;
  }
  find("#comment").value = "";
  find("#rate").disabled = true;
  find("#rate").textContent = "Save the rating";
  find("#after").hidden = false;
  find("[name=stars]").focus({ preventScroll: true });
}

async function rate() {
  const stars = Number(find("[name=stars]:checked").value);
  find("#rate").disabled = true;
  try {
    const body = { ride_id: state.ride_id, stars, comment: find("#comment").value.trim(), client_key: newKey() };
    await outbox.send("/api/rides/rating", body);
    hideProblem();
    find("#rate").textContent = "Saved";
    find("#again").focus();
  } catch (error) {
    showProblem(error.message);
  }
}

// What the person wants

function toggleWheel() {
  if (state?.state === "riding") {
    want.held = !want.held;
    if (!want.held) {
      steering = 0;
    }
    send();
    showState();
  }
}

function togglePause() {
  if (state?.state === "riding") {
    want.paused = !want.paused;
    send();
    showState();
  }
}

function slower() {
  if (state?.state === "riding") {
    want.rate = RATES[(RATES.indexOf(want.rate) + 1) % RATES.length];
    find("#slow").textContent = { 1: "1×", 0.5: "½×", 0.25: "¼×" }[want.rate];
    find("#slow").setAttribute("aria-label", `Speed ${want.rate}`);
    send();
  }
}

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches?.("textarea, input, summary") || page.dataset.state !== "riding") {
    return;
  }
  const key = event.key.toLowerCase();
  if (PAD_OF_KEY[key]) {
    down.add(PAD_OF_KEY[key]);
  } else if (key === "t" || (key === " " && !event.target.matches?.("button:focus-visible"))) {
    event.repeat || toggleWheel();
  } else if (key === "p") {
    event.repeat || togglePause();
  } else if (key === "v") {
    event.repeat || slower();
  } else {
    return;
  }
  event.preventDefault();
});

addEventListener("keyup", (event) => down.delete(PAD_OF_KEY[event.key.toLowerCase()]));
addEventListener("blur", () => down.clear());

for (const pad of document.querySelectorAll("[data-pad]")) {
  const name = pad.dataset.pad;
  pad.addEventListener("pointerdown", (event) => {
    pad.setPointerCapture(event.pointerId);
    down.add(name);
    if (!want.held) {
      toggleWheel(); // a hand at the wheel takes it
    }
    event.preventDefault();
  });
  for (const kind of ["pointerup", "pointercancel", "lostpointercapture"]) {
    pad.addEventListener(kind, () => down.delete(name));
  }
  pad.addEventListener("contextmenu", (event) => event.preventDefault());
}

find("#causes").addEventListener("click", (event) => {
  const cause = event.target.closest("[data-cause]")?.dataset.cause;
  if (cause) {
    const takeover = Number(find("#causes").dataset.takeover);
    find("#causes").hidden = true;
    post("cause", { takeover, cause });
    page.focus({ preventScroll: true });
  }
});

/** What game pads, keys and fingers say together. */
function controls(sinceS) {
  let turn = (down.has("left") ? 1 : 0) - (down.has("right") ? 1 : 0);
  let push = (down.has("gas") ? 1 : 0) - (down.has("brake") ? 1 : 0);
  const gamepad = navigator.getGamepads?.().find(Boolean);
  if (gamepad) {
    const stick = gamepad.axes[0] ?? 0;
    const [right, left] = [gamepad.buttons[7]?.value ?? 0, gamepad.buttons[6]?.value ?? 0];
    push = push || right - left;
    const pressed = Boolean(gamepad.buttons[0]?.pressed);
    if (pressed && !padHeld) {
      toggleWheel();
    }
    padHeld = pressed;
    if (!turn && Math.abs(stick) > 0.08) {
      steering = -stick;
      return { acceleration: push, steering };
    }
  }
  const goal = turn;
  const step = (goal === 0 || goal * steering < 0 ? CENTRE_PER_S : STEER_PER_S) * sinceS;
  steering += Math.max(-step, Math.min(step, goal - steering));
  return { acceleration: push, steering };
}

let lastTick = performance.now();
setInterval(() => {
  const now = performance.now();
  const wanted = controls(Math.min(0.2, (now - lastTick) / 1000));
  lastTick = now;
  if (ride && state?.state === "riding" && (want.held ? true : now - lastSent > HEARTBEAT_MS)) {
    send(wanted);
  }
}, SEND_EVERY_MS);

/** Say what is wanted, one message at a time, so that none overtakes another. */
async function send({ acceleration = 0, steering: angle = 0 } = {}) {
  if (sending) {
    again = true;
    return;
  }
  sending = true;
  lastSent = performance.now();
  seq += 1;
  await post("wheel", { seq, ...want, acceleration, steering: Math.max(-1, Math.min(1, angle)) });
  sending = false;
  if (again && ride) {
    again = false;
    send({ acceleration, steering: angle });
  }
}

/** Messages of a moment: the next one says it again. */
async function post(what, body) {
  try {
    await ask(`/api/rides/${ride}/${what}`, { method: "POST", headers, body: JSON.stringify(body) });
  } catch (refusal) {
    if (refusal.status === 401) {
      showProblem("You are logged out; the ride ends and is stored.");
    }
  }
}

function badge(text) {
  if (find("#badge").textContent !== text) {
    find("#badge").textContent = text;
  }
  find("#badge").hidden = !text;
}

function showProblem(line) {
  find("#problem").textContent = line;
  find("#problem").hidden = false;
}

function hideProblem() {
  find("#problem").hidden = true;
}

function newKey() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
