"use strict";
// Text of devices (names, addresses, descriptions) only ever goes into text nodes.

const $ = (id) => document.getElementById(id);
const SHAPES = { low: "\u25CF", medium: "\u25C6", high: "\u25B2", critical: "\u25A0" };
const KEY = "tapguard-admin-token";

/* Elements and numbers */

function make(tag, name, ...children) {
  const node = document.createElement(tag);
  if (name) node.className = name;
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return node;
}
function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
function number(value) {
  if (value === null || value === undefined) return "unknown";
  const size = Math.abs(value);
  const digits = Number.isInteger(value) || size >= 1000 ? 0 : size >= 100 ? 1 : size >= 1 ? 2 : 4;
  return new Intl.NumberFormat("en", { maximumFractionDigits: digits }).format(value);
}
function scaled(value, unit, steps = ["", "k", "M", "G", "T"]) {
  if (value === null || value === undefined) return ["unknown", ""];
  let step = 0;
  while (Math.abs(value) >= 1000 && step < steps.length - 1) { value /= 1000; step += 1; }
  const digits = value >= 100 || (step === 0 && Number.isInteger(value)) ? 0 : 1;
  return [new Intl.NumberFormat("en", { maximumFractionDigits: digits }).format(value), steps[step] + unit];
}
const bytes = (value) => scaled(value, "B").join(" ").trim();
function percent(ratio) {
  const value = ratio * 100;
  return value === 0 ? "0 %" : value < 0.01 ? "< 0.01 %" : `${number(Math.round(value * 100) / 100)} %`;
}
function span(seconds) {
  if (seconds === null || seconds === undefined) return "unknown";
  if (seconds < 10) return `${number(Math.round(seconds * 10) / 10)} s`;
  const s = Math.round(seconds);
  const parts = [[Math.floor(s / 86400), "d"], [Math.floor(s / 3600) % 24, "h"], [Math.floor(s / 60) % 60, "min"], [s % 60, "s"]];
  const from = parts.findIndex(([n]) => n > 0);
  return parts.slice(from, from + 2).filter(([n]) => n > 0).map(([n, u]) => `${n} ${u}`).join(" ");
}
const clock = new Intl.DateTimeFormat("en-GB", { year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit" });
function time(text) {
  const node = make("time", "", clock.format(new Date(text)));
  node.dateTime = text;
  node.title = text;
  return node;
}
function ago(text, now) {
  const seconds = (new Date(now) - new Date(text)) / 1000;
  const node = make("time", "", seconds < 1 ? "now" : `${span(seconds)} ago`);
  node.dateTime = text;
  node.title = text;
  return node;
}
const words = (name) => name.replaceAll("_", " ");
const plural = (n, one, many = `${one}s`) => `${whole.format(n)} ${n === 1 ? one : many}`;

function facts(id, pairs, none) {
  const rows = pairs.filter((pair) => pair && pair[1] !== null && pair[1] !== undefined);
  const shown = JSON.stringify(rows);
  const list = $(id);
  if (list.dataset.shown === shown) return;
  list.dataset.shown = shown;
  list.replaceChildren(...rows.flatMap(([name, value, tone]) => [make("dt", "", name), make("dd", tone || "", String(value))]));
  if (!rows.length) list.replaceChildren(make("dt", "", none));
}

/* Tables: a column is [heading, cell function, class] */

function table(caption, columns, rows, name) {
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
function scroller(label, content) {
  const box = make("div", "table tall", content);
  box.tabIndex = 0;
  box.setAttribute("role", "region");
  box.setAttribute("aria-label", label);
  return box;
}
function replaceList(id, label, content) {
  const old = $(id).firstElementChild;
  const box = scroller(label, content);
  const [top, left, focused] = old ? [old.scrollTop, old.scrollLeft, document.activeElement === old] : [0, 0, false];
  $(id).replaceChildren(box);
  box.scrollTop = top;
  box.scrollLeft = left;
  if (focused) box.focus();
}
const empty = (text) => make("p", "empty", text);

/* Tiles */

const tiles = {};
for (const [key, title, chart] of [
  ["threat", "Threat level"], ["packets", "Packets", true], ["bits", "Traffic", true], ["drops", "Lost frames"], ["flows", "Flows"],
  ["devices", "Devices"], ["baseline", "Baseline"], ["model", "Model"], ["store", "Store"], ["mqtt", "MQTT"],
]) {
  const big = make("p", "big", "\u2013");
  const note = make("p", "quiet", "");
  const tile = make("div", "tile", make("h3", "", title), big, note);
  tiles[key] = { big, note, past: [] };
  if (chart) {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("viewBox", "0 0 59 20");
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("aria-hidden", "true");
    tiles[key].line = svg.appendChild(document.createElementNS("http://www.w3.org/2000/svg", "polyline"));
    tile.prepend(svg);
  }
  $("tiles").append(tile);
}
function setTile(key, value, unit, note, tone = "") {
  const { big, note: line } = tiles[key];
  big.className = `big ${tone}`.trim();
  const text = unit ? `${value} ${unit}` : value;
  if (big.textContent !== text) big.replaceChildren(value, ...(unit ? [" ", make("small", "", unit)] : []));
  setText(line, note);
}
function chart(key, value) {
  const { past, line } = tiles[key];
  if (value === null || value === undefined) return;
  past.push(value);
  if (past.length > 60) past.shift();
  const most = Math.max(...past, 1);
  line.setAttribute("points", past.map((v, i) => `${i + 60 - past.length},${19 - (v / most) * 18}`).join(" "));
}

/* The overview */

function showState(s) {
  const pill = $("state");
  const phase = s.baseline && s.baseline.phase;
  let text = "no data yet";
  let tone = "";
  if (phase === "none") text = "no baseline yet";
  if (phase === "learning") {
    const { learned_seconds: done, target_seconds: all, remaining_seconds: left } = s.baseline;
    text = `learning ${all > 0 ? Math.min(100, Math.floor((done / all) * 100)) : 0} %, ${span(Math.ceil(left))} left`;
    tone = "warn";
  }
  if (phase === "armed") [text, tone] = ["armed", "good"];
  const open = s.alerts ? s.alerts.open : 0;
  $("phase").hidden = !open;
  setText($("phase"), text);
  if (open) [text, tone] = [`alert: ${open} open`, "bad"];
  setText(pill, text);
  pill.className = `pill ${tone}`.trim();
  document.title = `${open ? `(${open}) ` : ""}${s.tap.name} \u00B7 tapguard`;
}

function showSource(s) {
  const c = s.capture;
  $("demo").hidden = !(c && c.kind === "demo");
  const line = $("source");
  if (!c) return setText(line, "The capture has not reported yet.");
  const name = make("strong", "", c.name);
  const why = c.why ? ` (${c.why})` : "";
  const age = c.last_packet_age_seconds;
  let tail = " No packet of a device yet.";
  if (age !== null) tail = ` Last packet ${age < 2 ? "just now" : `${span(age)} ago`}.`;
  if (c.state === "waiting") tail = ` Waiting for it to come back: ${c.waiting_for}.`;
  if (c.state === "quiet") tail = ` It is quiet: ${age === null ? "no packet yet" : `last packet ${span(age)} ago`}.`;
  if (c.state === "stopped") tail = " It was stopped on request: nothing is captured until it is started again.";
  if (c.state === "ended") tail = " It has been read to its end.";
  const kind = { interface: "Traffic of the interface ", file: "Capture file, not live: ", demo: "Source: " }[c.kind] || "Source: ";
  const shown = kind + c.name + why + tail;
  if (line.textContent !== shown + (why ? "." : "")) line.replaceChildren(kind, name, why, ".", tail);
}

function showComplaints({ complaints }) {
  const banner = $("complaints");
  const shown = JSON.stringify(complaints);
  if (banner.dataset.shown === shown) return;
  banner.dataset.shown = shown;
  banner.hidden = !complaints.length;
  const lines = complaints.map((line) => make("li", "", line));
  banner.replaceChildren(make("strong", "", "The tap does not work as it should:"), make("ul", "", ...lines));
}

function showTiles(s) {
  const t = s.traffic;
  const open = s.alerts ? s.alerts.open : 0;
  if (!s.alerts) setTile("threat", "unknown", "", "not judged yet");
  else if (!s.threat) setTile("threat", "none", "", open ? "all acknowledged" : "no open alert", "good");
  else setTile("threat", `${SHAPES[s.threat]} ${s.threat}`, "", plural(s.alerts.unacknowledged, "open alert"), s.threat);

  const rate = t && t.packets_per_second;
  setTile("packets", number(rate === null ? rate : rate < 10 ? rate : Math.round(rate)), rate === null ? "" : "per second", t ? `${whole.format(t.packets)} in all` : "");
  setTile("bits", ...(t ? scaled(t.bits_per_second, "bit/s") : ["unknown", ""]), t ? `${bytes(t.bytes)} in all` : "");
  chart("packets", rate);
  chart("bits", t && t.bits_per_second);

  if (s.capture) {
    const lost = s.drops.kernel + s.drops.interface;
    const all = s.capture.frames + lost;
    setTile("drops", whole.format(lost), "", `${percent(all ? lost / all : 0)} of ${plural(all, "frame")}`, lost ? "warn" : "");
  } else setTile("drops", "unknown", "", "");
  if (s.flows) setTile("flows", whole.format(s.flows.active), "", `of ${whole.format(s.flows.capacity)}; ${whole.format(s.flows.total)} seen`);
  else setTile("flows", "unknown", "", "");
  if (s.devices) {
    const fresh = s.devices.new;
    setTile("devices", whole.format(s.devices.active), "", fresh === null ? "no baseline to compare with" : fresh ? `${whole.format(fresh)} not in the baseline` : "all known", fresh ? "warn" : "");
  } else setTile("devices", "unknown", "", "");

  const b = s.baseline;
  if (!b) setTile("baseline", "unknown", "", "not reported yet");
  else if (b.phase === "none") setTile("baseline", "none", "", "nothing learned yet");
  else if (b.phase === "learning") setTile("baseline", "learning", "", `${span(b.remaining_seconds)} left`, "warn");
  else setTile("baseline", b.phase, "", `${b.id ? `${b.id}, ` : ""}${plural(b.devices, "device")}`, "good");
  if (s.model) setTile("model", words(s.model.id), "", "judging", "text");
  else setTile("model", "none", "", s.no_model || "no model trained yet");
  if (s.store) {
    const [failed, lost, broken] = [s.store.write_errors, s.drops.alerts_lost, s.store.failing !== null];
    const bad = failed > 0 || lost > 0 || broken;
    const trouble = [broken ? "cannot write now" : failed ? `${plural(failed, "write")} failed` : "", lost ? `${plural(lost, "alert")} lost` : ""];
    setTile("store", ...scaled(s.store.size_bytes, "B"), bad ? trouble.filter((part) => part).join("; ") : `of ${bytes(s.store.quota_bytes)}; ${plural(s.store.alerts, "alert")}`, bad ? "bad" : "");
  } else setTile("store", "unknown", "", "has not reported yet");
  if (!s.mqtt) setTile("mqtt", "off", "", "not configured");
  else if (s.mqtt.connected) setTile("mqtt", "connected", "", s.mqtt.broker, "good");
  else setTile("mqtt", "not connected", "", s.mqtt.error || s.mqtt.broker, "bad");
}

function showBaseline(s) {
  const b = s.baseline;
  const bar = $("baseline-bar");
  bar.hidden = !b || b.phase !== "learning";
  if (!b) return setText($("baseline-text"), "The judge has not reported yet.");
  if (!bar.hidden) bar.value = b.target_seconds > 0 ? Math.min(1, b.learned_seconds / b.target_seconds) : 0;
  setText($("baseline-text"), {
    none: "There is no baseline yet: nothing is known about what is normal here.",
    learning: `Learning what is normal: ${span(b.learned_seconds)} of ${span(b.target_seconds)} done, ${span(b.remaining_seconds)} left.`,
    armed: "What is normal here has been learned. Everything seen is compared with it.",
  }[b.phase] || b.phase);
  setText($("baseline-note"), b.id ? `baseline ${b.id}` : "");
  const m = s.model;
  facts("baseline-facts", [
    ["Devices known", whole.format(b.devices)],
    ["Device windows held", whole.format(b.windows)],
    m && ["Model", m.id],
    m && ["Trained on", `${plural(m.trained_on_windows, "window")}, ${whole.format(m.held_out_windows)} held out`],
    m && ["Threshold", number(m.threshold)],
    m && ["Trained at", clock.format(new Date(m.trained_at))],
    s.windows && ["Windows judged", whole.format(s.windows.judged)],
    s.windows && ["Of these unusual", whole.format(s.windows.unusual)],
    s.alerts && !s.alerts.detection && ["Detection", "off", "warn"],
    s.alerts && s.alerts.suppressed > 0 && ["Findings not raised, detection off", whole.format(s.alerts.suppressed), "warn"],
  ]);
}

function showHealth(s) {
  const c = s.capture;
  facts("capture-facts", c ? [
    ["Source", c.name], ["State", c.state, c.state === "running" ? "good" : "warn"], ["Frames", whole.format(c.frames)],
    ["Times lost", whole.format(c.losses), c.losses ? "warn" : ""], ["Clock jumps", whole.format(c.clock_steps), c.clock_steps ? "warn" : ""],
    ["Broken records", whole.format(c.broken_records), c.broken_records ? "warn" : ""], ["Capture clock", clock.format(new Date(c.time))],
  ] : [], "not reported yet");
  const lost = [
    ["Frames, by the kernel", "kernel"], ["Frames, by the interface", "interface"], ["Observations", "observations"], ["Flows evicted", "flows_evicted"],
    ["Devices evicted", "devices_evicted"], ["Alerts not delivered", "outbox"], ["Alerts not stored", "alerts_lost"],
    ["Writes to the store", "store_writes"], ["Devices and snapshots not stored", "store_refused"], ["Unreadable records", "store_unreadable"],
    ["Devices beyond the baseline's table", "devices_untracked"], ["Events inside the meter", "events"], ["Connections refused", "connections_refused"],
    ["Alerts not told live", "stream_alerts"],
  ];
  facts("drop-facts", lost.map(([name, key]) => [name, s.drops[key] === null ? "unknown" : whole.format(s.drops[key]), s.drops[key] ? "warn" : ""]));
  const kinds = s.traffic ? Object.entries(s.traffic.protocols).sort((a, b) => b[1] - a[1]) : [];
  facts("protocol-facts", kinds.map(([name, n]) => [words(name), whole.format(n)]), "no packet yet");
  const faults = s.traffic ? s.traffic.faults : [];
  facts("fault-facts", faults.map((f) => [`${words(f.layer)}: ${words(f.reason)}`, whole.format(f.packets)]), s.traffic ? "none" : "not reported yet");
  const { store, mqtt } = s;
  facts("store-facts", [
    store && ["Path", store.path], store && ["Size", `${bytes(store.size_bytes)} of ${bytes(store.quota_bytes)}`],
    store && ["Alerts kept", whole.format(store.alerts)], store && ["Alerts expired", whole.format(store.alerts_expired)],
    store && ["Waiting for the broker", whole.format(store.outbox)], store && store.failing && ["Cannot write now", store.failing, "bad"],
    store && store.last_error && store.last_error !== store.failing && ["Last error", store.last_error, "warn"],
    store && store.replaced && ["Replaced; old one at", store.replaced, "warn"],
    ["MQTT", mqtt ? (mqtt.connected ? `connected to ${mqtt.broker}` : `not connected to ${mqtt.broker}`) : "not configured"],
    mqtt && ["Alerts acknowledged", whole.format(mqtt.delivered)],
  ], "not reported yet");
  const { process, http, tap } = s;
  facts("process-facts", [
    process && ["Memory", `${bytes(process.resident_bytes)}, at most ${bytes(process.resident_peak_bytes)}`],
    process && ["Processor time", span(process.cpu_seconds)], process && ["Threads", whole.format(process.threads)],
    process && ["Open descriptors", whole.format(process.descriptors)],
    http && ["Requests answered", whole.format(http.requests)], http && ["Wrong or no token", whole.format(http.unauthorised)],
    http && ["Restarts", whole.format(http.restarts), http.restarts ? "warn" : ""], http && ["Live streams", whole.format(http.streams)], ["Clock", clock.format(new Date(tap.time))],
  ]);
  setText($("foot"), `tapguard ${tap.version}, up ${span(tap.uptime_seconds)}`);
}

function showStatistics(s) {
  setText($("name"), s.tap.name);
  showComplaints(s);
  showState(s);
  showSource(s);
  showTiles(s);
  showBaseline(s);
  showHealth(s);
  const total = s.alerts ? Object.values(s.alerts.raised).reduce((sum, n) => sum + n, 0) : null;
  setText($("alerts-note"), total === null ? "" : `${plural(s.alerts.open, "open", "open")}, ${whole.format(total)} raised since start`);
}

/* Alerts */

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
function alertNode(a) {
  const cleared = a.event === "cleared";
  const shape = make("span", "", SHAPES[a.severity] || "");
  shape.setAttribute("aria-hidden", "true");
  const node = make("article", `alert ${a.severity}${cleared ? " cleared" : ""}`,
    make("header", "",
      make("span", `severity ${a.severity}`, shape, a.severity),
      make("h3", "", a.title),
      make("span", "tag", cleared ? "cleared" : "open"),
      make("span", "tag", words(a.kind)),
      a.count > 1 ? make("span", "tag", `${whole.format(a.count)} findings`) : null),
    make("p", "text", a.description),
    make("p", "quiet", time(a.first_seen), a.first_seen === a.last_seen ? null : " to ", a.first_seen === a.last_seen ? null : time(a.last_seen)),
    make("p", "quiet", `By ${party(a.subject)}${a.peers.length ? `; towards ${a.peers.map(peer).join(", ")}` : ""}. ` +
      `Evidence: ${plural(a.evidence.packets, "packet")}, ${bytes(a.evidence.bytes)}. Score ${number(a.score)}, confidence ${percent(a.confidence)}` +
      `${a.technique.length ? `. Possible sign of ATT&CK ${a.technique.join(", ")}` : ""}.`));
  if (a.reasons.length) {
    const why = make("details", "", make("summary", "", "Why"), reasons(a.reasons));
    why.open = !cleared;
    node.append(why);
  }
  return node;
}
function showAlerts({ alerts }) {
  const list = $("alert-list");
  if (!alerts.length) {
    shownAlerts.clear();
    if (!list.firstElementChild || list.firstElementChild.dataset.none !== "1") {
      const none = empty("No alert yet. What is found will be listed here, newest first.");
      none.dataset.none = "1";
      list.replaceChildren(none);
    }
    return;
  }
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
  if (!same) list.replaceChildren(...nodes);
}

/* Devices and flows */

function showDevices({ time: now, counts, devices }) {
  setText($("devices-note"), counts ? `${plural(counts.active, "device")}, seen last first` : "");
  if (!devices.length) return $("devices").replaceChildren(empty("No device seen yet."));
  replaceList("devices", "Devices", table("Devices", [
    ["Name", (d) => make("span", "", d.name || "\u2013", ...(d.router ? [" ", make("span", "tag", "router")] : []))],
    ["MAC", (d) => d.mac || "behind a router", "nowrap"],
    ["Addresses", (d) => make("span", "lines", ...(d.ips.length ? d.ips.map((ip) => make("span", "", ip)) : ["\u2013"]))],
    ["Vendor class", (d) => d.vendor || "\u2013"],
    ["First seen", (d) => time(d.first_seen), "nowrap"],
    ["Last seen", (d) => ago(d.last_seen, now), "nowrap"],
    ["Sent", (d) => bytes(d.bytes_sent), "number nowrap"],
    ["Received", (d) => bytes(d.bytes_received), "number nowrap"],
    ["Baseline", (d) => (d.known === null ? "\u2013" : d.known ? "known" : make("span", "tag warn", "new"))],
  ], devices));
}
function endpoint(ip, port) {
  if (!port) return ip;
  return ip.includes(":") ? `[${ip}]:${port}` : `${ip}:${port}`;
}
function showFlows({ time: now, counts, flows }) {
  setText($("flows-note"), counts ? `the ${plural(flows.length, "flow")} active last, of ${whole.format(counts.active)}` : "");
  if (!flows.length) return $("flows").replaceChildren(empty("No flow in the table."));
  replaceList("flows", "Flows", table("Flows", [
    ["Protocol", (f) => f.protocol],
    ["Client", (f) => endpoint(f.client, f.client_port)],
    ["Server", (f) => endpoint(f.server, f.server_port)],
    ["State", (f) => words(f.state)],
    ["To server", (f) => `${bytes(f.bytes_to_server)} in ${whole.format(f.packets_to_server)}`, "number nowrap"],
    ["To client", (f) => `${bytes(f.bytes_to_client)} in ${whole.format(f.packets_to_client)}`, "number nowrap"],
    ["Duration", (f) => span((new Date(f.last_seen) - new Date(f.first_seen)) / 1000), "number nowrap"],
    ["Last packet", (f) => ago(f.last_seen, now), "nowrap"],
  ], flows));
}

/* Asking the daemon */

let silentSince = null;

function answered(yes) {
  if (yes) silentSince = null;
  else silentSince = silentSince || new Date();
  document.body.classList.toggle("stale", !yes);
  $("offline").hidden = yes;
  if (!yes) setText($("offline"), `The daemon has not answered since ${clock.format(silentSince)}. What is shown below is old; trying again.`);
}
// No answer at all is told of the whole daemon; an answer that is an error, in the section that it is of.
async function ask(path, section, show) {
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
  else setText(line, `The daemon answered with an error (${reply.status}): ${detail(text)}. What is shown here may be old; trying again.`);
}
function detail(text) {
  try {
    return JSON.parse(text).detail || "no reason given";
  } catch {
    return "no reason given";
  }
}
function poll(milliseconds, work) {
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
const askAlerts = () => ask("api/alerts?limit=50", "alerts", showAlerts);
poll(2000, async () => listening() || ask("api/statistics", "overview", showStatistics));
poll(3000, async () => listening() || askAlerts());
poll(3000, async () => {
  await ask("api/devices?limit=200", "devices", showDevices);
  await ask("api/flows?limit=50", "flows", showFlows);
});

/* Listening to the daemon: while the stream is open, statistics and alerts are not asked for */

let stream = null;
let pause = 1000;
let silence = null;

function listening() {
  return stream !== null && stream.readyState === WebSocket.OPEN;
}
function listen() {
  if (stream || document.hidden) return;
  const socket = new WebSocket(new URL("api/stream", location.href.replace(/^http/, "ws")));
  stream = socket;
  const leave = () => {
    clearTimeout(silence);
    if (stream !== socket) return;
    stream = null;
    socket.close();
    setTimeout(listen, pause);
    pause = Math.min(pause * 2, 60000);
  };
  socket.onopen = askAlerts;
  socket.onclose = leave;
  socket.onmessage = ({ data }) => {
    // Statistics come each second; a network that has gone says nothing.
    clearTimeout(silence);
    silence = setTimeout(leave, 8000);
    pause = 1000;
    answered(true);
    const told = JSON.parse(data);
    if (told.type === "statistics") {
      $("overview-failed").hidden = true;
      showStatistics(told);
    } else askAlerts();
  };
}
document.addEventListener("visibilitychange", () => {
  if (document.hidden && stream) stream.close();
  else listen();
});
listen();

/* Learning anew */

$("token").value = sessionStorage.getItem(KEY) || "";
$("learn-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const [button, note] = [event.submitter || $("learn-form").querySelector("button"), $("learn-answer")];
  const token = $("token").value.trim();
  const seconds = $("duration").value;
  button.disabled = true;
  note.className = "";
  setText(note, "Asking the daemon.");
  try {
    const reply = await fetch("api/ml/baseline/start", {
      method: "POST",
      headers: { "Content-Type": "application/json", Authorization: `Bearer ${token}` },
      body: JSON.stringify(seconds ? { duration_seconds: Number(seconds) } : {}),
      signal: AbortSignal.timeout(10000),
    });
    const answer = await reply.json();
    if (!reply.ok) throw new Error(answer.detail || answer.title);
    sessionStorage.setItem(KEY, token);
    note.className = "good";
    setText(note, "Learning has begun.");
    ask("api/statistics", "overview", showStatistics);
  } catch (error) {
    if (String(error.message).includes("token")) sessionStorage.removeItem(KEY);
    note.className = "bad";
    setText(note, `Not started: ${error.message}.`);
  } finally {
    button.disabled = false;
  }
});
