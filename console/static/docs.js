// Render the documentation of the API from its OpenAPI description.

import { byId, h } from "./dom.js";

const description = await (await fetch("openapi.json")).json();
const schemas = description.components.schemas;

const nameOf = (schema) => schema.$ref?.split("/").at(-1);

function type(schema) {
  if (!schema) return "";
  if (schema.$ref) return h("a", { href: `#${nameOf(schema)}` }, nameOf(schema));
  if (schema.anyOf) return words(schema.anyOf.map(type), " or ");
  if (schema.enum) return schema.enum.join(" | ");
  if (schema.const !== undefined) return String(schema.const);
  if (schema.type === "array") return words(["list of ", type(schema.items)], "");
  return schema.contentMediaType || schema.format === "binary" ? "file" : schema.format ?? schema.type ?? "any";
}

const words = (parts, between) => h("span", {}, ...parts.flatMap((part, index) => (index ? [between, part] : [part])));

function table(head, rows) {
  if (!rows.length) return null;
  return h("table", {}, h("thead", {}, h("tr", {}, ...head.map((text) => h("th", {}, text)))),
    h("tbody", {}, ...rows.map((cells) => h("tr", {}, ...cells.map((cell) => h("td", {}, cell))))));
}

function fields(schema) {
  const required = schema.required ?? [];
  return table(["field", "type", "meaning"], Object.entries(schema.properties ?? {}).map(([name, field]) =>
    [h("code", {}, name), words([type(field), required.includes(name) ? "" : " (optional)"], ""), field.description ?? ""]));
}

function section(method, path, operation) {
  const body = Object.entries(operation.requestBody?.content ?? {})[0];
  const parameters = (operation.parameters ?? []).map((one) =>
    [h("code", {}, one.name), one.in, words([type(one.schema), one.required ? "" : " (optional)"], ""), one.description ?? one.schema.description ?? ""]);
  const responses = Object.entries(operation.responses).map(([status, response]) => {
    const [mediaType, content] = Object.entries(response.content ?? {})[0] ?? ["", {}];
    return [status, type(content.schema) || mediaType, response.description];
  });
  return h("section", { class: "card" },
    h("h3", {}, h("code", {}, `${method.toUpperCase()} ${path}`)), h("p", {}, operation.description ?? ""),
    table(["parameter", "in", "type", "meaning"], parameters),
    body ? h("p", {}, "Request body (", h("code", {}, body[0]), "):") : null,
    body ? fields(schemas[nameOf(body[1].schema)]) : null,
    table(["status", "response", "when"], responses));
}

byId("docs").replaceChildren(
  h("p", {}, description.info.description, ` Version ${description.info.version}. The body of every error is {"detail": "the reason"}.`),
  h("pre", {}, `curl -F category=NAME -F image=@part.jpg -F return_visualizations=false ${location.origin}/inspect\n`
    + `curl -H "Authorization: Bearer TOKEN" ${location.origin}/inspections?decision=FAIL`),
  h("h2", {}, "Calls"),
  ...Object.entries(description.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => section(method, path, operation))),
  h("h2", {}, "Schemas of responses and request bodies"),
  ...Object.entries(schemas).filter(([name]) => !name.startsWith("Body_")).map(([name, schema]) =>
    h("section", { class: "card", id: name }, h("h3", {}, name), h("p", {}, schema.description ?? ""), fields(schema))));
