// A small chart of a value over time.

import { h, put, svg } from "./dom.js";

const WIDTH = 300;
const HEIGHT = 70;

/** The next 1, 2 or 5 times a power of ten. */
function ceiling(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= value);
}

/** A chart of the last `seconds`; `show(value)` writes a value with its unit. */
export class Chart {
  constructor(title, { seconds, show, kind = "accent" }) {
    this.title = title;
    this.seconds = seconds;
    this.show = show;
    this.now = h("strong", { class: "now" }, "–");
    this.top = h("span", { class: "top" });
    this.area = svg("path", { class: "area" });
    this.path = svg("path", { class: "line" });
    this.image = svg(
      "svg",
      { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": title },
      svg("path", { class: "grid", d: `M0 1H${WIDTH}M0 ${HEIGHT / 2}H${WIDTH}M0 ${HEIGHT - 1}H${WIDTH}` }),
      this.area,
      this.path,
    );
    const span = `last ${Math.round(seconds / 60)} min`;
    this.node = h(
      "figure",
      { class: `chart ${kind}` },
      h("figcaption", null, h("span", null, title), this.now),
      h("div", { class: "plot" }, this.image, this.top),
      h("p", { class: "axis", "aria-hidden": "true" }, h("span", null, span), h("span", null, "now")),
    );
  }

  /** `points` are `[ms, value]`, oldest first. */
  draw(points) {
    if (points.length === 0) return;
    const end = points.at(-1)[0];
    const start = end - this.seconds * 1000;
    const seen = points.filter(([at]) => at >= start);
    const most = Math.max(...seen.map(([, value]) => value));
    const scale = ceiling(most);
    const x = (at) => (((at - start) / (end - start)) * WIDTH).toFixed(1);
    const y = (value) => (HEIGHT - 1 - (value / scale) * (HEIGHT - 4)).toFixed(1);
    const way = seen.map(([at, value]) => `${x(at)} ${y(value)}`).join("L");
    this.path.setAttribute("d", `M${way}`);
    this.area.setAttribute("d", `M${x(seen[0][0])} ${HEIGHT}L${way}L${WIDTH} ${HEIGHT}Z`);
    const last = this.show(seen.at(-1)[1]);
    put(this.now, last);
    put(this.top, this.show(scale));
    this.image.setAttribute("aria-label", `${this.title}: now ${last}, at most ${this.show(most)}`);
  }
}

/** Bars of what shares a scale: `[label, value]`; `show(value)` writes the value. */
export function bars(pairs, show, kind = "accent") {
  const most = Math.max(1, ...pairs.map(([, value]) => value));
  return h(
    "ul",
    { class: `bars ${kind}` },
    pairs.map(([label, value]) =>
      h(
        "li",
        null,
        h("span", { class: "label" }, label),
        svg(
          "svg",
          { viewBox: "0 0 100 6", preserveAspectRatio: "none", "aria-hidden": "true" },
          svg("rect", { class: "ground", width: 100, height: 6 }),
          svg("rect", { class: "bar", width: ((value / most) * 100).toFixed(2), height: 6 }),
        ),
        h("span", { class: "value" }, show(value)),
      ),
    ),
  );
}
