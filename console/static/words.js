// Texts in the language of the page. The English texts are the keys of the catalogues in lang/.

export const LANGUAGES = { en: "English", de: "Deutsch", ja: "日本語" };
export const language = chosen();
const texts = language === "en" ? {} : await (await fetch(`static/lang/${language}.json`)).json().catch(() => ({}));
document.documentElement.lang = language;

/** The language that was chosen, else the first of the browser's that there is, else English. */
function chosen() {
  const wanted = [localStorage.getItem("language"), ...navigator.languages.map((tag) => tag.slice(0, 2))];
  return wanted.find((tag) => tag in LANGUAGES) ?? "en";
}

/** Translate a text, and fill `{name}` in from `values`. */
export function t(text, values = {}) {
  return (texts[text] ?? text).replace(/\{(\w+)\}/g, (whole, name) => String(values[name] ?? whole));
}

/** Format a moment in the browser's time zone and the page's language. */
export const formatTime = (moment, options) => new Date(moment).toLocaleString(language, options);

/** Translate what stands in the page itself: its texts, and the attributes that people read or hear. */
export function translatePage() {
  const walker = document.createTreeWalker(document.documentElement, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const text = walker.currentNode.data.replace(/\s+/g, " ").trim();
    if (texts[text]) walker.currentNode.data = walker.currentNode.data.replace(/\S(?:[\s\S]*\S)?/, () => texts[text]);
  }
  for (const name of ["title", "aria-label", "placeholder", "data-auto", "data-light", "data-dark"]) {
    for (const node of document.querySelectorAll(`[${name}]`)) node.setAttribute(name, t(node.getAttribute(name)));
  }
  document.dispatchEvent(new Event("translated"));
}

/** Offer the languages in a list; a choice loads the page again. */
export function setUpLanguages(select) {
  select.replaceChildren(...Object.entries(LANGUAGES).map(([tag, name]) => new Option(name, tag, false, tag === language)));
  select.addEventListener("change", () => {
    localStorage.setItem("language", select.value);
    document.cookie = `language=${select.value}; max-age=31536000; samesite=strict`; // for the page that asks who it is
    location.reload();
  });
}
