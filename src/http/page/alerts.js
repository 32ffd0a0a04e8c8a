// The alerts, what the owner says of them, and what he expects.
import { $, SHAPES, act, ask, bytes, clock, dialog, download, empty, make, number, percent, outcome, plural, send, setText, table, time, whole, words } from "./dom.js";

const shownAlerts = new Map();

function party(p) {
  const name = p.name || p.ips[0] || p.mac || "the tap";
  const rest = [p.mac, ...p.ips].filter((part) => part && part !== name);
  return rest.length ? `${name} (${rest.join(", ")})` : name;
}
function peer(p) {
  const host = p.ip || p.mac || "";
  const port = p.port === null ? "" : ` port ${p.port}`;
  return `${host}${port}${p.protocol ? ` ${p.protocol}` : ""}`.trim();
}
function reasons(list) {
  const limit = (value) => (value === null ? "\u2013" : number(value));
  return table("Reasons", [
    ["Observed", (r) => words(r.feature)],
    ["Value", (r) => `${number(r.value)} ${r.unit}`],
    ["Usual (median)", (r) => limit(r.baseline.median), "number"],
    ["Limit (p99)", (r) => limit(r.baseline.p99), "number"],
    ["Share", (r) => {
      const fill = make("b");
      fill.style.width = `${Math.max(0, Math.min(1, r.contribution)) * 100}%`;
      const box = make("i", "", fill);
      box.setAttribute("aria-hidden", "true");
      return make("span", "share", box, `${Math.round(r.contribution * 100)} %`);
    }],
  ], list, "reasons");
}

// A button that keeps its place in the order of focus when its alert is drawn anew.
function button(name, action, work) {
  const node = make("button", "plain", name);
  node.type = "button";
  node.dataset.action = action;
  node.addEventListener("click", () => act(node, $("alerts-said"), work));
  return node;
}
async function mark(a, what, body, told) {
  const reply = await send("POST", `api/alerts/${a.id}/${what}`, body);
  await askAlerts();
  return outcome(reply, told);
}
async function markFalse(a) {
  const note = await dialog({
    title: "False positive?", field: "Note (may be empty)", yes: "False positive",
    body: [`${a.title}.`, `This alert is cleared, and the like (${words(a.kind)} by ${party(a.subject)}) is expected for 30 days: it is counted and not raised. It can be undone.`],
  });
  if (note === null) return outcome();
  return mark(a, "false-positive", note ? { note } : {}, () => "Marked as a false positive: cleared, and the like is expected for 30 days.");
}
function buttons(a) {
  const list = [];
  if (a.acknowledged) list.push(button("Not acknowledged after all", "acknowledge", () => mark(a, "acknowledge", { undo: true }, () => `No longer acknowledged: ${a.title}.`)));
  else if (a.event !== "cleared") list.push(button("Acknowledge", "acknowledge", () => mark(a, "acknowledge", {}, () => `Acknowledged: ${a.title}.`)));
  if (a.feedback) list.push(button("No false positive after all", "false", () => notFalse(a)));
  else list.push(button("False positive", "false", () => markFalse(a)));
  const { pcap, pcap_packets: n, pcap_bytes: size } = a.evidence;
  if (pcap) list.push(button(`Download ${plural(n, "packet")} (${bytes(size)})`, "pcap", () => download(pcap.slice(1), `tapguard-alert-${a.id}.pcapng`)));
  return make("p", "actions", ...list);
}
const notFalse = (a) => mark(a, "false-positive", { undo: true }, () => "No false positive after all: the like is raised again.");
const said = (word, at, note) => make("p", "quiet", `${word} `, time(at), note ? `: ${note}` : null);

