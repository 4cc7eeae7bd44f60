/** The keys that the page knows, and their help. @module */
import { h } from "../lib/element.js";
import { t } from "../lib/i18n.js";
import { signal } from "../lib/signal.js";
import { check } from "./field.js";

const KEYS = ["/", "?", "←↑→↓", "f", "p", "Ctrl S", "Ctrl ⏎", "Esc", "␣", "Ctrl A", "+ − 0"];

/** Whether `/` and `?` alone do something: who speaks to their machine may not want them to. */
const single = signal(localStorage.getItem("seidra.keys") !== "off");

/** Show what keys there are. */
export function openKeysHelp() {
  const dialog = h(
    "dialog",
    { class: "dialog", "aria-label": t("keys"), onclose: () => dialog.remove() },
    h("h2", {}, t("keys")),
    h(
      "dl",
      { class: "keys" },
      ...KEYS.flatMap((key, at) => [h("dt", {}, h("kbd", {}, key)), h("dd", {}, t(`keys.${at}`))]),
    ),
    check(() => t("keys.single"), {
      checked: single,
      onchange: (/** @type {any} */ { target }) => {
        single.set(target.checked);
        localStorage.setItem("seidra.keys", target.checked ? "on" : "off");
      },
    }),
    h(
      "div",
      { class: "row end" },
      h("button", { class: "button", onclick: () => dialog.close() }, t("close")),
    ),
  );
  document.body.append(dialog);
  dialog.showModal();
}

/** Whether somebody is writing. @param {Event} event */
export const isWriting = (event) =>
  /** @type {Element} */ (event.target).matches?.("input, textarea, select, [contenteditable]");

/** `/` goes to the search, `?` shows the keys. */
export function startKeys() {
  addEventListener("keydown", (event) => {
    if (!single.peek() || isWriting(event) || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "?") openKeysHelp();
    const search = document.querySelector("input[type=search]");
    if (event.key === "/" && search instanceof HTMLElement) {
      event.preventDefault();
      search.focus();
    }
  });
}
