// Set the theme before the page is drawn, so that it does not flash: light, dark, or as the system is set.
const THEMES = { auto: "Theme: system", light: "Theme: light", dark: "Theme: dark" };

function readTheme() {
  const stored = localStorage.getItem("theme");
  return stored in THEMES ? stored : "auto";
}

function showTheme(theme) {
  document.documentElement.dataset.theme = theme;
  const button = document.getElementById("theme");
  if (button) button.textContent = THEMES[theme];
}

showTheme(readTheme());
document.addEventListener("DOMContentLoaded", () => {
  showTheme(readTheme());
  document.getElementById("theme")?.addEventListener("click", () => {
    const names = Object.keys(THEMES);
    const next = names[(names.indexOf(readTheme()) + 1) % names.length];
    localStorage.setItem("theme", next);
    showTheme(next);
  });
});
