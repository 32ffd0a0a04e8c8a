// The settings, drawn from their schema. What is refused is told at its field; edits outlive a reload.
import { $, act, clock, dialog, isOwner, make, onOwner, outcome, plural, send, setText, table, words } from "./dom.js";

const EFFECTS = {
  now: "at once", capture: "at once; the capture is opened anew", learning: "when the next baseline is learned or model trained",
  restart: "at the next restart", file: "only in the file",
};
const form = $("settings-form");
const said = $("settings-said");
// What is to be saved, by key: the text or truth of its control, or null for what holds without it.
const edits = new Map();
let known = null;
let tag = "";
let onTrial = null;

const show = (value, unit) => (value === null ? "not set" : value === true ? "on" : value === false ? "off" : value === "" ? "empty" : `${value}${unit ? ` ${unit}` : ""}`);

const setting = (key) => known.settings.find((s) => s.key === key);

function control(s) {
  const { type, enum: choices, minimum, maximum } = s.schema;
  const node = make(choices ? "select" : "input");
  const edited = edits.get(s.key);
  const value = edited === undefined ? s.value : edited === null ? s.default : edited;
  if (choices) node.append(...choices.map((choice) => make("option", "", choice)));
  else if (type === "boolean") {
    node.type = "checkbox";
    node.setAttribute("role", "switch");
  } else if (type === "string") {
    node.type = s.secret ? "password" : "text";
    node.autocomplete = s.secret ? "new-password" : "off";
    node.spellcheck = false;
    if (s.secret) node.placeholder = s.set ? "set; write a new one" : "not set";
  } else {
    node.type = "number";
    node.step = type === "integer" ? 1 : "any";
    if (minimum !== undefined) node.min = minimum;
    if (maximum !== undefined) node.max = maximum;
  }
  if (type === "boolean") node.checked = value === true;
  else node.value = value === null ? "" : value;
  node.disabled = !s.changeable;
  node.addEventListener("input", () => {
    const now = type === "boolean" ? node.checked : node.value;
    const same = type === "boolean" ? now === s.value : now === String(s.value === null ? "" : s.value);
    if (same) edits.delete(s.key);
    else edits.set(s.key, now);
    showEdits();
  });
  return node;
}
function field(s) {
  const id = `set-${s.key}`;
  const node = control(s);
  node.id = id;
  node.setAttribute("aria-describedby", `${id}-about ${id}-problem`);
  const label = make("label", "", words(s.key.split(".").pop()));
  label.htmlFor = id;
  const from = { default: "default", file: `file ${s.source.place}`, remote: "set here", environment: `environment ${s.source.place}`, flag: "command line" }[s.source.kind];
  const about = make("p", "quiet", `${s.meaning} Takes ${s.schema.description}. From: ${from}. ` +
    (s.changeable ? `Takes effect ${EFFECTS[s.effect]}.` : `Fixed: ${s.why_not}.`));
  about.id = `${id}-about`;
  const problem = make("p", "bad");
  problem.id = `${id}-problem`;
  const reset = make("button", "plain", "Reset");
  reset.type = "button";
  reset.hidden = s.source.kind !== "remote";
  reset.setAttribute("aria-label", `Reset ${s.key} to the file or the default`);
  reset.addEventListener("click", () => {
    edits.set(s.key, null);
    draw();
    setText(said, `${s.key} goes back to the file or the default when you save.`);
    $(id).focus();
  });
  const state = s.pending_restart ? make("span", "tag warn", "waits for a restart") : edits.get(s.key) === null ? make("span", "tag warn", "to be reset") : null;
  return make("div", "setting", make("div", "tools", label, state), make("div", "entry", node, s.schema.unit && make("span", "quiet", s.schema.unit), reset), about, problem);
}
// Draws all anew, with the edits kept.
function draw() {
  const focused = document.activeElement.id;
  const sections = new Map();
  for (const s of known.settings) sections.set(s.section, [...(sections.get(s.section) || []), s]);
  const open = new Set([...form.querySelectorAll("details[open]")].map((node) => node.dataset.section));
  $("settings-list").replaceChildren(...[...sections].map(([name, settings]) => {
    const node = make("details", "", make("summary", "", words(name.replace(".", ": "))), ...settings.map(field));
    node.dataset.section = name;
    node.open = open.has(name) || settings.some((s) => edits.has(s.key));
    return node;
  }));
  if (focused.startsWith("set-") && $(focused)) $(focused).focus();
  const last = known.last_change;
  const tell = last && { applied: "in force", pending: "on trial: taken back when the capture is not back within 30 seconds", rolled_back: "taken back" }[last.outcome];
  setText($("settings-last"), [last && `Version ${last.version}: ${tell}${last.reason ? ` (${last.reason})` : ""}.`, known.left_out && `Not in force: ${known.left_out}.`].filter((part) => part).join(" "));
  $("settings-last").className = known.left_out || (last && last.outcome === "rolled_back") ? "bad" : "quiet";
  clearTimeout(onTrial);
  if (last && last.outcome === "pending") onTrial = setTimeout(() => isOwner() && load(), 2000);
  showEdits();
}
function showEdits() {
  $("settings-bar").hidden = !edits.size;
  setText($("settings-save"), `Save ${plural(edits.size, "change")}`);
}
async function load() {
  const reply = await send("GET", "api/config");
  if (!reply || !reply.ok) return setText(said, reply ? `The settings could not be read: ${reply.why}.` : "");
  take(reply);
}
function take(reply) {
  [known, tag] = [reply.answer, reply.tag];
  for (const { key, value } of known.settings) if (edits.has(key) && edits.get(key) !== null && String(edits.get(key)) === String(value)) edits.delete(key);
  draw();
}
// A number goes as it was typed, since one beyond 2^53 would not survive being read here.
function merge() {
  const typed = (key, value) => {
    const { type } = setting(key).schema;
    const number = type === "integer" || type === "number";
    return number && value !== null && /^-?(0|[1-9]\d*)(\.\d+)?$/.test(value) ? value : JSON.stringify(value);
  };
  return `{${[...edits].map(([key, value]) => `${JSON.stringify(key)}:${typed(key, value)}`).join()}}`;
}
function refused(reply) {
  for (const { pointer, detail } of reply.answer.errors || []) {
    const input = $(`set-${pointer.slice(1).replaceAll("/", ".")}`);
    if (!input) continue;
    setText($(`${input.id}-problem`), `${detail}.`);
    input.setAttribute("aria-invalid", "true");
    input.closest("details").open = true;
  }
  const first = form.querySelector("[aria-invalid]");
  if (first) first.focus();
  return [`Nothing was changed: ${reply.why}.`, false];
}
// Tries it dry, shows what it would do where that is more than a value taken at once, and does it.
async function change(method, path, body, always) {
  for (const node of form.querySelectorAll("[aria-invalid]")) {
    node.removeAttribute("aria-invalid");
    setText($(`${node.id}-problem`), "");
  }
  const match = { "If-Match": tag };
  const dry = await send(method, `${path}?dry_run=true`, body, match);
  if (!dry) return outcome();
  if (dry.status === 412) {
    await load();
    return ["The settings were changed elsewhere and have been read again; what you typed is kept. Look at it and save again.", false];
  }
  if (!dry.ok) return refused(dry);
  const { changes } = dry.answer;
  if (!changes.length && !always) {
    edits.clear();
    await load();
    return ["Nothing would change by it.", true];
  }
  if (always || changes.some((c) => c.effect !== "now")) {
    const list = changes.map((c) => {
      const { secret, schema } = setting(c.key);
      const what = secret ? "a secret, which is not shown" : `${show(c.from, schema.unit)} \u2192 ${show(c.to, schema.unit)}`;
      return make("li", "", `${c.key}: ${what}; takes effect ${EFFECTS[c.effect]}`);
    });
    const trial = dry.answer.on_trial ? ["It is taken back when the capture is not back within 30 seconds."] : [];
    const yes = await dialog({ title: "Save these changes?", body: [make("ul", "", ...list), ...trial, ...(list.length ? [] : ["No value changes."])], yes: "Save" });
    if (yes === null) return outcome();
  }
  const reply = await send(method, path, body, match);
  if (!reply) return outcome();
  if (reply.status === 412) return change(method, path, body, always);
  if (!reply.ok) return refused(reply);
  edits.clear();
  take(reply);
  if ($("versions").open) showVersions();
  return [reply.status === 202 ? "Saved, and on trial until the capture is back." : "Saved.", true];
}
async function showVersions() {
  const reply = await send("GET", "api/config/versions");
  if (!reply) return;
  const version = (v) => {
    const node = make("button", "plain", "Restore");
    node.type = "button";
    node.setAttribute("aria-label", `Restore version ${v.number}`);
    node.addEventListener("click", () => act(node, said, () => change("POST", "api/config/restore", { version: v.number }, true)));
    return node;
  };
  const none = { number: 0, time: null, author: "\u2013", settings: {} };
  $("versions-list").replaceChildren(reply.ok ? table("Versions", [
    ["Version", (v) => String(v.number)],
    ["When", (v) => (v.time ? clock.format(new Date(v.time)) : "\u2013")],
    ["By", (v) => v.author + (v.reason ? `: ${v.reason}` : "")],
    ["Set here", (v) => Object.entries(v.settings).map(([key, value]) => `${key} = ${value === null ? "(secret)" : show(value)}`).join(", ") || "nothing"],
    ["", version],
  ], [...reply.answer.versions, none]) : make("p", "bad", `The versions could not be read: ${reply.why}.`));
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  act($("settings-save"), said, () => change("PATCH", "api/config", merge()));
});
$("settings-discard").addEventListener("click", () => {
  edits.clear();
  draw();
  setText(said, "");
});
$("settings-show").addEventListener("click", load);
$("versions").addEventListener("toggle", () => $("versions").open && showVersions());
onOwner((here) => {
  form.hidden = !here;
  $("settings-locked").hidden = here;
  if (here) load();
});
