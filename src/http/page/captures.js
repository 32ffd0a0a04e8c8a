// Captures on demand: begun, watched, taken and deleted by the owner.
import { $, act, bytes, clock, download, make, onOwner, outcome, plural, send, setText, table, whole, words } from "./dom.js";

const room = $("captures");
const said = $("captures-said");
let timer = null;

function button(name, c, work) {
  const node = make("button", "plain", name);
  node.type = "button";
  node.setAttribute("aria-label", `${name} capture ${c.id}`);
  node.addEventListener("click", () => act(node, said, work));
  return node;
}
async function change(method, path, told) {
  const reply = await send(method, path, method === "POST" ? {} : undefined);
  await show();
  return outcome(reply, told);
}
function buttons(c) {
  const at = `api/captures/${c.id}`;
  if (c.state === "running") return [button("Stop", c, () => change("POST", `${at}/stop`, () => `Capture ${c.id} has ended.`))];
  return [
    button("Download", c, () => download(`${at}/file.pcapng`, `tapguard-capture-${c.id}.pcapng`)), " ",
    button("Delete", c, () => change("DELETE", at, () => `Capture ${c.id} is deleted.`)),
  ];
}
async function show() {
  clearTimeout(timer);
  const reply = await send("GET", "api/captures");
  if (!reply || !reply.ok) return;
  const { captures } = reply.answer;
  $("captures-list").replaceChildren(captures.length ? table("Captures", [
    ["Number", (c) => String(c.id), "number"], ["Begun", (c) => clock.format(new Date(c.started))], ["Filter", (c) => c.filter || "all packets"],
    ["State", (c) => (c.ended_because ? `ended: ${words(c.ended_because)}` : c.state)],
    ["Packets", (c) => `${whole.format(c.written_packets)}${c.lost_packets ? `, ${whole.format(c.lost_packets)} lost` : ""}`, "number"],
    ["Size", (c) => bytes(c.written_bytes), "number"], ["", buttons],
  ], captures) : make("p", "empty", "No capture yet."));
  if (room.open && captures.some((c) => c.state === "running")) timer = setTimeout(show, 2000);
}
$("captures-form").addEventListener("submit", (event) => {
  event.preventDefault();
  act($("captures-start"), said, async () => {
    const reply = await send("POST", "api/captures", {
      filter: $("captures-filter").value.trim(), seconds: Number($("captures-seconds").value), before_seconds: $("captures-past").checked ? 60 : 0,
    });
    await show();
    return outcome(reply, (c) => `Capture ${c.id} has begun; it ends after ${plural(c.seconds, "second")} or ${bytes(c.bytes)}.`);
  });
});
let here = false;
onOwner((is) => {
  here = is;
  if (!is) { clearTimeout(timer); $("captures-list").replaceChildren(); setText(said, ""); }
});
room.addEventListener("toggle", () => room.open && here && show());
