// Set the theme before the page is drawn, so that it does not flash: light, dark, or as the system is set.
const THEMES = ["auto", "light", "dark"];

function readTheme() {
  const stored = localStorage.getItem("theme");
  return THEMES.includes(stored) ? stored : "auto";
}

function showTheme(theme) {
  document.documentElement.dataset.theme = theme;
  const button = document.getElementById("theme");
  if (button) button.textContent = button.dataset[theme];
}

showTheme(readTheme());
document.addEventListener("DOMContentLoaded", () => {
  showTheme(readTheme());
  document.getElementById("theme")?.addEventListener("click", () => {
    const next = THEMES[(THEMES.indexOf(readTheme()) + 1) % THEMES.length];
    localStorage.setItem("theme", next);
    showTheme(next);
  });
});
document.addEventListener("translated", () => showTheme(readTheme()));
