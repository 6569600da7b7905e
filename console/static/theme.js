// Before the page is drawn: light, dark, or as the system has it.
const THEMES = { auto: "Theme: system", light: "Theme: light", dark: "Theme: dark" };

function readTheme() {
  const kept = localStorage.getItem("theme");
  return kept in THEMES ? kept : "auto";
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
