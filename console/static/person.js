// Who is signed in, and what that person may do. The service refuses the rest anyway; the page does not offer it.

import { fetchJson } from "./api.js";
import { byId } from "./dom.js";
import { t } from "./words.js";

export const ROLES = ["operator", "qa", "admin"]; // each may do what those before it may

/** Tell whether the person may do what needs a role. */
export const may = (role) => ROLES.indexOf(document.body.dataset.role) >= ROLES.indexOf(role);

/** Ask the service, show the name, and hide what the person may not do. */
export async function showPerson() {
  const { signed_in, name, role, accounts, token } = await fetchJson("session");
  Object.assign(document.body.dataset, { person: name, role });
  byId("sign-out").hidden = !signed_in;
  byId("person").textContent = name;
  byId("sign-in-name").hidden = !accounts;
  byId("sign-in-secret").textContent = token ? (accounts ? t("Password or token") : t("Token")) : t("Password");
  for (const one of document.querySelectorAll("[data-needs]")) one.hidden = !may(one.dataset.needs);
}
