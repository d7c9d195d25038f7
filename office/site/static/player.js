// The player: one or two recordings on one clock. Seconds count on the common line; each pane plays one part at a time,
// whose film begins at `media` seconds where the line is at `begin`. Gaps are shown where they were, at their length.

const player = document.getElementById("player");
const words = player.dataset;
const map = JSON.parse(words.map);
const byId = (id) => document.getElementById(id);
const EDGE = 0.04; // seconds: shorter than two pictures
const DRIFT = 0.15; // seconds that two pictures may be apart

function clockText(seconds) {
  const s = Math.max(0, Math.floor(seconds));
  const two = (n) => String(n).padStart(2, "0");
  const hours = Math.floor(s / 3600);
  return `${hours ? `${hours}:` : ""}${hours ? two(Math.floor(s / 60) % 60) : Math.floor(s / 60)}:${two(s % 60)}`;
}

function wallText(seconds) {
  if (map.start_ms === null) return clockText(seconds);
  const at = new Date(map.start_ms + map.zone_ms + seconds * 1000);
  return at.toISOString().slice(0, 19).replace("T", " ");
}

class Pane {
  constructor(figure, track, shown) {
    this.video = figure.querySelector("video");
    this.cover = figure.querySelector(".cover");
    this.mark = figure.querySelector(".mark");
    this.track = track;
    this.base = shown.base;
    this.offset = shown.offset;
    const shift = (one) => ({ ...one, begin: one.begin + shown.offset, end: one.end + shown.offset });
    this.runs = shown.axis.runs.map(shift);
    this.holes = shown.axis.holes.map(shift);
    this.moments = shown.axis.moments.map(shift);
    this.run = null;
    this.mark.append(...Array.from({ length: 6 }, () => document.createElement("span")));
  }

  get end() { return this.runs.length ? this.runs[this.runs.length - 1].end : 0; }
  runAt(t) { return this.runs.find((run) => t >= run.begin - 0.001 && t < run.end - EDGE) ?? null; }
  nextBegin(t) { return this.runs.map((run) => run.begin).find((begin) => begin > t + 0.001) ?? Infinity; }
  holeAt(t) { return this.holes.find((hole) => t >= hole.begin - 0.1 && t <= hole.end + 0.1) ?? null; }
  get time() { return this.run.begin + this.video.currentTime - this.run.media; }
  get over() { return this.video.ended || this.time >= this.run.end - EDGE; }

  /** Show what was recorded at t; false if nothing was. */
  show(t, blank) {
    const run = this.runAt(t);
    if (run === null) {
      this.video.pause();
      this.run = null;
      this.cover.textContent = blank(this.holeAt(t));
      this.cover.hidden = false;
      return false;
    }
    const media = run.media + Math.max(0, t - run.begin);
    const source = `${this.base}${run.part}`;
    if (this.video.getAttribute("src") !== source) {
      this.video.src = source;
      this.video.playbackRate = deck.rate;
    }
    this.run = run;
    if (Math.abs(this.video.currentTime - media) > 0.01) this.video.currentTime = media;
    this.cover.hidden = true;
    return true;
  }

  draw(length) {
    const percent = (seconds) => `${(seconds / length) * 100}%`;
    const add = (kind, one, title) => {
      const mark = document.createElement("div");
      mark.className = kind;
      mark.style.left = percent(one.begin);
      if (one.end > one.begin) mark.style.width = percent(one.end - one.begin);
      mark.title = title;
      this.track.append(mark);
    };
    for (const run of this.runs) add("run", run, "");
    for (const hole of this.holes) add("hole", hole, gapText(hole));
    for (const one of this.moments) {
      const title = `${clockText(one.begin)} ${one.name} ${one.detail ?? ""}`;
      add(one.end > one.begin ? "span" : `tick ${one.kind}`, one, title);
    }
  }
}

function gapText(hole) {
  const text = words.gap.replace("{cause}", hole.cause).replace("{length}", clockText(hole.end - hole.begin));
  return hole.reason ? text.replace("{reason}", hole.reason) : text.replace(/[(（]\{reason\}[)）]/, "");
}

const blank = (hole) => (hole ? gapText(hole) : words.none);

const deck = {
  panes: [],
  time: 0,
  rate: 1,
  playing: false,
  waiting: null, // in a gap that passes at its length: the moment of the last step
  length: 0.001,

  get active() { return this.panes.filter((pane) => pane.run !== null); },

  seek(t) {
    this.time = Math.min(Math.max(0, t), this.length);
    this.waiting = null;
    const shown = this.panes.map((pane) => pane.show(this.time, blank));
    if (this.playing) shown.some(Boolean) ? this.roll() : this.enterGap();
    paint();
  },

  roll() {
    for (const pane of this.active) pane.video.play().catch((error) => { if (error.name === "NotAllowedError") this.pause(); });
  },

  play() {
    this.playing = true;
    if (this.time >= this.length - EDGE) this.time = 0;
    this.seek(this.time);
  },

  pause() {
    this.playing = false;
    this.waiting = null;
    for (const pane of this.panes) pane.video.pause();
    paint();
  },

  /** Nothing was recorded here by anyone: pass it at its length, or go on behind it. */
  enterGap() {
    const next = Math.min(...this.panes.map((pane) => pane.nextBegin(this.time)));
    if (next === Infinity) { this.time = this.length; this.pause(); return; }
    const hole = this.panes.map((pane) => pane.holeAt(this.time)).find(Boolean);
    if (hole) say(gapText(hole));
    if (byId("wait").checked) { this.waiting = performance.now(); return; }
    this.seek(next);
  },

  step() {
    if (!this.playing) return;
    if (this.waiting !== null) {
      const now = performance.now();
      this.time += ((now - this.waiting) / 1000) * this.rate;
      this.waiting = now;
      if (this.panes.some((pane) => pane.runAt(this.time))) this.seek(this.time);
      paint();
      return;
    }
    const [lead, ...others] = this.active;
    if (!lead) { this.enterGap(); return; }
    if (lead.over) { this.seek(lead.run.end); return; }
    if (lead.video.seeking || lead.video.readyState < 2) return;
    this.time = lead.time;
    for (const pane of others) {
      if (pane.over) { this.seek(this.time); return; }
      if (!pane.video.seeking && Math.abs(pane.time - this.time) > DRIFT) pane.video.currentTime = pane.run.media + this.time - pane.run.begin;
    }
    const idle = this.panes.filter((pane) => pane.run === null);
    if (idle.some((pane) => pane.runAt(this.time))) this.seek(this.time);
    paint();
  },
};

