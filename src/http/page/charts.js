// The last hour as lines. What was not measured is a gap.
import { $, ask, make, number, scaled, setText, span, whole } from "./dom.js";

const HOUR = 3600;
const HEIGHT = 100;
const perSecond = (value) => `${number(value)}/s`;
const CHARTS = [
  ["packets_per_second", "Packets per second", perSecond],
  ["bits_per_second", "Traffic", (value) => scaled(value, "bit/s").join(" ")],
  ["alerts_raised", "Alerts raised in ten seconds", number],
  ["lost_frames", "Frames lost in ten seconds", number],
].map(([key, title, told]) => ({ key, told, ...drawing(key, title) }));

function shape(name, kind) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  node.setAttribute("class", kind);
  return node;
}
function drawing(key, title) {
  const svg = shape("svg", "chart");
  svg.setAttribute("viewBox", `0 0 ${HOUR} ${HEIGHT}`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-labelledby", `chart-${key} chart-${key}-said`);
  const [area, line] = [svg.appendChild(shape("path", "area")), svg.appendChild(shape("path", "line"))];
  const heading = make("h3", "", title);
  const [most, said] = [make("span", "most"), make("figcaption", "quiet", "Nothing measured yet.")];
  heading.id = `chart-${key}`;
  said.id = `chart-${key}-said`;
  most.setAttribute("aria-hidden", "true");
  const axis = make("div", "axis", make("span", "", "1 h ago"), make("span", "", "30 min"), make("span", "", "now"));
  axis.setAttribute("aria-hidden", "true");
  $("charts").append(make("figure", "card", heading, make("div", "plot", most, svg), axis, said));
  return { area, line, most, said };
}
function draw({ key, told, area, line, most, said }, samples, interval) {
  const seen = samples.filter((sample) => sample[key] !== null);
  const values = seen.map((sample) => sample[key]);
  const top = Math.max(...values, 0);
  const lines = [];
  const areas = [];
  let before = null;
  const point = (sample) => `${HOUR - sample.age_seconds},${(HEIGHT - (top ? sample[key] / top : 0) * (HEIGHT - 4) - 2).toFixed(1)}`;
  let run = [];
  const end = () => {
    if (!run.length) return;
    // One sample alone stands for its ten seconds.
    const first = HOUR - run[0].age_seconds;
    const points = [`${first - interval},${point(run[0]).split(",")[1]}`, ...run.map(point)];
    lines.push(`M${points.join("L")}`);
    areas.push(`M${first - interval},${HEIGHT}L${points.join("L")}L${HOUR - run.at(-1).age_seconds},${HEIGHT}Z`);
    run = [];
  };
  for (const sample of seen) {
    if (before && before.age_seconds - sample.age_seconds > interval * 1.5) end();
    run.push(sample);
    before = sample;
  }
  end();
  line.setAttribute("d", lines.join(""));
  area.setAttribute("d", areas.join(""));
  setText(most, top ? told(top) : "");
  const sum = values.reduce((all, value) => all + value, 0);
  const numbers = key.endsWith("second") ?
    `Least ${told(Math.min(...values))}, mean ${told(sum / values.length)}, most ${told(top)}` :
    `${whole.format(sum)} in all, at most ${told(top)} in ten seconds`;
  setText(said, values.length ? `${numbers}; measured for ${span(values.length * interval)}.` : "Nothing measured in the last hour.");
}
export const askHistory = () => ask("api/history", "charts", ({ samples, interval_seconds: interval }) => {
  for (const chart of CHARTS) draw(chart, samples, interval);
});
