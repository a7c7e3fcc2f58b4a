// runs before the page is drawn, so that a chosen theme does not flash
(function () {
  "use strict";
  let chosen = null;
  try { chosen = localStorage.getItem("forkpoint-theme"); } catch (_) { /* storage is off */ }
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
})();
