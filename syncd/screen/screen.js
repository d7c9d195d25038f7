"use strict";

// Fetch the bays anew each second. What nobody vouches for any more is not left on the screen.
const PATIENCE_MS = 3000;

async function look() {
  let bays = null;
  try {
    const answer = await fetch("bays", { signal: AbortSignal.timeout(PATIENCE_MS) });
    if (answer.ok) bays = await answer.text();
  } catch {
    // nobody answers
  }
  document.getElementById("silent").hidden = bays !== null;
  if (bays !== null) document.getElementById("bays").innerHTML = bays;
  setTimeout(look, 1000);
}

look();
