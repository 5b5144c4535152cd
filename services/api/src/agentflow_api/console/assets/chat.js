// The chat: sends a message and shows the answer as it comes, a JSON object a line. Without this script the
// form is sent as it is, and the page that answers shows the same.
"use strict";
(() => {
  const form = document.getElementById("composer");
  if (!form) return;
  const text = form.elements.namedItem("text");
  const thread = form.elements.namedItem("thread");
  const agent = form.elements.namedItem("agent");
  const repeat = form.elements.namedItem("repeat");
  const button = form.querySelector("button");
  const state = document.getElementById("chat-state");
  const conversation = () => document.getElementById("conversation");

  function bubble(role, who) {
    const article = document.createElement("article");
    article.className = `message message-${role}`;
    const header = document.createElement("header");
    const name = document.createElement("span");
    name.className = "from";
    name.textContent = who;
    header.append(name);
    const words = document.createElement("p");
    words.className = "words";
    article.append(header, words);
    const list = conversation().querySelector(".conversation");
    list.querySelector(".empty")?.remove();
    list.append(article);
    shown.push(article);
    article.scrollIntoView({ block: "nearest" });
    return words;
  }

  const textOf = (message) =>
    (message.content || []).map((block) => block.text || (block.name ? `Calls ${block.name} …` : "")).join("");

  // Chunks of a message that is being made are added up until the whole one comes.
  function teller() {
    let id = null;
    let words = null;
    return (chunk) => {
      if (chunk.thread_id) thread.value = chunk.thread_id;
      if (chunk.event === "error") {
        const reason = chunk.data?.reason || "The agent failed.";
        bubble("other", "Error").textContent = reason;
        state.dataset.problem = reason; // stays when the conversation is shown as it is stored
        return;
      }
      const message = chunk.message;
      if (chunk.event !== "message" || !message || message.role === "user") return;
      if (words === null || (message.message_id !== id && id !== null)) {
        words = bubble(message.role, message.role === "tool" ? "Tool" : "Agent");
      }
      id = message.message_id;
      if (message.delta) {
        words.textContent += textOf(message);
      } else {
        words.textContent = textOf(message);
        words = null;
        id = null;
      }
      conversation().lastElementChild?.scrollIntoView({ block: "nearest" });
    };
  }

  async function readLines(response, told) {
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) break;
      const lines = (rest + value).split("\n");
      rest = lines.pop();
      for (const line of lines) if (line.trim()) told(JSON.parse(line));
    }
  }

  // As it is stored: with tool calls, times, and what the agent waits for.
  async function refresh() {
    const query = new URLSearchParams({ thread: thread.value, agent: agent.value });
    const answer = await fetch(`${conversation().dataset.part}?${query}`, { headers: { accept: "text/html" } });
    if (!answer.ok) return;
    const part = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("conversation");
    if (part) conversation().replaceWith(part);
    history.replaceState(null, "", `/console/chat?${query}`);
    document.getElementById("thread").value = thread.value;
    conversation().scrollIntoView({ block: "end" });
  }

  async function problemOf(answer) {
    const told = await answer.json().catch(() => null);
    return told?.error?.message || `The server answers ${answer.status}.`;
  }

  // What was sent, until it is known what came of it: the same words sent again have the same key, and one effect.
  let sending = null;
  // What was shown of it since.
  let shown = [];

  function whatToSend() {
    const words = text.value;
    if (sending?.words === words && sending.agent === agent.value) return sending;
    if (sending) repeat.value = newKey();
    const said = { message_id: "0", role: "user", content: [{ type: "text", text: words }] };
    const asked = { messages: [said], config: thread.value.trim() ? { thread_id: thread.value.trim() } : {} };
    return { words, agent: agent.value, body: JSON.stringify(asked), key: repeat.value };
  }

  const newKey = () =>
    [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");

  // What is sent next is another message.
  function settled() {
    sending = null;
    repeat.value = newKey();
  }

  function unshow() {
    for (const article of shown) article.remove();
    shown = [];
  }

  // The words come back to be sent again, or put right.
  function takeBack(problem) {
    state.textContent = problem;
    if (sending && !text.value) text.value = sending.words;
  }

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (button.disabled || !text.value.trim()) return;
    const path = agent.value ? `/console/api/a/${encodeURIComponent(agent.value)}/v1/graph/stream` : "/console/api/v1/graph/stream";
    const token = document.querySelector("meta[name=form-token]").content;
    const next = whatToSend();
    if (next === sending) unshow();
    sending = next;
    shown = [];
    const headers = { "content-type": "application/json", "x-form-token": token, "idempotency-key": sending.key };
    button.disabled = true;
    state.textContent = "The agent is at work …";
    bubble("user", "You").textContent = sending.words;
    text.value = "";
    try {
      const answer = await fetch(path, { method: "POST", headers, body: sending.body });
      if (answer.ok) {
        state.dataset.problem = "";
        await readLines(answer, teller());
        state.textContent = state.dataset.problem;
        settled();
        if (state.dataset.reads) await refresh();
      } else {
        unshow();
        takeBack(await problemOf(answer));
        // Refused for good, unless the same is under way.
        if (answer.status < 500 && answer.status !== 409) settled();
      }
    } catch {
      takeBack("The connection was lost. What the agent did is stored in the thread; sent again, it is not done twice.");
    } finally {
      button.disabled = false;
      text.focus();
    }
  });

  text.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      form.requestSubmit();
    }
  });

  // A conversation that is there already goes on at its end.
  if (conversation().querySelector("article")) window.scrollTo(0, document.documentElement.scrollHeight);
})();
