// Draws the matrix of releases and rows: a colour for each class of bits.
(function () {
  "use strict";
  const { byId, css, data, escapeForPlotly, isDark, onTheme } = globalThis.forkpointPage;
  const AT_ONCE = 200, LINE = 16, CHARACTER = 5.6, NAMED = 4;
  const box = byId("matrix"), filter = byId("filter"), more = byId("more");
  const onlyChanged = byId("changed"), together = byId("together");
  let most = AT_ONCE;
  const rank = (letters) =>
    letters === null ? null : [...letters].reduce((sum, c) => sum * 26 + c.charCodeAt(0) - 96, 0);
  const changes = (row) => new Set(row.cells.filter((cell) => cell !== null)).size > 1;
  const number = (count) => count.toLocaleString("en");

  // the op and its dtype stand first: what is left of a name on a phone
  function shortened(name, longest) {
    if (name.length <= longest) return name;
    const end = longest < 40 ? 0 : Math.floor(longest / 2);
    return `${name.slice(0, longest - end - 1)}…${end ? name.slice(-end) : ""}`;
  }

  function chosen() {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    return data.rows.filter(
      (row) => (!onlyChanged.checked || changes(row)) &&
        words.every((word) => row.name.toLowerCase().includes(word)));
  }

  // rows of one op and dtype with the same classes are one line, unless each is wanted
  function lines(rows) {
    const found = new Map();
    rows.forEach((row, at) => {
      const alike = together.checked && row.group !== null;
      const key = alike ? JSON.stringify([row.group, row.cells]) : at;
      if (!found.has(key)) found.set(key, []);
      found.get(key).push(row);
    });
    return [...found.values()];
  }

  const label = (line) => (line.length === 1 ? line[0].name
    : `${line[0].group.trim()}: ${number(line.length)} rows`).replace(/^aten(::|\.)/, "");

  function hover(line, at) {
    const cell = line[0].cells[at];
    const rows = line.slice(0, NAMED).map((row) => {
      const said = row.hover[at] ? `<br>   ${escapeForPlotly(row.hover[at])}` : "";
      return escapeForPlotly(shortened(row.name, 90)) + said;
    });
    if (line.length > NAMED) rows.push(`and ${number(line.length - NAMED)} more`);
    return [`<b>${data.versions[at]}: ${cell === null ? "did not run" : `class ${cell}`}</b>`,
      ...rows].join("<br>");
  }

  function say(rows, all, shown) {
    const count = `${number(rows.length)} of ${number(data.rows.length)} rows`;
    const joined = all.length < rows.length
      ? ` in ${number(all.length)} line${all.length === 1 ? "" : "s"}` : "";
    const left = all.length - shown.length;
    byId("count").textContent = count + joined +
      (left ? `, the first ${number(shown.length)} are drawn` : "");
    more.hidden = !left;
  }

  function draw() {
    const rows = chosen(), all = lines(rows), shown = all.slice(0, most);
    say(rows, all, shown);
    const narrow = box.clientWidth < 640;
    const room = Math.round(Math.min(430, box.clientWidth * (narrow ? 0.5 : 0.38)));
    Plotly.react(box, [{
      type: "heatmap", xgap: 1, ygap: 1, showscale: false, colorscale: "Viridis",
      zmin: isDark() ? 0 : 1, // the first class would be as dark as the page
      zmax: Math.max(3, ...shown.flatMap((line) => line[0].cells.map(rank))),
      x: data.versions, y: shown.map((_, at) => at),
      z: shown.map((line) => line[0].cells.map(rank)),
      text: shown.map((line) => line[0].cells.map((_, at) => hover(line, at))),
      hovertemplate: "%{text}<extra></extra>", hoverlabel: { align: "left" },
    }], {
      height: 90 + Math.max(2, shown.length) * LINE, margin: { l: room, r: 8, t: 70, b: 20 },
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { color: css("--ink") }, dragmode: false,
      xaxis: { type: "category", side: "top", showgrid: false, tickangle: narrow ? -90 : "auto" },
      yaxis: {
        autorange: "reversed", showgrid: false, zeroline: false, tickfont: { size: 10 },
        tickvals: shown.map((_, at) => at),
        ticktext: shown.map(
          (line) => escapeForPlotly(shortened(label(line), Math.floor(room / CHARACTER)))),
      },
    }, { displayModeBar: false, responsive: true });
  }

  const anew = () => { most = AT_ONCE; draw(); };
  filter.addEventListener("input", anew);
  onlyChanged.addEventListener("change", anew);
  together.addEventListener("change", anew);
  more.addEventListener("click", () => { most += AT_ONCE; draw(); });
  onTheme(draw);
  draw();
})();