function alertNode(a) {
  const cleared = a.event === "cleared";
  const shape = make("span", "", SHAPES[a.severity] || "");
  shape.setAttribute("aria-hidden", "true");
  const node = make("article", `alert ${a.severity}${cleared ? " cleared" : ""}`,
    make("header", "",
      make("span", `severity ${a.severity}`, shape, a.severity),
      make("h3", "", a.title),
      make("span", "tag", cleared ? "cleared" : "open"),
      a.acknowledged ? make("span", "tag good", "acknowledged") : null,
      a.feedback ? make("span", "tag warn", "false positive") : null,
      make("span", "tag", words(a.kind)),
      a.count > 1 ? make("span", "tag", `${whole.format(a.count)} findings`) : null),
    make("p", "text", a.description),
    make("p", "quiet", time(a.first_seen), a.first_seen === a.last_seen ? null : " to ", a.first_seen === a.last_seen ? null : time(a.last_seen)),
    make("p", "quiet", `By ${party(a.subject)}${a.peers.length ? `; towards ${a.peers.map(peer).join(", ")}` : ""}. ` +
      `Evidence: ${plural(a.evidence.packets, "packet")}, ${bytes(a.evidence.bytes)}. Score ${number(a.score)}, confidence ${percent(a.confidence)}` +
      `${a.technique.length ? `. Possible sign of ATT&CK ${a.technique.join(", ")}` : ""}.`),
    a.acknowledged ? said("Acknowledged", a.acknowledged, a.acknowledged_note) : null,
    a.feedback ? said("Marked as a false positive", a.feedback.time, a.feedback.note) : null);
  node.dataset.id = a.id;
  if (a.reasons.length) {
    const why = make("details", "", make("summary", "", "Why"), reasons(a.reasons));
    why.open = !cleared;
    node.append(why);
  }
  node.append(buttons(a));
  return node;
}
function showAlerts({ alerts }) {
  const list = $("alert-list");
  if (!alerts.length) {
    shownAlerts.clear();
    if (list.dataset.none !== filter.value) list.replaceChildren(empty(NONE[filter.value]));
    list.dataset.none = filter.value;
    return;
  }
  delete list.dataset.none;
  const wanted = alerts.map((a) => {
    const text = JSON.stringify(a);
    const old = shownAlerts.get(a.id);
    if (old && old.text === text) return [a.id, old];
    const node = alertNode(a);
    if (old && old.event === a.event) {
      const [was, is] = [old.node.querySelector("details"), node.querySelector("details")];
      if (was && is) is.open = was.open;
    }
    return [a.id, { text, node, event: a.event }];
  });
  shownAlerts.clear();
  for (const [id, entry] of wanted) shownAlerts.set(id, entry);
  const nodes = wanted.map(([, entry]) => entry.node);
  const same = nodes.length === list.children.length && nodes.every((node, i) => list.children[i] === node);
  if (same) return;
  const focused = document.activeElement;
  const at = nodes.length && focused.dataset.action && focused.closest("article") ? focused.closest("article").dataset.id : null;
  list.replaceChildren(...nodes);
  const entry = shownAlerts.get(at);
  const again = entry && entry.node.querySelector(`[data-action="${focused.dataset.action}"]`);
  if (again) again.focus();
  else if (at) list.focus();
}

const filter = $("alerts-filter");
const NONE = {
  "": "No alert yet. What is found will be listed here, newest first.",
  "&open=true": "No alert is open.",
  "&open=true&acknowledged=false": "No open alert is without your acknowledgement.",
};
filter.addEventListener("change", () => askAlerts());
$("acknowledge-all").addEventListener("click", ({ target }) => act(target, $("alerts-said"), async () => {
  const reply = await send("POST", "api/alerts/acknowledge", {});
  await askAlerts();
  return outcome(reply, ({ acknowledged: n }) => `${plural(n, "open alert")} acknowledged.`);
}));

export async function askAlerts() {
  const chosen = filter.value;
  await ask(`api/alerts?limit=50${chosen}`, "alerts", (answer) => {
    if (chosen === filter.value) showAlerts(answer);
  });
  await ask("api/alerts/expected", "expected", showExpected);
}

/* What is expected */

let shownExpected = "";

function showExpected({ expected }) {
  const text = JSON.stringify(expected);
  if (text === shownExpected) return;
  shownExpected = text;
  const rules = expected || [];
  $("expected").hidden = !rules.length;
  setText($("expected-title"), `Expected by you: ${plural(rules.length, "rule")}`);
  $("expected-list").replaceChildren(table("What is expected", [
    ["Kind", (r) => words(r.kind)],
    ["By", (r) => [r.name, r.ip || r.mac].filter((part) => part).join(", ") || "the tap"],
    ["Up to severity", (r) => r.severity],
    ["Until", (r) => time(r.until), "nowrap"],
    ["Not raised", (r) => whole.format(r.matched), "number"],
    ["", (r) => {
      const undo = button("Undo", "undo", () => notFalse({ id: r.alert }));
      undo.setAttribute("aria-label", `Undo: expect ${words(r.kind)} no more`);
      return undo;
    }],
  ], rules));
}

