"use strict";
// Curves that can be pointed at: plain SVG, no library, no network. Data: {names, panels: [{title, lines, log}]}.
(() => {
  const store = document.getElementById("data");
  if (!store) return;
  const { names, panels } = JSON.parse(store.textContent);
  const [W, H, LEFT, RIGHT, TOP, BOTTOM] = [360, 210, 50, 8, 8, 34];
  const hidden = new Set();
  const home = document.getElementById("curves");
  const log = document.getElementById("log");
  const svg = (name, attributes, text) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    if (text !== undefined) node.textContent = text;
    return node;
  };
  const ink = (entry) => `var(--line-${(entry % 8) + 1})`;
  const dashes = (entry) => ["", "6 3", "2 2"][Math.floor(entry / 8) % 3];
  const short = (v) => (v !== 0 && (Math.abs(v) < 1e-3 || Math.abs(v) >= 1e5) ? v.toExponential(1) : String(+v.toPrecision(4)));

  function ticks(low, high, logarithmic) {
    if (logarithmic) {
      const found = [];
      for (let e = Math.floor(Math.log10(low)); e <= Math.ceil(Math.log10(high)); e++)
        for (const m of [1, 3]) if (m * 10 ** e >= low && m * 10 ** e <= high) found.push(m * 10 ** e);
      if (found.length > 1) return found;
      return [low, high];
    }
    const raw = (high - low) / 4 || 1, size = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 5, 10].map((m) => m * size).find((s) => s >= raw);
    const found = [];
    for (let v = Math.ceil(low / step) * step; v <= high + step / 1e6; v += step) found.push(+v.toPrecision(12));
    return found;
  }

  function draw(box, panel) {
    const lines = panel.lines.filter((line) => !hidden.has(line.entry));
    box.querySelector("svg")?.remove();
    box.querySelector(".readout").textContent = "";
    if (!lines.length) return;
    const all = lines.flatMap((line) => [...line.low, ...line.high]);
    let [low, high] = [all.reduce((a, b) => Math.min(a, b)), all.reduce((a, b) => Math.max(a, b))];
    const logarithmic = (panel.log || log.checked) && low > 0;
    if (low === high) [low, high] = logarithmic ? [low / 2, high * 2] : [low - 0.5, high + 0.5];
    const last = Math.max(1, ...lines.map((line) => line.steps[line.steps.length - 1]));
    const f = logarithmic ? Math.log10 : (v) => v;
    const x = (s) => LEFT + (s / last) * (W - LEFT - RIGHT);
    const y = (v) => H - BOTTOM - ((f(v) - f(low)) / (f(high) - f(low))) * (H - TOP - BOTTOM);
    const picture = svg("svg", { viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": panel.title });
    for (const v of ticks(low, high, logarithmic)) {
      picture.append(svg("line", { class: "rule", x1: LEFT, x2: W - RIGHT, y1: y(v), y2: y(v) }));
      picture.append(svg("text", { x: LEFT - 6, y: y(v) + 4, "text-anchor": "end" }, short(v)));
    }
    for (const s of ticks(0, last, false)) picture.append(svg("text", { x: x(s), y: H - BOTTOM + 14, "text-anchor": "middle" }, short(s)));
    picture.append(svg("text", { x: (LEFT + W - RIGHT) / 2, y: H - 3, "text-anchor": "middle" }, "step"));
    for (const line of lines) {
      const path = (values) => values.map((v, i) => `${x(line.steps[i]).toFixed(1)} ${y(v).toFixed(1)}`);
      if (line.low.some((v, i) => v !== line.high[i]))
        picture.append(svg("path", { class: "band", style: `fill:${ink(line.entry)}`, d: `M${path(line.low).concat(path(line.high).reverse()).join("L")}Z` }));
      picture.append(svg("path", { style: `stroke:${ink(line.entry)}`, "stroke-dasharray": dashes(line.entry), d: `M${path(line.mean).join("L")}` }));
    }
    const cursor = svg("line", { class: "cursor", y1: TOP, y2: H - BOTTOM, visibility: "hidden" });
    picture.append(cursor);
    picture.addEventListener("pointermove", (event) => {
      const place = picture.getBoundingClientRect();
      const step = (((event.clientX - place.left) / place.width) * W - LEFT) / (W - LEFT - RIGHT) * last;
      const readings = lines.map((line) => {
        let best = 0;
        line.steps.forEach((s, i) => { if (Math.abs(s - step) < Math.abs(line.steps[best] - step)) best = i; });
        return [line, best];
      });
      const at = readings[0][0].steps[readings[0][1]];
      cursor.setAttribute("visibility", "visible");
      cursor.setAttribute("x1", x(at));
      cursor.setAttribute("x2", x(at));
      box.querySelector(".readout").replaceChildren(...[`step ${at}  `, ...readings.map(([line, i]) => {
        const word = document.createElement("span");
        word.style.color = ink(line.entry);
        word.textContent = `${names[line.entry]} ${short(line.mean[i])}${line.steps[i] === at ? "" : ` (at ${line.steps[i]})`}`;
        return word;
      })]);
    });
    box.insertBefore(picture, box.querySelector(".readout"));
  }

  const boxes = panels.map((panel) => {
    const box = document.createElement("figure"), title = document.createElement("figcaption"), readout = document.createElement("div");
    box.className = "panel";
    title.textContent = panel.title;
    readout.className = "readout";
    box.append(title, readout);
    home.append(box);
    return box;
  });
  const redraw = () => panels.forEach((panel, i) => draw(boxes[i], panel));
  log.addEventListener("change", redraw);
  for (const button of document.querySelectorAll("button[data-entry]"))
    button.addEventListener("click", () => {
      const entry = Number(button.dataset.entry), gone = hidden.has(entry);
      gone ? hidden.delete(entry) : hidden.add(entry);
      button.setAttribute("aria-pressed", String(gone));
      redraw();
    });
  redraw();
})();
