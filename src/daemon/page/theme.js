// The choice between light and dark, set before anything is drawn.
(() => {
  "use strict";
  let theme = null;
  try {
    theme = localStorage.getItem("metafetch.theme");
  } catch {
    // Storage may be forbidden: the system's choice holds.
  }
  if (theme === "light" || theme === "dark") {
    document.documentElement.dataset.theme = theme;
  }
})();
