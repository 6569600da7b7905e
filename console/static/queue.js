// The list of photos: waiting, inspected one after the other, done or failed. It outlives a lost service or session.

import { fetchJson, ServiceUnreachable } from "./api.js";
import { badge, h, shortName } from "./dom.js";
import { t } from "./words.js";

const MAX_REQUESTS = 4; // at the same time

export class Queue {
  items = [];
  #list; #pick; #finished; #counted;
  #running = 0;
  #paused = false;

  /** Show the photos in `list`; `pick(item)` is a click on one, `finished(item)` and `counted(items)` are news. */
  constructor(list, { pick, finished, counted }) {
    this.#list = list;
    this.#pick = pick;
    this.#finished = finished;
    this.#counted = counted;
    document.addEventListener("service-online", () => {
      this.#paused = false;
      this.#work();
    });
  }

  /** The number of photos that are not done yet. */
  get waiting() {
    return this.items.filter(({ state }) => state === "waiting" || state === "inspecting").length;
  }

  add(files, category, origin) {
    for (const file of files) {
      const item = { file, name: file.name || "pasted.png", category, origin, state: "waiting", brought: performance.now() };
      item.button = h("button", { type: "button", onclick: () => this.#pick(item) });
      item.line = h("li", {}, item.button);
      this.items.push(item);
      this.#list.append(item.line);
      this.draw(item);
    }
    this.#work();
  }

  /** Take away what is done or failed. */
  clear() {
    this.#keep(({ state }) => state === "inspecting" || state === "waiting");
  }

  draw(item) {
    const states = { waiting: t("waiting"), inspecting: t("inspecting…"), failed: t("not inspected: {why}", { why: item.reason }) };
    const picture = item.result
      ? h("img", { src: `inspections/${item.result.id}/image?size=thumbnail`, alt: "", loading: "lazy", width: 48, height: 48 })
      : h("span", { class: "blank" });
    const state = item.result ? badge(item.result) : h("small", {}, states[item.state]);
    item.button.replaceChildren(picture, h("span", { class: "name", title: item.name }, shortName(item.name)), state);
    item.line.className = item.state;
    item.line.replaceChildren(item.button, ...(item.state === "failed" ? this.#offers(item) : []));
  }

  #offers(item) {
    const retry = () => {
      item.state = "waiting";
      item.brought = performance.now();
      this.draw(item);
      this.#work();
    };
    return [h("div", { class: "row" },
      item.file ? h("button", { type: "button", class: "quiet", onclick: retry }, t("Retry")) : null,
      h("button", { type: "button", class: "quiet", onclick: () => this.#keep((other) => other !== item) }, t("Remove")))];
  }

  #keep(test) {
    this.items = this.items.filter(test);
    this.#list.replaceChildren(...this.items.map(({ line }) => line));
    this.#counted(this.items);
  }

  #work() {
    this.#counted(this.items);
    while (!this.#paused && this.#running < MAX_REQUESTS) {
      const item = this.items.find(({ state }) => state === "waiting");
      if (!item) return;
      this.#running += 1;
      this.#inspect(item).finally(() => {
        this.#running -= 1;
        this.#work();
      });
    }
  }

  async #inspect(item) {
    item.state = "inspecting";
    this.draw(item);
    let content;
    try {
      // The file is read first: one that is gone or was overwritten fails alone, and is no sign of a lost service.
      content = new Blob([await item.file.arrayBuffer()], { type: item.file.type });
    } catch {
      this.#failed(item, t("the file is gone or was changed after it was chosen; choose it again"));
      return;
    }
    const form = new FormData();
    form.append("category", item.category);
    form.append("return_visualizations", "false"); // pictures are fetched when the image is selected
    for (const [name, value] of Object.entries(item.origin)) if (value) form.append(name, value);
    form.append("image", content, item.name);
    try {
      item.result = await fetchJson("inspect", { method: "POST", body: form });
      item.result.review = null;
      item.state = "done";
      item.decided = performance.now();
      item.file = null;
    } catch (error) {
      if (error instanceof ServiceUnreachable) {
        this.#paused = true;
        item.state = "waiting";
      } else if (error.status === 503 && error.retryAfter) {
        await new Promise((resolve) => setTimeout(resolve, 1000 * Number(error.retryAfter)));
        item.state = "waiting";
      } else {
        this.#failed(item, error.message);
        return;
      }
    }
    this.draw(item);
    if (item.state === "done") this.#finished(item);
  }

  #failed(item, reason) {
    item.state = "failed";
    item.decided = performance.now();
    item.reason = reason;
    this.draw(item);
    this.#finished(item);
  }
}
