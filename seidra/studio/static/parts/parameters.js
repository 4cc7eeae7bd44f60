/** The fields of how a picture is made: size, steps, guidance, seed, scheduler, model. @module */
import { h } from "../lib/element.js";
import { t } from "../lib/i18n.js";
import { choice, field } from "./field.js";

const NUMBERS = /** @type {Array<[string, number, number, number]>} */ ([
  ["width", 64, 2048, 8],
  ["height", 64, 2048, 8],
  ["num_inference_steps", 1, 150, 1],
  ["guidance_scale", 0, 30, 0.1],
]);
const QUALITIES = ["", "draft", "standard", "high"];

/**
 * @param {import("../lib/signal.js").Signal<Record<string, any>>} values only what was said stands in it
 * @param {import("../lib/signal.js").Signal<Record<string, string[]>>} errors
 * @param {{ schedulers: () => string[], models: () => string[], engines: () => string[] }} known
 */
export function parameterFields(values, errors, known) {
  const put = (/** @type {string} */ name, /** @type {any} */ value) =>
    values.update((all) => {
      const { [name]: _, ...others } = all;
      return value === "" || value === null ? others : { ...others, [name]: value };
    });
  const label = (/** @type {string} */ name) => () => t(`parameter.${name}`);
  const numbers = NUMBERS.map(([name, min, max, step]) =>
    field({
      name,
      errors,
      label: label(name),
      input: h("input", {
        type: "number",
        min,
        max,
        step,
        value: values.peek()[name] ?? "",
        placeholder: () => t("parameter.default"),
        oninput: (/** @type {any} */ e) => put(name, e.target.value && Number(e.target.value)),
      }),
    })
  );
  const text = (/** @type {string} */ name, /** @type {() => string[]} */ names) => {
    const id = `names-${name}`;
    const input = h("input", {
      type: "text",
      maxlength: 200,
      list: id,
      value: values.peek()[name] ?? "",
      placeholder: () => t("parameter.default"),
      oninput: (/** @type {any} */ e) => put(name, e.target.value.trim()),
    });
    return h(
      "div",
      {},
      field({ name, errors, label: label(name), input }),
      h("datalist", { id }, () => names().map((value) => h("option", { value }))),
    );
  };
  const qualities = /** @type {Array<[string, () => string]>} */ (QUALITIES.map((
    name,
  ) => [name, () => t(name ? `quality.${name}` : "parameter.default")]));
  const engineNames =
    () => /** @type {Array<[string, () => string]>} */ (["", ...known.engines(), "auto"].map((
      name,
    ) => [name, () => name || t("parameter.default")]));
  return h(
    "div",
    { class: "fields" },
    ...numbers,
    field({
      name: "seed",
      errors,
      label: label("seed"),
      hint: () => t("parameter.seed_hint"),
      input: h("input", {
        type: "text",
        inputmode: "numeric",
        pattern: "-?[0-9]*",
        value: values.peek().seed ?? "",
        oninput: (/** @type {any} */ e) => put("seed", e.target.value.trim()),
      }),
    }),
    field({
      name: "quality",
      errors,
      label: label("quality"),
      input: choice(qualities, {
        value: values.peek().quality ?? "",
        onchange: (/** @type {any} */ e) => put("quality", e.target.value),
      }),
    }),
    text("scheduler", known.schedulers),
    text("model_name", known.models),
    () =>
      field({
        name: "engine",
        errors,
        label: label("engine"),
        input: choice(engineNames(), {
          value: values.peek().engine ?? "",
          onchange: (/** @type {any} */ e) => put("engine", e.target.value),
        }),
      }),
  );
}
