/** Inputs for several things: tags, and LoRAs with their weights. @module */
import { h } from "../lib/element.js";
import { t } from "../lib/i18n.js";
import { icon, roundButton } from "./icons.js";

/**
 * Tags as chips that can be taken away, and a field for the next one.
 *
 * @param {import("../lib/signal.js").Signal<string[]>} tags
 */
export function tagInput(tags) {
  const input = h("input", {
    type: "text",
    maxlength: 50,
    "aria-label": () => t("tags.add"),
    placeholder: () => t("tags.add"),
    onkeydown: (/** @type {KeyboardEvent} */ event) => {
      if (event.key === "Enter" || event.key === ",") {
        event.preventDefault();
        add();
      } else if (event.key === "Backspace" && !input.value) tags.update((all) => all.slice(0, -1));
    },
    onblur: () => add(),
  });
  function add() {
    const tag = input.value.trim();
    input.value = "";
    if (tag && !tags.peek().includes(tag)) tags.update((all) => [...all, tag]);
  }
  const chips = () =>
    tags().map((tag) =>
      h(
        "button",
        {
          type: "button",
          class: "chip on",
          "aria-label": t("tags.remove", { tag }),
          onclick: () => tags.update((all) => all.filter((each) => each !== tag)),
        },
        tag,
        icon("close"),
      )
    );
  return h("div", { class: "tag-input" }, chips, input);
}

/**
 * LoRAs by name, each with its weight.
 *
 * @param {import("../lib/signal.js").Signal<any[]>} loras
 * @param {() => string[]} known names that the engine has
 */
export function loraInput(loras, known) {
  const put = (/** @type {string} */ name, /** @type {any} */ change) =>
    loras.update((all) => all.map((lora) => (lora.name === name ? { ...lora, ...change } : lora)));
  const names = () => loras().map(({ name }) => name).join("\n");
  const rows = () =>
    names().split("\n").filter(Boolean).map((name) => {
      const weight = () => loras().find((lora) => lora.name === name)?.weight ?? 1;
      const slide = (/** @type {any} */ event) => put(name, { weight: Number(event.target.value) });
      const label = `${t("lora.weight")}: ${name}`;
      return h(
        "div",
        { class: "lora" },
        h("span", { class: "lora-name" }, name),
        h("input", {
          type: "range",
          min: -2,
          max: 2,
          step: 0.05,
          value: weight,
          "aria-label": label,
          oninput: slide,
        }),
        h("input", {
          type: "number",
          min: -10,
          max: 10,
          step: 0.05,
          value: weight,
          "aria-label": label,
          onchange: slide,
        }),
        roundButton("close", "remove", () =>
          loras.update((all) =>
            all.filter((lora) => lora.name !== name)
          ), name),
      );
    });
  const input = h("input", {
    type: "text",
    maxlength: 200,
    list: "lora-names",
    placeholder: () => t("lora.add"),
    "aria-label": () => t("lora.add"),
    onchange: () => {
      const name = input.value.trim();
      input.value = "";
      if (name && !loras.peek().some((lora) => lora.name === name)) {
        loras.update((all) => [...all, { name, weight: 1, enabled: true }]);
      }
    },
  });
  return h(
    "div",
    { class: "stack" },
    rows,
    input,
    h("datalist", { id: "lora-names" }, () => known().map((name) => h("option", { value: name }))),
  );
}
