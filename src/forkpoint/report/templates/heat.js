// Draws the heat map. All names are data: they are set through textContent, or escaped where
// plotly would read pseudo-HTML.
(function () {
  "use strict";
  const page = globalThis.forkpointPage;
  const { byId, isDark, css, escapeForPlotly } = page;
  const heat = byId("heat");
  const data = page.data.heat;

  const SCALES = {
    light: ["#fde3b6", "#f6a55c", "#dd4f33", "#9a1f40", "#3f0c26"],
    dark: ["#5a2d1c", "#a84420", "#e8743a", "#fbb96f", "#fff3cf"],
  };
  const CONFIG = {
    responsive: true, displaylogo: false, scrollZoom: false, showTips: false,
    // named one by one: plotly's own set has a button that uploads the chart to a server
    modeBarButtons: [["toImage"], ["zoom2d", "pan2d"], ["zoomIn2d", "zoomOut2d", "resetScale2d"]],
    showSendToCloud: false, plotlyServerURL: "",
    toImageButtonOptions: { filename: "forkpoint" },
  };
  const MAX_MARKED = 200;
  const forkRows = new Set(data.forks.filter((row) => row !== null));
  let map = null;
  const cursor = { column: 0, row: 0 };

  const shorten = (text, limit) => {
    const all = Array.from(text);
    return all.length <= limit ? text : "…" + all.slice(all.length - limit + 1).join("");
  };

  // cells by [module][step]; `values` finds the measured ones
  function readCells() {
    const columns = data.steps.length, rows = data.modules.length;
    const grid = () => Array.from({ length: rows }, () => new Array(columns).fill(null));
    const base = grid(), size = grid(), place = grid();
    const code = { i: 0, m: 0, d: 1, a: 2 };
    let next = 0, low = Infinity, high = -Infinity;
    for (let column = 0; column < columns; column++) {
      for (let row = 0; row < rows; row++) {
        const letter = data.states[column][row];
        base[row][column] = code[letter];
        if (letter !== "m") continue;
        const value = data.max_abs[next];
        place[row][column] = next++;
        size[row][column] = value > 0 ? Math.log10(value) : -Infinity;
        if (value > 0) { low = Math.min(low, Math.log10(value)); high = Math.max(high, Math.log10(value)); }
      }
    }
    if (low > high) { low = -8; high = -7; }
    // other bits and yet no difference (-0 and +0): the faintest colour
    for (const line of size) line.forEach((v, i) => { if (v === -Infinity) line[i] = low; });
    const measured = next > 0;
    return { base, size, place, measured, low: Math.floor(low), high: Math.max(Math.ceil(high), Math.floor(low) + 1) };
  }

  function traces() {
    const same = css("--same"), card = css("--card"), clear = "rgba(0,0,0,0)";
    const shared = { type: "heatmap", hoverinfo: "none", zsmooth: false };
    const list = [{
      ...shared, z: map.base, zmin: 0, zmax: 2, showscale: false,
      colorscale: [[0, same], [0.3, same], [0.3, clear], [0.7, clear], [0.7, card], [1, card]],
    }];
    if (map.measured) {
      const colours = SCALES[isDark() ? "dark" : "light"];
      const ticks = [];
      const stride = Math.max(1, Math.ceil((map.high - map.low) / 6));
      for (let t = map.low; t <= map.high; t += stride) ticks.push(t);
      list.push({
        ...shared, z: map.size, zmin: map.low, zmax: map.high,
        colorscale: colours.map((c, i) => [i / (colours.length - 1), c]),
        colorbar: {
          orientation: "h", y: 1, yanchor: "bottom", x: 1, xanchor: "right", thickness: 10,
          len: 260, lenmode: "pixels", outlinewidth: 0, tickvals: ticks,
          ticktext: ticks.map((t) => "1e" + t), tickfont: { size: 11 },
        },
      });
    }
    const columns = data.steps.map((_, i) => i).filter((i) => data.forks[i] !== null);
    if (columns.length && data.steps.length <= MAX_MARKED) {
      list.push({
        type: "scatter", mode: "markers", hoverinfo: "skip", showlegend: false,
        x: columns, y: columns.map((i) => data.forks[i]),
        marker: { symbol: "diamond", size: 9, color: css("--card"), line: { color: css("--ink"), width: 1.5 } },
      });
    }
    return list;
  }

  const narrow = () => heat.clientWidth < 560;
  const mapHeight = () => Math.min(Math.max(data.modules.length * 11, 200), 960) + 118;

  // as many labels as there is room for, over the range in view; `wanted` go before others
  function ticksOf(range, count, room, label, wanted) {
    const from = Math.max(0, Math.ceil(Math.min(...range))), to = Math.min(count - 1, Math.floor(Math.max(...range)));
    const stride = Math.max(1, Math.ceil((to - from + 1) / Math.max(1, room)));
    const kept = wanted && wanted.size <= 8 ? [...wanted].filter((i) => i >= from && i <= to) : [];
    const tickvals = kept.slice();
    for (let i = from; i <= to; i += stride) {
      if (!kept.some((k) => Math.abs(k - i) < stride)) tickvals.push(i);
    }
    return { tickvals, ticktext: tickvals.map(label) };
  }
  function axisTicks(xRange, yRange) {
    const width = heat.clientWidth - (narrow() ? 150 : 330);
    const x = ticksOf(xRange, data.steps.length, width / 34, (i) => String(data.steps[i]));
    const y = ticksOf(yRange, data.modules.length, (mapHeight() - 118) / 14,
      (i) => escapeForPlotly(shorten(data.modules[i], narrow() ? 17 : 40)), forkRows);
    return { x, y };
  }

  const fullX = () => [-0.5, data.steps.length - 0.5];
  const fullY = () => [data.modules.length - 0.5, -0.5];

  function layout(xRange, yRange) {
    const ink = css("--ink"), ticks = axisTicks(xRange, yRange);
    const axis = { showgrid: false, zeroline: false, ticks: "", tickmode: "array", automargin: false };
    return {
      height: mapHeight(), paper_bgcolor: css("--card"), plot_bgcolor: css("--hatch"),
      font: { color: ink, size: 12, family: getComputedStyle(document.body).fontFamily },
      margin: { l: narrow() ? 128 : 290, r: 12, t: 62, b: 56 },
      dragmode: matchMedia("(pointer: coarse)").matches ? false : "zoom", hovermode: "closest",
      modebar: { orientation: "h", bgcolor: "rgba(0,0,0,0)", color: css("--quiet"), activecolor: ink },
      xaxis: { ...axis, ...ticks.x, range: xRange, title: { text: "step", standoff: 18 } },
      yaxis: { ...axis, ...ticks.y, range: yRange, tickfont: { size: narrow() ? 10 : 11 } },
    };
  }

  function number(value) {
    return value === 0 ? "0" : value.toExponential(2).replace(/\.?0+e/, "e").replace("e+", "e");
  }

  function describe(column, row) {
    const letter = data.states[column][row];
    const where = "Step " + data.steps[column] + " · " + (data.inputs[column] || "no tensors") + " · " + data.modules[row];
    if (letter === "i") return where + ": identical";
    if (letter === "a") return where + ": not called";
    if (letter === "d") return where + ": differs, not measured";
    const at = map.place[row][column], ulp = data.max_ulp[at];
    return where + ": differs, largest difference " + number(data.max_abs[at]) + (ulp === null ? "" : " (" + ulp.toLocaleString("en") + " ULP)");
  }
  const show = (column, row) => { byId("cell").textContent = describe(column, row); };

  function moveCursor(event) {
    const move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!move) return;
    event.preventDefault();
    cursor.column = Math.min(Math.max(cursor.column + move[0], 0), data.steps.length - 1);
    cursor.row = Math.min(Math.max(cursor.row + move[1], 0), data.modules.length - 1);
    show(cursor.column, cursor.row);
    Plotly.relayout(heat, { shapes: [{
      type: "rect", x0: cursor.column - 0.5, x1: cursor.column + 0.5, y0: cursor.row - 0.5, y1: cursor.row + 0.5,
      line: { color: css("--ink"), width: 2 },
    }] });
  }

  let ticking = false;
  function onRelayout(change) {
    if (ticking || !Object.keys(change).some((key) => key.includes("axis") || key === "autosize")) return;
    ticking = true;
    let x = heat.layout.xaxis.range, y = heat.layout.yaxis.range;
    const reset = heat.layout.xaxis.autorange === true;
    if (reset) { x = fullX(); y = fullY(); }
    const ticks = axisTicks(x, y);
    const update = {
      "xaxis.tickvals": ticks.x.tickvals, "xaxis.ticktext": ticks.x.ticktext,
      "yaxis.tickvals": ticks.y.tickvals, "yaxis.ticktext": ticks.y.ticktext,
    };
    if (reset) { update["xaxis.range"] = x; update["yaxis.range"] = y; }
    Plotly.relayout(heat, update).then(() => { ticking = false; });
  }

  function draw() {
    if (!heat) return;
    map = map || readCells();
    Plotly.react(heat, traces(), layout(fullX(), fullY()), CONFIG).then(() => { heat.dataset.drawn = "yes"; });
  }
  if (heat) {
    draw();
    const point = (event) => {
      const [row, column] = event.points[0].pointIndex;
      cursor.row = row; cursor.column = column;
      show(column, row);
    };
    heat.on("plotly_hover", point);
    heat.on("plotly_click", point);
    heat.on("plotly_relayout", onRelayout);
    heat.addEventListener("keydown", moveCursor);
    let width = heat.clientWidth;
    addEventListener("resize", () => { if (heat.clientWidth !== width) { width = heat.clientWidth; draw(); } });
  }
  page.onTheme(draw);
})();
