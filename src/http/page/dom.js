// Elements, numbers, and questions to the daemon.
// Text of devices (names, addresses, descriptions) only ever goes into text nodes.

export const $ = (id) => document.getElementById(id);
export const SHAPES = { low: "\u25CF", medium: "\u25C6", high: "\u25B2", critical: "\u25A0" };

/* Elements and numbers */

export function make(tag, name, ...children) {
  const node = document.createElement(tag);
  if (name) node.className = name;
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return node;
}
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}
export const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
export function number(value) {
  if (value === null || value === undefined) return "unknown";
  const size = Math.abs(value);
  const digits = Number.isInteger(value) || size >= 1000 ? 0 : size >= 100 ? 1 : size >= 1 ? 2 : 4;
  return new Intl.NumberFormat("en", { maximumFractionDigits: digits }).format(value);
}
export function scaled(value, unit, steps = ["", "k", "M", "G", "T"]) {
  if (value === null || value === undefined) return ["unknown", ""];
  let step = 0;
  while (Math.abs(value) >= 1000 && step < steps.length - 1) { value /= 1000; step += 1; }
  const digits = value >= 100 || (step === 0 && Number.isInteger(value)) ? 0 : 1;
  return [new Intl.NumberFormat("en", { maximumFractionDigits: digits }).format(value), steps[step] + unit];
}
export const bytes = (value) => scaled(value, "B").join(" ").trim();
export function percent(ratio) {
  const value = ratio * 100;
  return value === 0 ? "0 %" : value < 0.01 ? "< 0.01 %" : `${number(Math.round(value * 100) / 100)} %`;
}
export function span(seconds) {
  if (seconds === null || seconds === undefined) return "unknown";
  if (seconds < 10) return `${number(Math.round(seconds * 10) / 10)} s`;
  const s = Math.round(seconds);
  const parts = [[Math.floor(s / 86400), "d"], [Math.floor(s / 3600) % 24, "h"], [Math.floor(s / 60) % 60, "min"], [s % 60, "s"]];
  const from = parts.findIndex(([n]) => n > 0);
  return parts.slice(from, from + 2).filter(([n]) => n > 0).map(([n, u]) => `${n} ${u}`).join(" ");
}
export const clock = new Intl.DateTimeFormat("en-GB", { year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit" });
export function time(text) {
  const node = make("time", "", clock.format(new Date(text)));
  node.dateTime = text;
  node.title = text;
  return node;
}
export function ago(text, now) {
  const seconds = (new Date(now) - new Date(text)) / 1000;
  const node = make("time", "", seconds < 1 ? "now" : `${span(seconds)} ago`);
  node.dateTime = text;
  node.title = text;
  return node;
}
export const words = (name) => name.replaceAll("_", " ");
export const plural = (n, one, many = `${one}s`) => `${whole.format(n)} ${n === 1 ? one : many}`;

export function facts(id, pairs, none) {
  const rows = pairs.filter((pair) => pair && pair[1] !== null && pair[1] !== undefined);
  const shown = JSON.stringify(rows);
  const list = $(id);
  if (list.dataset.shown === shown) return;
  list.dataset.shown = shown;
  list.replaceChildren(...rows.flatMap(([name, value, tone]) => [make("dt", "", name), make("dd", tone || "", String(value))]));
  if (!rows.length) list.replaceChildren(make("dt", "", none));
}

/* Tables: a column is [heading, cell function, class] */

export function table(caption, columns, rows, name) {
  const head = make("tr", "", ...columns.map(([heading, , kind]) => {
    const cell = make("th", kind === "number" ? kind : "", heading);
    cell.scope = "col";
    return cell;
  }));
  const body = rows.map((row) => make("tr", "", ...columns.map(([heading, cell, kind]) => {
    const content = cell(row);
    const td = make("td", kind || "", ...(Array.isArray(content) ? content : [content]));
    td.dataset.label = heading;
    return td;
  })));
  const node = make("table", name, make("caption", "unseen", caption), make("thead", "", head), make("tbody", "", ...body));
  return node;
}
export function scroller(label, content) {
  const box = make("div", "table tall", content);
  box.tabIndex = 0;
  box.setAttribute("role", "region");
  box.setAttribute("aria-label", label);
  return box;
}
export function replaceList(id, label, content) {
  const old = $(id).firstElementChild;
  const box = scroller(label, content);
  const [top, left, focused] = old ? [old.scrollTop, old.scrollLeft, document.activeElement === old] : [0, 0, false];
  $(id).replaceChildren(box);
  box.scrollTop = top;
  box.scrollLeft = left;
  if (focused) box.focus();
}
export const empty = (text) => make("p", "empty", text);

/* Asking the daemon */

let silentSince = null;

export function answered(yes) {
  if (yes) silentSince = null;
  else silentSince = silentSince || new Date();
  document.body.classList.toggle("stale", !yes);
  $("offline").hidden = yes;
  if (!yes) setText($("offline"), `The daemon has not answered since ${clock.format(silentSince)}. What is shown below is old; trying again.`);
}
// No answer at all is told of the whole daemon; an answer that is an error, in the section that it is of.
export async function ask(path, section, show) {
  let reply;
  let text;
  try {
    reply = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(8000) });
    text = await reply.text();
  } catch {
    answered(false);
    return;
  }
  answered(true);
  const line = $(`${section}-failed`);
  line.hidden = reply.ok;
  if (reply.ok) show(JSON.parse(text));
  else setText(line, `The daemon answered with an error (${reply.status}): ${parsed(text).detail || "no reason given"}. What is shown here may be old; trying again.`);
}
function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return {};
  }
}
export function poll(milliseconds, work) {
  let timer = null;
  let busy = false;
  const round = async () => {
    timer = null;
    if (busy || document.hidden) return;
    busy = true;
    try { await work(); } finally { busy = false; }
    if (!document.hidden) timer = setTimeout(round, milliseconds);
  };
  document.addEventListener("visibilitychange", () => {
    clearTimeout(timer);
    if (!document.hidden) round();
  });
  round();
}

