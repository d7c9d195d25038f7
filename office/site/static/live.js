// The overview as it changes. The server sends the part of the page that changed, as HTML of its own templates.
const live = document.getElementById("live");
const state = document.getElementById("live-state");
const source = new EventSource(live.dataset.source);
const say = (text) => { if (state.textContent !== text) state.textContent = text; };

source.onopen = () => say(state.dataset.on);
source.onerror = () => say(state.dataset.off);
source.onmessage = (event) => {
  const html = JSON.parse(event.data);
  const focus = document.activeElement;
  const place = live.contains(focus) ? [...live.querySelectorAll("a, button")].indexOf(focus) : -1;
  live.innerHTML = html;
  if (place >= 0) live.querySelectorAll("a, button")[place]?.focus();
};
source.addEventListener("over", () => { source.close(); say(state.dataset.over); });
