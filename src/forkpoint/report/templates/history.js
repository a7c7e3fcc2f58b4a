// Draws the matrix of releases and rows: a colour for each class of bits.
(function () {
  "use strict";
  const { byId, css, data, escapeForPlotly, onTheme } = globalThis.forkpointPage;
  const MOST = 2000, LONGEST = 64;
  const filter = byId("filter");
  const onlyChanged = byId("changed");
  const rank = (letters) =>
    letters === null ? null : [...letters].reduce((sum, c) => sum * 26 + c.charCodeAt(0) - 96, 0);
  const changes = (row) => new Set(row.cells.filter((cell) => cell !== null)).size > 1;

  const shortened = (name) => name.length <= LONGEST ? name
    : `${name.slice(0, LONGEST / 2)}…${name.slice(1 - LONGEST / 2)}`;

  function chosen() {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    return data.rows.filter(
      (row) => (!onlyChanged.checked || changes(row)) &&
        words.every((word) => row.name.toLowerCase().includes(word)));
  }

  function draw() {
    const rows = chosen();
    const shown = rows.slice(0, MOST);
    const left = rows.length - shown.length;
    byId("count").textContent = `${rows.length} of ${data.rows.length} rows` +
      (left ? `, the first ${MOST} are drawn` : "");
    Plotly.react("matrix", [{
      type: "heatmap", xgap: 1, ygap: 1, showscale: false, colorscale: "Viridis", zmin: 1,
      x: data.versions, y: shown.map((_, at) => at),
      z: shown.map((row) => row.cells.map(rank)),
      text: shown.map((row) => row.cells.map((cell, at) =>
        `${escapeForPlotly(row.name)}<br>${data.versions[at]}: class ` +
        `${cell === null ? "none" : cell}<br>${escapeForPlotly(row.hover[at])}`)),
      hovertemplate: "%{text}<extra></extra>",
    }], {
      height: Math.max(200, 120 + 16 * shown.length), margin: { l: 400, t: 70 },
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { color: css("--ink") },
      xaxis: { type: "category", side: "top" },
      yaxis: {
        autorange: "reversed", tickfont: { size: 10 }, tickvals: shown.map((_, at) => at),
        ticktext: shown.map((row) => escapeForPlotly(shortened(row.name))),
      },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: css("--quiet"), activecolor: css("--ink") },
    }, { displaylogo: false, responsive: true });
  }

  filter.addEventListener("input", draw);
  onlyChanged.addEventListener("change", draw);
  onTheme(draw);
  draw();
})();