/* The owner: questions that need the admin token */

const KEY = "tapguard-admin-token";
const owner = $("owner");
const waiting = [];

// What is to be done whenever the owner comes or goes.
export function onOwner(work) {
  waiting.push(work);
  work(isOwner());
}
export const isOwner = () => Boolean(sessionStorage.getItem(KEY));
function setToken(token) {
  if (token === sessionStorage.getItem(KEY)) return;
  if (token) sessionStorage.setItem(KEY, token);
  else sessionStorage.removeItem(KEY);
  setText(owner, token ? "Sign out" : "Sign in");
  for (const work of waiting) work(Boolean(token));
}
setText(owner, isOwner() ? "Sign out" : "Sign in");
owner.addEventListener("click", async () => {
  if (isOwner()) setToken(null);
  else await send("GET", "api/config/versions");
});

// Asks in a dialog. Gives what was typed (empty where there is no field), or null when it was left.
let dialogs = Promise.resolve();
export function dialog(options) {
  const next = dialogs.then(() => showDialog(options));
  dialogs = next;
  return next;
}
function showDialog({ title, body, field, secret, problem, yes }) {
  const box = $("dialog");
  const input = $("dialog-input");
  setText($("dialog-title"), title);
  $("dialog-body").replaceChildren(...body.map((part) => (typeof part === "string" ? make("p", "", part) : part)));
  setText($("dialog-problem"), problem || "");
  $("dialog-field").hidden = !field;
  setText($("dialog-label"), field || "");
  input.type = secret ? "password" : "text";
  input.required = Boolean(secret);
  input.value = "";
  setText($("dialog-yes"), yes);
  box.returnValue = "";
  box.showModal();
  return new Promise((resolve) => {
    box.addEventListener("close", () => {
      const value = input.value.trim();
      input.value = "";
      resolve(box.returnValue === "yes" ? value : null);
    }, { once: true });
  });
}
$("dialog-form").addEventListener("submit", (event) => {
  event.preventDefault();
  $("dialog").close("yes");
});
$("dialog-no").addEventListener("click", () => $("dialog").close());

// Asks with the token, and for the token first where it is missing or wrong. Gives null when the owner leaves it.
export async function send(method, path, body, headers = {}) {
  let problem = "";
  for (;;) {
    const token = sessionStorage.getItem(KEY) || await dialog({
      title: "Admin token", field: "Token", secret: true, problem, yes: "Sign in",
      body: ["It was shown once on the console at the first start. This tab keeps it until it is closed."],
    });
    if (!token) return null;
    // A header carries nothing else, and fetch would say so in words of its own.
    if (/[^\x21-\x7e]/.test(token)) { problem = "This is not the admin token."; continue; }
    let reply;
    let answer;
    try {
      reply = await fetch(path, {
        method, cache: "no-store", signal: AbortSignal.timeout(60000),
        headers: { Authorization: `Bearer ${token}`, ...(body === undefined ? {} : { "Content-Type": "application/json" }), ...headers },
        body: typeof body === "string" || body === undefined ? body : JSON.stringify(body),
      });
      const file = (reply.headers.get("Content-Type") || "").endsWith("pcapng");
      answer = file ? await reply.blob() : parsed(await reply.text());
    } catch {
      return { ok: false, status: 0, answer: {}, why: "the daemon did not answer" };
    }
    if (reply.status === 401 || reply.status === 429) {
      setToken(null);
      problem = `${answer.detail}.`;
      continue;
    }
    setToken(token);
    return { ok: reply.ok, status: reply.status, answer, tag: reply.headers.get("ETag"), why: answer.detail || `error ${reply.status}` };
  }
}
// Saves a file that only the owner may have.
export async function download(path, name) {
  const reply = await send("GET", path);
  if (reply && reply.ok) {
    const link = make("a");
    link.href = URL.createObjectURL(reply.answer);
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  }
  return outcome(reply, () => `Saved as ${name}.`);
}
// What a line says of it, and whether that is good.
export function outcome(reply, told) {
  if (!reply) return ["Nothing was changed.", true];
  return reply.ok ? [told(reply.answer), true] : [`Not done: ${reply.why}.`, false];
}
// Does what a button says, and says in a line what became of it.
export async function act(button, line, work) {
  button.disabled = true;
  line.className = "";
  setText(line, "Asking the daemon.");
  const [told, good] = await work();
  line.className = good ? "good" : "bad";
  setText(line, told);
  button.disabled = false;
}
