"use strict";
// Draws the slices of a case with plotly when its part of the page is first opened.
document.querySelectorAll("details.viewer").forEach((box) => {
  let drawn = false;
  box.addEventListener("toggle", () => {
    if (box.open && !drawn && window.Plotly) { drawn = true; show(box); }
  });
});

function numbers(part) {
  const text = atob(part.data), bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return Array.from(new Int16Array(bytes.buffer), (v) => (v === -32768 ? null : v * part.step));
}

function short(value) { return value === null ? "no value" : Number(value.toPrecision(3)).toString(); }

function show(box) {
  const view = JSON.parse(box.querySelector("script").textContent);
  const [metabolites, slices, rows, columns] = view.shape;
  const stored = Object.fromEntries(Object.entries(view.images).map(([name, part]) => [name, numbers(part)]));
  const panels = view.panels.map((panel) => ({ ...panel, values: stored[panel.image],
    windows: view.images[panel.image].windows, sd: panel.sd ? { values: stored[panel.sd] } : null }));
  const slider = box.querySelector("input"), choice = box.querySelector("select"), plot = box.querySelector(".plot");
  const narrow = box.clientWidth < 700, across = narrow ? 1 : Math.min(panels.length, 3);
  const down = Math.ceil(panels.length / across);
  slider.max = slices - 1;
  slider.value = Math.floor(slices / 2);
  slider.closest("label").hidden = slices < 2;
  let chosen = null;
  const style = getComputedStyle(document.body);

  const image = (panel) => {
    const start = (Number(choice.value || 0) * slices + Number(slider.value)) * rows * columns;
    return Array.from({ length: rows }, (_, r) => panel.values.slice(start + r * columns, start + (r + 1) * columns));
  };
  const text = (panel) => {
    const sd = panel.sd ? image(panel.sd) : null;
    return image(panel).map((row, r) => row.map((value, c) =>
      short(value) + (sd && sd[r][c] > 0 ? " ± " + short(sd[r][c]) : "") + " " + panel.unit));
  };
  const window_of = (panel) => {
    const same = panels.filter((other) => other.window === panel.window);
    const ends = same.map((other) => other.windows[Number(choice.value || 0)]);
    return [Math.min(...ends.map((end) => end[0])), Math.max(...ends.map((end) => end[1]))];
  };
  const draw = () => {
    const width = box.clientWidth - 20, cell = width / across;
    const height = Math.min(1.6, Math.max(0.4, view.aspect * rows / columns)) * (cell - 90) + 60;
    const layout = { width: width, height: height * down, margin: { l: 10, r: 10, t: 30, b: 10 }, showlegend: false,
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "#8c8c8c", font: { color: style.color }, annotations: [] };
    const traces = panels.map((panel, k) => {
      const n = k ? k + 1 : "", left = (k % across) / across, top = 1 - Math.floor(k / across) / down;
      const x = [left + 0.01, left + (cell - 90) / width], y = [top - (height - 50) / (height * down), top - 0.04 / down];
      layout["xaxis" + n] = { domain: x, visible: false, constrain: "domain" };
      layout["yaxis" + n] = { domain: y, visible: false, autorange: "reversed", scaleanchor: "x" + n,
        scaleratio: view.aspect, constrain: "domain" };
      layout.annotations.push({ text: panel.title, x: (x[0] + x[1]) / 2, y: y[1], xref: "paper", yref: "paper",
        yanchor: "bottom", showarrow: false });
      const [left_side, right_side, low_side, high_side] = view.sides;
      [[left_side, 0, "middle", 0, (rows - 1) / 2], [right_side, 1, "middle", columns - 1, (rows - 1) / 2],
       [low_side, 0, "bottom", (columns - 1) / 2, rows - 1], [high_side, 0, "top", (columns - 1) / 2, 0]]
        .filter((side) => side[0]).forEach((side) => layout.annotations.push({ text: "<b>" + side[0] + "</b>",
          x: side[3], y: side[4], xref: "x" + n, yref: "y" + n, showarrow: false, font: { color: "#fff", size: 12 },
          bgcolor: "rgba(0,0,0,.5)" }));
      const [low, high] = window_of(panel);
      return { type: "heatmap", z: image(panel), text: text(panel), xaxis: "x" + n, yaxis: "y" + n,
        colorscale: panel.colours, zmin: low, zmax: high, hoverongaps: true,
        hovertemplate: "%{text}<extra></extra>",
        colorbar: { x: x[1] + 0.005, y: (y[0] + y[1]) / 2, len: y[1] - y[0], thickness: 10, xpad: 2,
          title: { text: panel.unit, side: "right" } } };
    });
    if (chosen && chosen.slice === Number(slider.value)) {
      layout.shapes = panels.map((_, k) => ({ type: "rect", xref: "x" + (k ? k + 1 : ""), yref: "y" + (k ? k + 1 : ""),
        x0: chosen.x - 0.5, x1: chosen.x + 0.5, y0: chosen.y - 0.5, y1: chosen.y + 0.5, line: { color: "#00e5ff" } }));
    }
    box.querySelector("output").textContent = view.slices[Number(slider.value)] + " " + view.stored_slices;
    Plotly.react(plot, traces, layout, { displayModeBar: false, responsive: false });
  };
  slider.addEventListener("input", draw);
  choice.addEventListener("change", draw);
  window.addEventListener("resize", draw);
  draw();
  plot.on("plotly_click", (event) => {
    const point = event.points[0];
    chosen = { x: point.x, y: point.y, slice: Number(slider.value) };
    detail(box, view, panels, image, point);
    draw();
  });
}

function detail(box, view, panels, image, point) {
  const place = box.querySelector(".detail"), [r, c] = [point.y, point.x];
  const slice = Number(box.querySelector("input").value);
  const spectrum = (view.spectra || []).find((one) => one.at[0] === slice && one.at[1] === r && one.at[2] === c);
  if (view.spectra) {
    place.replaceChildren();
    if (!spectrum) { place.textContent = "Not this voxel's. " + view.stored; return; }
    const lines = ["measured", "fit", "residual"].filter((name) => spectrum[name]);
    Plotly.react(place, lines.map((name) => ({ x: view.ppm, y: numbers(spectrum[name]), name: name, mode: "lines" })), {
      title: { text: spectrum.title }, xaxis: { autorange: "reversed", title: { text: "ppm" } }, height: 320,
      yaxis: { visible: false }, margin: { l: 20, r: 20, t: 40, b: 40 }, paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)", font: { color: getComputedStyle(document.body).color } }, { displayModeBar: false });
    return;
  }
  const table = document.createElement("table"), head = table.createCaption();
  head.textContent = panels[point.curveNumber].title + ": the voxel and its neighbours";
  const values = image(panels[point.curveNumber]);
  for (let i = r - 1; i <= r + 1; i++) {
    const row = table.insertRow();
    for (let j = c - 1; j <= c + 1; j++) {
      const cell = row.insertCell();
      cell.className = i === r && j === c ? "number chosen" : "number";
      cell.textContent = values[i] && values[i][j] !== undefined ? short(values[i][j]) : "";
    }
  }
  place.replaceChildren(table);
}