let saying = 0;
function say(text) {
  byId("said").textContent = text;
  clearTimeout(saying);
  saying = setTimeout(() => { byId("said").textContent = ""; }, 5000);
}

const slider = byId("slider");
let hovered = null; // where a pointer is on the line
function paint() {
  slider.querySelector(".needle").style.left = `${(deck.time / deck.length) * 100}%`;
  const text = `${clockText(deck.time)} / ${clockText(deck.length)}`;
  slider.setAttribute("aria-valuenow", deck.time.toFixed(1));
  slider.setAttribute("aria-valuetext", `${text} ${map.start_ms === null ? "" : wallText(deck.time)}`);
  const wall = map.start_ms === null ? "" : `${wallText(hovered ?? deck.time)}　`;
  byId("clock").value = hovered === null ? wall + text : `→ ${wall}${clockText(hovered)}`;
  byId("toggle").textContent = deck.playing ? words.pause : words.play;
}

function watermark() {
  const now = new Date(Date.now() + map.zone_ms).toISOString().slice(0, 19).replace("T", " ");
  for (const pane of deck.panes) for (const span of pane.mark.children) span.textContent = `${words.mark} ${now}`;
}

deck.panes = map.shown.map((shown, index) => new Pane(player.querySelectorAll(".pane")[index], player.querySelectorAll(".track")[index], shown));
deck.length = Math.max(0.001, ...deck.panes.map((pane) => pane.end));
for (const pane of deck.panes) {
  pane.draw(deck.length);
  pane.video.addEventListener("click", () => (deck.playing ? deck.pause() : deck.play()));
  pane.video.addEventListener("contextmenu", (event) => event.preventDefault());
  pane.video.addEventListener("error", () => { if (pane.video.error) { deck.pause(); say(words.broken); } });
}
slider.setAttribute("aria-valuemax", deck.length.toFixed(1));
byId("begin").textContent = wallText(0);
byId("finish").textContent = wallText(deck.length);

const atPointer = (event) => {
  const box = slider.getBoundingClientRect();
  return Math.min(Math.max(0, (event.clientX - box.left) / box.width), 1) * deck.length;
};
slider.addEventListener("pointerdown", (event) => { slider.setPointerCapture(event.pointerId); deck.seek(atPointer(event)); });
slider.addEventListener("pointermove", (event) => {
  hovered = atPointer(event);
  if (slider.hasPointerCapture(event.pointerId)) deck.seek(hovered);
  paint();
});
slider.addEventListener("pointerleave", () => { hovered = null; paint(); });

const steps = { ArrowLeft: -5, ArrowRight: 5, PageDown: -60, PageUp: 60 };
document.addEventListener("keydown", (event) => {
  if (event.altKey || event.ctrlKey || event.metaKey || event.target.matches("input, select, textarea, a")) return;
  if (event.key === " " && !event.target.matches("button")) deck.playing ? deck.pause() : deck.play();
  else if (event.key in steps) deck.seek(deck.time + steps[event.key]);
  else if (event.key === "Home") deck.seek(0);
  else if (event.key === "End") deck.seek(deck.length);
  else return;
  event.preventDefault();
});
byId("toggle").addEventListener("click", () => (deck.playing ? deck.pause() : deck.play()));
player.addEventListener("click", (event) => {
  const { skip, step, at } = event.target.dataset ?? {};
  if (skip) deck.seek(deck.time + Number(skip));
  if (step) { deck.pause(); deck.seek(deck.time + Number(step) / 30); }
  if (at) { deck.seek(Number(at)); slider.focus(); }
});
byId("speed").addEventListener("change", (event) => {
  deck.rate = Number(event.target.value);
  for (const pane of deck.panes) pane.video.playbackRate = deck.rate;
});
const hear = () => {
  const chosen = Number(player.querySelector("input[name=ear]:checked")?.value ?? 0);
  deck.panes.forEach((pane, index) => { pane.video.muted = index !== chosen; pane.video.volume = Number(byId("volume").value); });
};
byId("volume").addEventListener("input", hear);
player.addEventListener("change", (event) => { if (event.target.name === "ear") hear(); });
byId("full").addEventListener("click", () => (document.fullscreenElement ? document.exitFullscreen() : player.requestFullscreen()));

setInterval(() => deck.step(), 100);
setInterval(watermark, 1000);
setInterval(() => fetch(words.alive, { method: "POST", headers: { "X-CSRF": words.csrf, Accept: "application/json" } })
  .then((answer) => { if (!answer.ok) { deck.pause(); say(words.broken); } }).catch(() => {}), 60_000);
window.addEventListener("pagehide", () => navigator.sendBeacon(words.end, new URLSearchParams({ csrf: words.csrf })));
window.addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });

watermark();
hear();
deck.seek(0);
