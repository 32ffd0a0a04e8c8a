// The overview, devices and flows, and the stream that feeds all rooms of the page.
import { $, SHAPES, ago, answered, ask, bytes, clock, empty, make, number, percent, plural, poll, replaceList, scaled, setText, span, table, time, whole, words } from "./dom.js";
import { askAlerts } from "./alerts.js";
import { askHistory } from "./charts.js";
import { askPerformance, showBaseline, showSystem } from "./system.js";
import "./captures.js";
import "./settings.js";

/* Tiles */

const tiles = {};
for (const [key, title] of [
  ["threat", "Threat level"], ["packets", "Packets"], ["bits", "Traffic"], ["drops", "Lost frames"], ["flows", "Flows"],
  ["devices", "Devices"], ["baseline", "Baseline"], ["model", "Model"], ["store", "Store"], ["mqtt", "MQTT"],
]) {
  const big = make("p", "big", "\u2013");
  const note = make("p", "quiet", "");
  const tile = make("div", "tile", make("h3", "", title), big, note);
  tiles[key] = { big, note };
  $("tiles").append(tile);
}
function setTile(key, value, unit, note, tone = "") {
  const { big, note: line } = tiles[key];
  big.className = `big ${tone}`.trim();
  const text = unit ? `${value} ${unit}` : value;
  if (big.textContent !== text) big.replaceChildren(value, ...(unit ? [" ", make("small", "", unit)] : []));
  setText(line, note);
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
  const kind = { interface: "Traffic of the interface ", mirror: "Frames mirrored to ", file: "Capture file, not live: ", demo: "Source: " }[c.kind] || "Source: ";
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

function showStatistics(s) {
  setText($("name"), s.tap.name);
  showComplaints(s);
  showState(s);
  showSource(s);
  showTiles(s);
  showBaseline(s);
  showSystem(s);
  const total = s.alerts ? Object.values(s.alerts.raised).reduce((sum, n) => sum + n, 0) : null;
  setText($("alerts-note"), total === null ? "" : `${plural(s.alerts.open, "open", "open")}, ${whole.format(total)} raised since start`);
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
    } else {
      askAlerts();
      // What was captured around it comes later.
      setTimeout(askAlerts, 20000);
    }
  };
}
document.addEventListener("visibilitychange", () => {
  if (document.hidden && stream) stream.close();
  else listen();
});

/* Asking the daemon */

poll(2000, async () => listening() || ask("api/statistics", "overview", showStatistics));
poll(3000, async () => listening() || askAlerts());
poll(10000, async () => {
  await askHistory();
  await askPerformance();
});
poll(5000, async () => {
  await ask("api/devices?limit=200", "devices", showDevices);
  await ask("api/flows?limit=50", "flows", showFlows);
});
listen();
