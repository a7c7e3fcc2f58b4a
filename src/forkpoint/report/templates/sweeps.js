// Draws each sweep: the share of inputs that differ by size, and the classes of results inside
// each environment as coloured bands.
(function () {
  "use strict";
  const page = globalThis.forkpointPage;
  const { css, escapeForPlotly, isDark } = page;
  const BANDS = {
    light: ["#bcd7f0", "#f6cfa3", "#c5e3bd", "#e8c1d8", "#d6ccf0", "#f2e6a1", "#bfe4e2", "#e0cdbf"],
    dark: ["#2f5d86", "#8a5a1f", "#3f6f37", "#84406a", "#5b4a96", "#776b1d", "#27696a", "#6a5140"],
  };
  const CONFIG = { responsive: true, displayModeBar: false, displaylogo: false, scrollZoom: false,
    doubleClick: false, showTips: false, plotlyServerURL: "" };
  const MIN_BAND = 15;
  // places to draw: some stay empty where few kinds were tried, so that a bar stays a bar
  const places = (sweep, width) => Math.max(sweep.labels.length, Math.min(8, Math.floor(width / 85)));

  function shares(sweep) {
    const all = sweep.labels.map((_, i) => i);
    const said = all.map((i) => escapeForPlotly(
      sweep.labels[i] + ": " + sweep.differing[i] + " of " + sweep.inputs[i] + " inputs differ"));
    const none = all.filter((i) => sweep.differing[i] === 0);
    return [
      { type: "bar", x: all, y: all.map((i) => sweep.inputs[i] ? sweep.differing[i] / sweep.inputs[i] : 0),
        width: 0.82, marker: { color: css("--accent") }, hovertext: said, hoverinfo: "text" },
      { type: "scatter", mode: "markers", x: none, y: none.map(() => 0), cliponaxis: false,
        hovertext: none.map((i) => said[i]), hoverinfo: "text",
        marker: { symbol: "circle-open", size: 8, color: css("--good"), line: { width: 2 } } },
    ];
  }

  function bands(sweep, width) {
    const colours = BANDS[isDark() ? "dark" : "light"], many = colours.length;
    const scale = colours.flatMap((c, i) => [[i / many, c], [(i + 1) / many, c]]);
    const place = (one) => (one === null ? null : (one % many + many) % many + 0.5);
    const spell = (one) => (one === null ? "" : String(one));
    const fits = width / places(sweep, width) >= MIN_BAND;
    return {
      type: "heatmap", yaxis: "y2", z: sweep.classes.map((row) => row.map(place)), zmin: 0, zmax: many,
      colorscale: scale, showscale: false, xgap: fits ? 1 : 0, ygap: 4, hoverinfo: "text",
      hovertext: sweep.classes.map((row, side) => row.map((one, i) => escapeForPlotly(
        sweep.sides[side] + ", " + sweep.labels[i] + (one === null ? ": no class" : ": class " + one)))),
      text: sweep.classes.map((row) => row.map(spell)), texttemplate: fits ? "%{text}" : "",
      textfont: { size: 11, color: css("--ink") },
    };
  }

  function ticks(sweep, width) {
    const longest = Math.max(...sweep.labels.map((label) => label.length));
    const stride = Math.max(1, Math.ceil(places(sweep, width) * (longest * 7 + 6) / width));
    const tickvals = sweep.labels.map((_, i) => i).filter((i) => i % stride === 0);
    return { tickvals, ticktext: tickvals.map((i) => escapeForPlotly(sweep.labels[i])) };
  }

  function layout(sweep, width) {
    const known = sweep.classes.length > 0, ink = css("--ink"), rule = css("--rule");
    const axis = { fixedrange: true, zeroline: false, showgrid: false, ticks: "", tickmode: "array" };
    const short = (name) => escapeForPlotly(name.length > 12 ? name.slice(0, 11) + "…" : name);
    return {
      height: known ? 265 : 175, showlegend: false, bargap: 0, dragmode: false,
      paper_bgcolor: css("--card"), plot_bgcolor: css("--card"), hovermode: "closest",
      font: { color: ink, size: 12, family: getComputedStyle(document.body).fontFamily },
      margin: { l: 84, r: 12, t: 14, b: 30 },
      xaxis: { ...axis, ...ticks(sweep, width), tickangle: 0, range: [-0.6, places(sweep, width) - 0.4], anchor: known ? "y2" : "y" },
      yaxis: { ...axis, domain: known ? [0.44, 1] : [0, 1], range: [-0.14, 1.04], tickvals: [0, 0.5, 1], ticktext: ["none", "half", "all"], showgrid: true, gridcolor: rule },
      yaxis2: { ...axis, domain: [0, 0.34], range: [1.5, -0.5], tickvals: [0, 1], ticktext: sweep.sides.map(short), visible: known },
    };
  }

  function draw(element) {
    const sweep = page.data.sweeps[Number(element.dataset.sweep)];
    const width = Math.max(120, element.clientWidth - 96);
    const traces = sweep.classes.length ? [...shares(sweep), bands(sweep, width)] : shares(sweep);
    Plotly.react(element, traces, layout(sweep, width), CONFIG).then(() => { element.dataset.drawn = "yes"; });
  }
  for (const element of document.querySelectorAll("[data-sweep]")) {
    draw(element);
    page.onTheme(() => draw(element));
    let width = element.clientWidth;
    addEventListener("resize", () => { if (element.clientWidth !== width) { width = element.clientWidth; draw(element); } });
  }
})();
