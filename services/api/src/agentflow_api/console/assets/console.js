// Live parts and copying. Every page works without this file.
//
// <div data-live="/console/..." data-every="1000"> becomes what that address answers, as long as the answer is an
// element that has data-live itself: a part that is final comes without, and the asking ends. It is changed where it
// differs and nowhere else: what is focused, scrolled, selected or opened stays so, and only news is read out.
"use strict";

const live = new WeakSet();
const sent = new WeakSet();

async function renew(element) {
  let pause = Number(element.dataset.every || 1000);
  for (;;) {
    await new Promise((later) => setTimeout(later, pause));
    if (!element.isConnected) return;
    pause = Number(element.dataset.every || 1000);
    if (document.hidden) continue;
    let text = null;
    try {
      const answer = await fetch(element.dataset.live, { headers: { accept: "text/html" }, redirect: "manual" });
      if (answer.ok) text = await answer.text();
      else if (answer.type === "opaqueredirect") return void location.reload(); // signed out
      else if (answer.status < 500 && answer.status !== 429) return; // not there, or not for this reader, any more
      else pause = pauseAfter(answer, pause);
    } catch {
      // Away for a moment: what is shown stays, and is asked for again.
    }
    if (text === null || !element.isConnected) continue;
    const next = new DOMParser().parseFromString(text, "text/html").body.firstElementChild;
    if (next === null) return;
    become(element, next);
    begin(document);
    if (!element.dataset.live) return;
  }
}

// Who was refused comes back when they were told to, and no earlier.
function pauseAfter(answer, pause) {
  return Math.max(pause, 1000 * Number(answer.headers.get("retry-after")) || 0);
}

function become(now, next) {
  if (now.nodeType !== next.nodeType || now.nodeName !== next.nodeName || now.id !== next.id) {
    now.replaceWith(document.importNode(next, true));
  } else if (now.nodeType !== Node.ELEMENT_NODE) {
    if (now.data !== next.data) now.data = next.data;
  } else {
    const isReaders = (name) => name === "open" && now.nodeName === "DETAILS";
    for (const { name } of [...now.attributes]) if (!next.hasAttribute(name) && !isReaders(name)) now.removeAttribute(name);
    for (const { name, value } of next.attributes) {
      if (now.getAttribute(name) !== value && !isReaders(name)) now.setAttribute(name, value);
    }
    const [before, after] = [[...now.childNodes], [...next.childNodes]];
    before.slice(after.length).forEach((node) => node.remove());
    after.forEach((node, at) => (at < before.length ? become(before[at], node) : now.append(document.importNode(node, true))));
  }
}

function begin(root) {
  for (const element of root.querySelectorAll("[data-live]")) {
    if (live.has(element)) continue;
    live.add(element);
    void renew(element);
  }
}

if (navigator.clipboard) document.documentElement.classList.add("copies");
document.addEventListener("click", async (event) => {
  const button = event.target.closest?.("[data-copy]");
  if (!button) return;
  await navigator.clipboard.writeText(button.dataset.copy);
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = "Copy"; }, 1500);
});

// A form that must not be sent twice.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (sent.has(form)) return event.preventDefault();
  sent.add(form);
  setTimeout(() => sent.delete(form), 3000);
});

begin(document);
