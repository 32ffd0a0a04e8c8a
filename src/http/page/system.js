// The model, the capture and the daemon itself.
import { $, act, ask, bytes, clock, dialog, empty, facts, make, number, outcome, percent, plural, scroller, send, setText, span, table, whole, words } from "./dom.js";

export function showBaseline(s) {
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
  facts("baseline-facts", [
    ["Devices known", whole.format(b.devices)],
    ["Device windows held", whole.format(b.windows)],
    s.alerts && !s.alerts.detection && ["Detection", "off", "warn"],
    s.alerts && s.alerts.suppressed > 0 && ["Findings not raised, detection off", whole.format(s.alerts.suppressed), "warn"],
  ]);
}

export function showSystem(s) {
  const c = s.capture;
  const stopped = c && c.state === "stopped";
  $("capture-switch").hidden = !c || c.state === "ended";
  $("capture-switch").dataset.action = stopped ? "start" : "stop";
  setText($("capture-switch"), stopped ? "Start capture" : "Stop capture");
  facts("capture-facts", c ? [
    ["Source", c.name], ["Why this one", c.why], ["State", c.state, c.state === "running" ? "good" : "warn"], ["Frames", whole.format(c.frames)],
    ["Times lost", whole.format(c.losses), c.losses ? "warn" : ""], ["Clock jumps", whole.format(c.clock_steps), c.clock_steps ? "warn" : ""],
    ["Broken records", whole.format(c.broken_records), c.broken_records ? "warn" : ""],
    ...(c.sources.length > 1 ? c.sources.map((one) => [one.name, `${one.state}, ${plural(one.frames, "frame")}, ${whole.format(one.kernel_drops + one.interface_drops)} lost`, one.state === "running" ? "good" : "warn"]) : []),
    ...c.sources.filter((one) => one.mirror).map(({ name, mirror }) => [`Sent to ${name}`, [...mirror.senders.map((s) => `${s.ip}: ${whole.format(s.frames)}`), `${plural(mirror.foreign, "datagram")} without a frame, ${whole.format(mirror.refused)} refused`].join("; "), mirror.foreign + mirror.refused ? "warn" : ""]), ["Capture clock", clock.format(new Date(c.time))],
  ] : [], "not reported yet");
  showMirror(s.mirror, s.traffic && s.traffic.copies);
  const lost = [
    ["Frames, by the kernel", "kernel"], ["Frames, by the interface", "interface"], ["Observations", "observations"], ["Flows evicted", "flows_evicted"],
    ["Devices evicted", "devices_evicted"], ["Streams not measured", "streams_refused"], ["Alerts not delivered", "outbox"], ["Alerts not stored", "alerts_lost"],
    ["Writes to the store", "store_writes"], ["Devices and snapshots not stored", "store_refused"], ["Unreadable records", "store_unreadable"],
    ["Devices beyond the baseline's table", "devices_untracked"], ["Events inside the meter", "events"], ["Connections refused", "connections_refused"],
    ["Alerts not told live", "stream_alerts"],
  ];
  facts("drop-facts", lost.map(([name, key]) => [name, s.drops[key] === null ? "unknown" : whole.format(s.drops[key]), s.drops[key] ? "warn" : ""]));
  const kinds = s.traffic ? Object.entries(s.traffic.protocols).sort((a, b) => b[1] - a[1]) : [];
  facts("protocol-facts", kinds.map(([name, n]) => [words(name), whole.format(n)]), "no packet yet");
  const operations = s.traffic ? s.traffic.operations : [];
  facts("operation-facts", operations.map((o) => [`${words(o.protocol)}: ${words(o.effect)}, ${words(o.direction)}`, whole.format(o.packets)]), s.traffic ? "none" : "not reported yet");
  const faults = s.traffic ? s.traffic.faults : [];
  facts("fault-facts", faults.map((f) => [`${words(f.layer)}: ${words(f.reason)}`, whole.format(f.packets)]), s.traffic ? "none" : "not reported yet");
  const { store, mqtt, files } = s;
  const skipped = files ? Object.entries(files.evidence.skipped).filter(([, n]) => n) : [];
  facts("store-facts", [
    store && ["Path", store.path], store && ["Size", `${bytes(store.size_bytes)} of ${bytes(store.quota_bytes)}`],
    store && ["Alerts kept", whole.format(store.alerts)], store && ["Alerts expired", whole.format(store.alerts_expired)],
    store && ["Waiting for the broker", whole.format(store.outbox)], store && store.failing && ["Cannot write now", store.failing, "bad"],
    store && store.last_error && store.last_error !== store.failing && ["Last error", store.last_error, "warn"],
    store && store.replaced && ["Replaced; old one at", store.replaced, "warn"],
    files && ["Evidence of alerts", files.evidence.enabled ? `${plural(files.evidence.files, "file")}, ${bytes(files.evidence.size_bytes)} of ${bytes(files.evidence.quota_bytes)}` : "off"],
    skipped.length > 0 && ["Evidence skipped", skipped.map(([why, n]) => `${words(why)} ${whole.format(n)}`).join(", ")],
    files && ["Captures on demand", `${whole.format(files.captures.captures)}, ${bytes(files.captures.size_bytes)} of ${bytes(files.captures.quota_bytes)}`],
    files && files.evidence.failing && ["Evidence cannot be written", files.evidence.failing, "bad"],
    files && files.captures.failing && ["Captures cannot be written", files.captures.failing, "bad"],
    ["MQTT", mqtt ? (mqtt.connected ? `connected to ${mqtt.broker}` : `not connected to ${mqtt.broker}`) : "not configured"],
    mqtt && ["Alerts acknowledged", whole.format(mqtt.delivered)],
  ], "not reported yet");
  const { process, http, tap } = s;
  facts("process-facts", [
    ["Version", tap.version], ["Up for", span(tap.uptime_seconds)],
    process && ["Memory", `${bytes(process.resident_bytes)}, at most ${bytes(process.resident_peak_bytes)}`],
    process && ["Processor time", span(process.cpu_seconds)], process && ["Threads", whole.format(process.threads)],
    process && ["Open descriptors", whole.format(process.descriptors)],
    http && ["Requests answered", whole.format(http.requests)], http && ["Wrong or no token", whole.format(http.unauthorised)],
    http && ["Restarts", whole.format(http.restarts), http.restarts ? "warn" : ""], http && ["Live streams", `${whole.format(http.streams)}, ${whole.format(http.streams_dropped)} dropped`], ["Clock", clock.format(new Date(tap.time))],
  ]);
  setText($("foot"), `tapguard ${tap.version}, up ${span(tap.uptime_seconds)}`);
}

