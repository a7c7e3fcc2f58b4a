"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const filter = document.getElementById("filter");
  const changed = document.getElementById("changed");
  const rank = (letters) =>
    letters === null ? null : [...letters].reduce((sum, c) => sum * 26 + c.charCodeAt(0) - 96, 0);
  const changes = (row) => new Set(row.cells.filter((cell) => cell !== null)).size > 1;

  function show() {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    const rows = data.rows.filter(
      (row) => (!changed.checked || changes(row)) &&
        words.every((word) => row.name.toLowerCase().includes(word)));
    document.getElementById("count").textContent = `${rows.length} of ${data.rows.length} rows`;
    const shown = rows.slice(0, 2000);
    Plotly.react("matrix", [{
      type: "heatmap", xgap: 1, ygap: 1, showscale: false, colorscale: "Viridis", zmin: 1,
      x: data.versions, y: shown.map((row) => row.name),
      z: shown.map((row) => row.cells.map(rank)),
      text: shown.map((row) => row.cells.map((cell, at) =>
        `class ${cell === null ? "none" : cell}<br>${row.hover[at]}`)),
      hovertemplate: "%{y}<br>%{x}: %{text}<extra></extra>",
    }], {
      height: Math.max(200, 90 + 16 * shown.length), margin: { l: 420, t: 40 },
      paper_bgcolor: "rgba(0,0,0,0)", xaxis: { type: "category", side: "top" },
      yaxis: { type: "category", autorange: "reversed", tickfont: { size: 10 } },
    }, { displaylogo: false, responsive: true });
  }
  filter.addEventListener("input", show);
  changed.addEventListener("change", show);
  show();
})();
