// The approver's key: made in this browser, kept in it, not to be taken out. It signs what is shown, and nothing else:
// what stands on the page is read from the very bytes that are signed.

const STORE = "approver-keys";

const base64url = (bytes) =>
  btoa(String.fromCharCode(...new Uint8Array(bytes))).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
const bytesOf = (text) =>
  Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (letter) => letter.charCodeAt(0));
const hex = (bytes) => [...new Uint8Array(bytes)].map((one) => one.toString(16).padStart(2, "0")).join("");
const told = (request) =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });

async function keys(mode) {
  const opening = indexedDB.open("bodycam", 1);
  opening.onupgradeneeded = () => opening.result.createObjectStore(STORE);
  return (await told(opening)).transaction(STORE, mode).objectStore(STORE);
}

async function kidOf(pair) {
  const spki = await crypto.subtle.exportKey("spki", pair.publicKey);
  return { spki: base64url(spki), kid: hex(await crypto.subtle.digest("SHA-256", spki)) };
}

const inFours = (kid) => kid.slice(0, 32).match(/.{4}/g).join(" ");
const problem = () => document.getElementById("approver-problem");

async function enter(card) {
  const form = card.querySelector("form");
  // Before anything is waited for: a form that is sent without its key is refused.
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      const made = await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, false, ["sign", "verify"]);
      await told((await keys("readwrite")).put(made, card.dataset.account));
      form.elements.spki.value = (await kidOf(made)).spki;
      form.submit();
    } catch {
      problem().hidden = false;
    }
  });
  const own = await told((await keys("readonly")).get(card.dataset.account));
  if (own) document.getElementById("own-fingerprint").textContent = inFours((await kidOf(own)).kid);
}

async function approve(card) {
  const form = card.querySelector("form");
  form.querySelector("button").disabled = true;
  const input = form.elements.signing_input.value;
  const [head, payload] = input.split(".").map((part) => JSON.parse(new TextDecoder().decode(bytesOf(part))));
  for (const place of card.querySelectorAll("[data-member]")) {
    const value = payload[place.dataset.member];
    if (place.tagName === "TIME") place.textContent = new Date(value).toLocaleString(document.documentElement.lang);
    else place.textContent = Array.isArray(value) ? value.join("、") : (place.dataset[value] ?? value ?? "—");
  }
  const own = await told((await keys("readonly")).get(card.dataset.account));
  const ready = own && payload.approver === card.dataset.account && (await kidOf(own)).kid === head.kid;
  problem().hidden = Boolean(ready);
  form.querySelector("button").disabled = !ready;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const algorithm = { name: "ECDSA", hash: "SHA-256" };
    const signature = await crypto.subtle.sign(algorithm, own.privateKey, new TextEncoder().encode(input));
    form.elements.signature.value = base64url(signature);
    form.submit();
  });
}

const ways = { "approver-key": enter, approval: approve };
for (const [id, way] of Object.entries(ways)) {
  const card = document.getElementById(id);
  if (card) way(card).catch(() => (problem().hidden = false));
}