const tones = { fine: "good", found: "bad", unknown: "" };
const verdicts = { fine: "fine", found: "problem", unknown: "not known yet" };
function showMirror(checks, copies) {
  facts("mirror-facts", (checks || []).map((c) => [c.title, verdicts[c.verdict] || c.verdict, tones[c.verdict]]).concat(copies ? [["Copies left out", whole.format(copies)]] : []), "not reported yet");
  const shown = (checks || []).filter((c) => c.verdict === "found");
  const lines = shown.map((c) => `${c.title}: ${c.text}. ${c.remedy}`);
  const box = $("mirror-remedies");
  if (box.dataset.shown === lines.join("\n")) return;
  box.dataset.shown = lines.join("\n");
  box.replaceChildren(...lines.map((line) => make("p", "warn", line)));
}

/* The model and what it did */

const unknown = (value, told, why) => (value === null ? `not known: ${why}` : told(value));
export const askPerformance = () => ask("api/models/performance", "model", ({ models: [m], why }) => {
  facts("model-facts", m ? [
    ["Model", m.id], ["Trained at", clock.format(new Date(m.trained_at))],
    ["Trained on", `${plural(m.training.windows, "window")}, ${whole.format(m.training.held_out_windows)} held out, ${plural(m.training.devices, "device")}`],
    ["Training took", unknown(m.training.seconds, span, m.training.why)], ["Size", bytes(m.snapshot_bytes)],
    ["Windows judged", `${whole.format(m.windows.judged)} in ${span(m.watched_seconds)}`], ["Of these unusual", whole.format(m.windows.unusual)],
    ["Unusual at most, as calibrated", percent(m.calibration.promised)], ["Unusual, as observed", unknown(m.calibration.observed, percent, m.calibration.why)],
    ["Alerts per day", unknown(m.alerts.per_day, number, `${m.alerts.why}; ${whole.format(m.alerts.raised)} raised`)],
    ["Precision", unknown(m.feedback.precision, (p) => `${percent(p)} of ${plural(m.feedback.confirmed + m.feedback.false_positives, "alert")}`, m.feedback.why)],
    ["Recall", unknown(m.recall.value, percent, m.recall.why)],
  ] : [["Model", `none: ${why}`]]);
});
$("train").addEventListener("click", ({ target }) => act(target, $("train-said"), async () => {
  const reply = await send("POST", "api/ml/train", {});
  return outcome(reply, ({ id }) => `Training of ${id} has begun.`);
}));
$("learn-form").addEventListener("submit", (event) => {
  event.preventDefault();
  act($("learn-form").querySelector("button"), $("learn-answer"), async () => {
    const seconds = Number($("duration").value);
    const reply = await send("POST", "api/ml/baseline/start", seconds ? { duration_seconds: seconds } : {});
    return outcome(reply, () => "Learning has begun.");
  });
});

