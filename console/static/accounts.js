// The accounts view, for administrators: who may sign in, and as what.

import { fetchJson, sendJson } from "./api.js";
import { byId, h, openDialog } from "./dom.js";
import { ROLES } from "./person.js";
import { t } from "./words.js";

const MEANING = { operator: t("operator: inspects and reviews"), qa: t("QA: also thresholds and exports"), admin: t("administrator: also accounts") };
let known = [];

export async function showAccounts() {
  await attempt(async () => {
    known = await fetchJson("accounts");
    byId("accounts").replaceChildren(...known.map(row));
  });
}

const put = (name, account) => sendJson("PUT", `accounts/${encodeURIComponent(name)}`, account);

/** Do something, then show what the service made of it. */
async function change(name, account) {
  await attempt(() => put(name, account));
  const problem = byId("accounts-problem").textContent;
  await showAccounts();
  byId("accounts-problem").textContent ||= problem;
}

async function attempt(act) {
  byId("accounts-problem").textContent = "";
  try {
    await act();
  } catch (error) {
    byId("accounts-problem").textContent = error.message;
  }
}

function row({ name, role, active }) {
  const own = name === document.body.dataset.person; // nobody shuts themselves out
  const roles = h("select", { "aria-label": t("Role of {name}", { name }), disabled: own,
    onchange: (event) => change(name, { role: event.target.value }) }, ...options(role));
  return h("tr", {}, h("td", { class: "name" }, name), h("td", {}, roles), h("td", {}, active ? t("may sign in") : t("switched off")),
    h("td", {}, h("div", { class: "row" },
      h("button", { type: "button", onclick: () => ask(t("New password for {name}", { name }), name) }, t("New password…")),
      own ? null : h("button", { type: "button", onclick: () => change(name, { active: !active }) }, active ? t("Switch off") : t("Switch on")))));
}

const options = (chosen) => ROLES.map((role) => h("option", { value: role, selected: role === chosen }, MEANING[role]));

/** Ask for a password, and for a new account also for its name and role. */
function ask(title, existing = null) {
  byId("account-title").textContent = title;
  const { name, role, password } = byId("dialog-account").querySelector("form").elements;
  role.replaceChildren(...options("operator"));
  name.value = existing ?? "";
  password.value = "";
  name.readOnly = role.closest("label").hidden = existing !== null;
  openDialog(byId("dialog-account"), async (given) => {
    const who = given.name.trim();
    if (!existing && known.some((one) => one.name === who)) throw new Error(t("This name has an account already."));
    await put(who, existing ? { password: given.password } : { role: given.role, password: given.password });
    await showAccounts();
  });
}

byId("account-add").addEventListener("click", () => ask(t("New account")));
