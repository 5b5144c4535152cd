// Live parts and copying. Every page works without this file.
//
// <div data-live="/console/..." data-every="1000"> is replaced by what that address answers, as long as the answer
// is an element that has data-live itself: a part that is final comes without, and the asking ends.
"use strict";

const live = new WeakSet();

async function renew(element) {
  const every = Number(element.dataset.every || 1000);
  await new Promise((later) => setTimeout(later, every));
  if (!element.isConnected) return;
  if (document.hidden) return void renew(element);
  let text = null;
  try {
    const answer = await fetch(element.dataset.live, { headers: { accept: "text/html" }, redirect: "manual" });
    if (answer.ok) text = await answer.text();
    else if (answer.type === "opaqueredirect") return void location.reload(); // signed out
    else if (answer.status < 500 && answer.status !== 429) return; // not there, or not for this reader, any more
  } catch {
    // Away for a moment: what is shown stays, and is asked for again.
  }
  if (text === null || !element.isConnected) return void renew(element);
  const parsed = new DOMParser().parseFromString(text, "text/html").body.firstElementChild;
  if (parsed === null) return;
  const next = document.importNode(parsed, true);
  if (next.isEqualNode(element)) return void renew(element);
  const focused = element.contains(document.activeElement) ? document.activeElement.id : "";
  element.replaceWith(next);
  if (focused) document.getElementById(focused)?.focus();
  begin(next.parentElement || document);
}

function begin(root) {
  for (const element of root.querySelectorAll("[data-live]")) {
    if (live.has(element)) continue;
    live.add(element);
    void renew(element);
  }
}

document.addEventListener("click", async (event) => {
  const source = event.target.closest?.("[data-copy]");
  if (!source || !navigator.clipboard) return;
  await navigator.clipboard.writeText(source.dataset.copy);
  const before = source.title;
  source.title = "Copied";
  setTimeout(() => { source.title = before; }, 1500);
});

// A form that must not be sent twice.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.dataset.sent) return event.preventDefault();
  form.dataset.sent = "1";
  setTimeout(() => { delete form.dataset.sent; }, 3000);
});

begin(document);