/* The capture */

$("capture-switch").addEventListener("click", ({ target }) => act(target, $("capture-said"), async () => {
  const { action } = target.dataset;
  if (action === "stop" && await dialog({ title: "Stop the capture?", body: ["Nothing is seen and nothing is reported until it is started again."], yes: "Stop capture" }) === null) return outcome();
  const reply = await send("POST", `api/capture/${action}`, {});
  return outcome(reply, () => (action === "stop" ? "Stopped." : "Started."));
}));
const exact = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3 });
const place = (ip, mac, port) => `${ip || mac || "\u2013"}${port === null ? "" : ` port ${port}`}`;
function about(p) {
  const parts = [p.tcp_flags && p.tcp_flags.join(" "), ...[["dns", p.dns], ["dhcp", p.dhcp], ["arp", p.arp], ["icmp", p.icmp]].map(([name, said]) => said && `${name} ${Object.values(said).flat().filter((v) => typeof v !== "object").join(" ")}`), p.fault && JSON.stringify(p.fault)];
  return parts.filter((part) => part).join("; ") || "\u2013";
}
$("packets-form").addEventListener("submit", (event) => {
  event.preventDefault();
  act($("packets-show"), $("packets-said"), async () => {
    const wanted = new URLSearchParams({ limit: "100" });
    const filter = $("packets-filter").value.trim();
    if (filter) wanted.set("filter", filter);
    const reply = await send("GET", `api/capture/packets?${wanted}`);
    if (!reply || !reply.ok) return outcome(reply);
    const { packets, held } = reply.answer;
    $("packets").replaceChildren(packets.length ? scroller("Packets", table("Packets", [
      ["Time", (p) => exact.format(new Date(p.time)), "nowrap"], ["From", (p) => place(p.source_ip, p.source_mac, p.source_port)],
      ["To", (p) => place(p.destination_ip, p.destination_mac, p.destination_port)], ["Protocol", (p) => p.protocol || "\u2013"],
      ["Length", (p) => whole.format(p.length), "number"], ["About", about],
    ], packets)) : empty("No packet matches."));
    return [`${plural(packets.length, "packet")} of ${whole.format(held)} held, newest first.`, true];
  });
});
$("interfaces").addEventListener("toggle", () => $("interfaces").open && ask("api/interfaces", "interfaces", ({ interfaces, auto }) => {
  setText($("interfaces-note"), auto.name ? `auto would take ${auto.name}: ${auto.why}.` : `auto would take none: ${auto.why}.`);
  $("interfaces-list").replaceChildren(table("Interfaces", [
    ["Name", (i) => i.name], ["State", (i) => i.state], ["Medium", (i) => i.medium], ["Addresses", (i) => i.addresses.join(", ") || "\u2013"],
    ["Packets received", (i) => (i.received_packets === null ? "unknown" : whole.format(i.received_packets)), "number"],
  ], interfaces));
}));
