/** A form's fields: label, hint, count of characters, and what the server said of them. @module */
import { h } from "../lib/element.js";
import { t } from "../lib/i18n.js";
import { signal } from "../lib/signal.js";

let numbers = 0;

/**
 * @param {object} options
 * @param {string} options.name as the server names it
 * @param {() => string} options.label
 * @param {HTMLElement & { value: string }} options.input
 * @param {() => string} [options.hint]
 * @param {number} [options.max] characters
 * @param {import("../lib/signal.js").Signal<Record<string, string[]>>} [options.errors]
 */
export function field({ name, label, input, hint, max, errors }) {
  const id = `field-${++numbers}`;
  const length = signal(input.value?.length ?? 0);
  input.id = id;
  input.setAttribute("name", name);
  input.setAttribute("aria-describedby", `${id}-more`);
  if (max) input.setAttribute("maxlength", String(max));
  input.addEventListener("input", () => length.set(input.value.length));
  const wrong = () => errors?.()[name]?.join(" ");
  return h(
    "div",
    { class: () => (wrong() ? "field wrong" : "field") },
    h("label", { for: id }, label),
    input,
    h(
      "div",
      { class: "field-more", id: `${id}-more` },
      h("span", { class: "field-hint" }, () => wrong() ?? hint?.() ?? ""),
      () =>
        max && length() > max * 0.7 &&
        h("span", { class: "field-count" }, t("field.count", { count: length(), max })),
    ),
  );
}

/**
 * A checkbox with its label.
 *
 * @param {() => string} label
 * @param {Record<string, any>} attributes
 */
export function check(label, attributes) {
  return h(
    "label",
    { class: "check" },
    h("input", { type: "checkbox", ...attributes }),
    h("span", {}, label),
  );
}

/**
 * A choice of few.
 *
 * @param {Array<[string, () => string]>} options value and name
 * @param {Record<string, any>} attributes
 */
export function choice(options, attributes) {
  const { value, ...others } = attributes;
  return h(
    "select",
    others,
    ...options.map(([key, name]) =>
      h(
        "option",
        { value: key, selected: () => key === (typeof value === "function" ? value() : value) },
        name,
      )
    ),
  );
}

/**
 * A form that shows what the server refuses, and takes no second answer while it waits.
 *
 * @param {Record<string, any>} attributes
 * @param {() => Promise<any>} submit
 * @param {import("../lib/signal.js").Signal<Record<string, string[]>>} errors
 * @param {...any} children
 */
export function form(attributes, submit, errors, ...children) {
  const refused = signal("");
  const busy = signal(false);
  return h(
    "form",
    {
      ...attributes,
      "aria-busy": () => String(busy()),
      onsubmit: async (/** @type {SubmitEvent} */ event) => {
        event.preventDefault();
        if (busy.peek()) return;
        busy.set(true);
        errors.set({});
        refused.set("");
        try {
          await submit();
        } catch (/** @type {any} */ error) {
          errors.set(error.errors ?? {});
          refused.set(error.status ? error.message : t("server.gone"));
        } finally {
          busy.set(false);
        }
      },
    },
    ...children,
    h("p", { class: "refused", role: "alert" }, refused),
  );
}
