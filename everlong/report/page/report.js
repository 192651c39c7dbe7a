"use strict";
(() => {
  const runs = JSON.parse(document.getElementById("data").textContent).runs;
  const INKS = 5, DASHES = [[], [8, 5], [2, 4]], DASH_NAMES = ["solid", "dashed", "dotted"];
  const view = { x: "step", unit: "nats", plain: true, hidden: new Set() };
  const css = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const ink = run => css("--ink-" + run % INKS);

  // Numbers as people read them: 4096 -> 4.1k on an axis, four digits in the legend.
  const UNITS = [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]];
  function short(value, digits) {
    if (value == null) return "";
    const size = Math.abs(value);
    if (size !== 0 && size < 1e-3) return value.toExponential(Math.max(0, digits - 2)).replace("e-", "e\u2212").replace(/\.0+e/, "e");
    for (const [unit, letter] of UNITS) if (size >= unit) return String(Number((value / unit).toPrecision(digits))) + letter;
    return String(Number(value.toPrecision(digits)));
  }
  const exact = value => value == null ? "\u2013" : Math.abs(value) >= 1e3 || Number.isInteger(value)
    ? Math.round(value).toLocaleString("en-GB") : short(value, 4);

  // Steps to tokens along the run's own clock.
  function tokensAt(clock, step) {
    const { x, y } = clock;
    let low = 0, high = x.length - 1;
    if (high < 1) return null;
    while (high - low > 1) { const middle = (low + high) >> 1; if (x[middle] <= step) low = middle; else high = middle; }
    return y[low] + (y[high] - y[low]) * (step - x[low]) / (x[high] - x[low]);
  }
  const hasClock = run => run.clock.x.length > 1;

  // One line's points in the order of x, each x once, without what a logarithm cannot take.
  function table(line, spec) {
    const points = [];
    for (let i = 0; i < line.x.length; i++) {
      const x = spec.steps && view.x === "tokens" ? tokensAt(runs[line.run].clock, line.x[i]) : line.x[i];
      const y = line.y[i];
      if (x == null || y == null || (spec.logX && !(x > 0)) || (spec.logY && !(y > 0))) continue;
      points.push([x, y]);
    }
    points.sort((a, b) => a[0] - b[0]);
    const kept = points.filter((point, i) => i + 1 === points.length || points[i + 1][0] !== point[0]);
    return [kept.map(point => point[0]), kept.map(point => point[1])];
  }

  const ofRuns = make => runs.flatMap((run, index) => make(run, index));
  const trainLines = key => ofRuns((run, index) => {
    const { x, y, s } = run.series[key];
    const main = { run: index, label: run.name, x, y: s || y };
    return s ? [{ ...main, y, plain: true }, main] : [main];
  });
  const evalLines = key => ofRuns((run, index) => run.evals.map((file, i) => (
    { run: index, label: run.name + " \u00b7 " + (file.label || "evaluation"), x: file.x, y: file[key], dash: i, points: true })));
  const scoreLines = () => ofRuns((run, index) => run.scores.map((line, i) => (
    { run: index, label: run.name + " \u00b7 " + line.label, x: line.x, y: line.y, dash: i, points: true })));
  const positionLines = () => ofRuns((run, index) => run.positions.map((file, i) => (
    { run: index, label: run.name + " \u00b7 " + (file.label || "evaluation"), x: file.x, y: file.y, dash: i, points: true })));

  const lossLabel = () => view.unit === "nats" ? "nats per token" : "bits per byte";
  const specs = [
    { id: "loss", steps: true, height: 380, y: lossLabel,
      settled: true,
      lines: () => [...trainLines(view.unit === "nats" ? "loss" : "bits"), ...evalLines(view.unit).map(line => ({ ...line, loose: true }))] },
    { id: "evaluation", steps: true, y: lossLabel, lines: () => evalLines(view.unit) },
    { id: "scores", steps: true, y: () => "score", lines: scoreLines },
    { id: "position", logX: true, x: "position in the document (tokens, logarithmic)", y: () => "nats per token", lines: positionLines },
    { id: "learning-rate", steps: true, y: () => "learning rate", lines: () => trainLines("lr"), zero: true },
    { id: "gradient-norm", steps: true, logY: true, y: () => "gradient norm (logarithmic)", lines: () => trainLines("grad") },
    { id: "speed", steps: true, y: () => "tokens per second", lines: () => trainLines("speed"), zero: true },
    { id: "memory", steps: true, y: () => "resident memory (MB)", lines: () => trainLines("memory"), zero: true },
  ];

  // Lines have points at different x: the nearest point of each line answers for it, within the line's own range.
  function nearest(u, series, index) {
    const x = u.data[0], y = u.data[series];
    if (series === 0 || y[index] != null) return index;
    let left = index, right = index;
    while (left >= 0 && y[left] == null) left--;
    while (right < y.length && y[right] == null) right++;
    if (left < 0 || right >= y.length) return index;
    return x[index] - x[left] <= x[right] - x[index] ? left : right;
  }

  function seriesOf(line) {
    const dash = ((line.dash || 0) + Math.floor(line.run / INKS)) % DASHES.length;
    return { label: line.label, run: line.run, plain: line.plain, dashName: DASH_NAMES[dash], class: line.plain || line.loose ? "plain" : null,
      stroke: ink(line.run), alpha: line.plain ? 0.3 : 1, width: line.plain ? 1 : 2, dash: DASHES[dash], spanGaps: true,
      show: !view.hidden.has(line.run) && (view.plain || !line.plain), value: (u, value) => exact(value),
      ...(line.loose && { paths: () => null }), points: { show: !!line.points, size: 7, width: 1.5, fill: css("--ground") } };
  }

  function axis(label, size, fontSize) {
    const font = fontSize + "px system-ui, sans-serif";
    return { label, stroke: css("--muted"), font, labelFont: font, labelSize: 20, labelGap: 0, size, grid: { stroke: css("--grid"), width: 1 },
      ticks: { stroke: css("--grid"), width: 1, size: 4 }, values: (u, splits) => splits.map(value => short(value, 3)) };
  }

  // The highest value after the first twentieth of the axis: the fall of the first steps would press all that follows into a flat line.
  function settledHigh(u, high) {
    const x = u.data[0], shown = u.series[0].idxs || [0, x.length - 1], from = x[0] + (x[x.length - 1] - x[0]) / 20;
    if (x.length < 100 || shown[0] > 0 || shown[1] < x.length - 1) return high;
    let best = -Infinity;
    u.series.forEach((series, i) => {
      if (i === 0 || !series.show) return;
      u.data[i].forEach((value, k) => { if (value != null && x[k] >= from && value > best) best = value; });
    });
    return Number.isFinite(best) ? best : high;
  }

  function padded(spec) {
    return (u, low, high) => {
      if (low == null) return [0, 1];
      if (spec.settled) high = settledHigh(u, high);
      const room = (high - low || Math.abs(high) || 1) * 0.06;
      return [spec.zero && low >= 0 ? 0 : low - room, high + room];
    };
  }

  function options(spec, lines, width) {
    const narrow = width < 520, xLabel = spec.x || (view.x === "tokens" ? "tokens seen" : "step");
    const x = axis(xLabel, 34, narrow ? 11 : 12), y = axis(spec.y(), narrow ? 50 : 60, narrow ? 11 : 12);
    x.space = narrow ? 55 : 70;
    if (spec.steps) x.values = (u, splits) => splits.map(value => Number.isInteger(value) ? short(value, 4) : "");
    y.space = 36;
    const scales = { x: { time: false, distr: spec.logX ? 3 : 1 }, y: spec.logY ? { distr: 3 } : { range: padded(spec) } };
    return { width, height: narrow ? 260 : spec.height || 300, padding: [8, 14, 0, 0], scales, axes: [x, y],
      series: [{ label: spec.x ? "position" : view.x === "tokens" ? "tokens" : "step", value: (u, value) => exact(value) }, ...lines.map(seriesOf)],
      cursor: { dataIdx: nearest, y: false, drag: { x: true, y: false }, points: { size: 8 },
        ...(spec.steps && { sync: { key: "steps", scales: ["x", null], setSeries: false } }) },
      legend: { markers: { width: 3, dash: (u, i) => u.series[i].dashName || "solid" } } };
  }

  function move(spec, to) {
    const u = spec.plot;
    const left = Math.max(0, Math.min(u.over.clientWidth, to));
    u.setCursor({ left, top: u.over.clientHeight / 2 }, true, true);
  }

  function onKey(spec, event) {
    const u = spec.plot;
    if (!u) return;
    const width = u.over.clientWidth, at = u.cursor.left >= 0 ? u.cursor.left : width / 2, stride = event.shiftKey ? width / 10 : width / 100;
    const all = u.data[0], { min, max } = u.scales.x;
    const zoom = factor => {
      const log = spec.logX, go = log ? Math.log : v => v, back = log ? Math.exp : v => v;
      const middle = go(u.posToVal(at, "x")), low = middle - (middle - go(min)) * factor, high = middle + (go(max) - middle) * factor;
      u.setScale("x", { min: Math.max(all[0], back(low)), max: Math.min(all[all.length - 1], back(high)) });
    };
    const keys = { ArrowLeft: () => move(spec, at - stride), ArrowRight: () => move(spec, at + stride), Home: () => move(spec, 0),
      End: () => move(spec, width), "+": () => zoom(0.6), "=": () => zoom(0.6), "-": () => zoom(1 / 0.6),
      Escape: () => u.setScale("x", { min: all[0], max: all[all.length - 1] }) };
    if (!keys[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    keys[event.key]();
  }

  function build(spec) {
    const box = spec.box;
    if (spec.plot) spec.plot.destroy();
    spec.plot = null;
    box.textContent = "";
    const lines = [], tables = [];
    for (const line of spec.lines()) {
      const points = table(line, spec);
      if (points[0].length === 0) continue;
      lines.push(points[0].length === 1 ? { ...line, points: true } : line);
      tables.push(points);
    }
    if (lines.length === 0) {
      box.insertAdjacentHTML("beforeend", "<p class=\"empty\">Not recorded in these runs.</p>");
      return;
    }
    const data = tables.length === 1 ? tables[0] : uPlot.join(tables);
    spec.plot = new uPlot(options(spec, lines, box.clientWidth), data, box);
    const touch = event => move(spec, event.touches[0].clientX - spec.plot.over.getBoundingClientRect().left);
    spec.plot.over.addEventListener("touchstart", touch, { passive: true });
    spec.plot.over.addEventListener("touchmove", touch, { passive: true });
  }
  const buildAll = () => specs.forEach(build);

  function applyVisibility() {
    for (const { plot } of specs) {
      if (!plot) continue;
      plot.batch(() => plot.series.forEach((series, i) => {
        const show = i === 0 || (!view.hidden.has(series.run) && (view.plain || !series.plain));
        if (i > 0 && series.show !== show) plot.setSeries(i, { show });
      }));
    }
  }

  for (const spec of specs) {
    spec.box = document.querySelector("#chart-" + spec.id + " .plot");
    spec.box.addEventListener("keydown", event => onKey(spec, event));
    let width = 0;
    new ResizeObserver(() => {
      if (spec.box.clientWidth === width) return;
      width = spec.box.clientWidth;
      build(spec);
    }).observe(spec.box);
  }

  const pressed = (button, on) => button.setAttribute("aria-pressed", String(on));
  document.querySelectorAll("[data-run]").forEach(button => button.addEventListener("click", () => {
    const run = Number(button.dataset.run);
    if (!view.hidden.delete(run)) view.hidden.add(run);
    pressed(button, !view.hidden.has(run));
    applyVisibility();
  }));
  document.querySelectorAll("[data-choice]").forEach(button => button.addEventListener("click", () => {
    const { choice, value } = button.dataset;
    view[choice] = value;
    document.querySelectorAll("[data-choice=\"" + choice + "\"]").forEach(other => pressed(other, other === button));
    buildAll();
  }));
  const plain = document.getElementById("plain");
  plain.addEventListener("click", () => {
    view.plain = !view.plain;
    pressed(plain, view.plain);
    applyVisibility();
  });
  if (!runs.some(hasClock)) document.querySelector("[data-value=\"tokens\"]").disabled = true;
  const hasBits = run => run.series.bits.x.length > 0 || run.evals.some(file => file.bits.some(value => value != null));
  if (!runs.some(hasBits)) document.querySelector("[data-value=\"bits\"]").disabled = true;
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", buildAll);
  document.querySelector(".controls").hidden = false;
})();
