// Runs the buttons of every page, and holds what its pictures share.
globalThis.forkpointPage = (function () {
  "use strict";
  const root = document.documentElement;
  const byId = (id) => document.getElementById(id);
  const wantsDark = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme || (wantsDark.matches ? "dark" : "light")) === "dark";
  const css = (name) => getComputedStyle(root).getPropertyValue(name).trim();
  // plotly reads <b>, <a href> and entities in labels
  const escapeForPlotly = (text) =>
    text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");

  const pictures = [];
  const toggle = byId("theme");
  const label = () => { toggle.textContent = isDark() ? "Light" : "Dark"; };
  const changed = () => { label(); pictures.forEach((draw) => draw()); };
  toggle.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    try { localStorage.setItem("forkpoint-theme", root.dataset.theme); } catch (_) { /* storage is off */ }
    changed();
  });
  wantsDark.addEventListener("change", changed);
  label();

  function copyBySelection(text) {
    const area = document.createElement("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
  async function copy(button) {
    const text = button.parentElement.querySelector("code").textContent;
    let done = false;
    try { await navigator.clipboard.writeText(text); done = true; } catch (_) { done = copyBySelection(text); }
    button.textContent = done ? "Copied" : "Select and copy by hand";
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  }
  for (const button of document.querySelectorAll("button.copy")) {
    button.addEventListener("click", () => copy(button));
  }

  const block = byId("data");
  return {
    byId, css, escapeForPlotly, isDark,
    data: block ? JSON.parse(block.textContent) : null,
    onTheme: (draw) => pictures.push(draw),
  };
})();
