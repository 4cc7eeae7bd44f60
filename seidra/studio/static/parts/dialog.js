/** Questions and words that pass. @module */
import { h } from "../lib/element.js";
import { t } from "../lib/i18n.js";

/**
 * Ask before something is done; resolves to whether it shall be.
 *
 * @param {string} question
 * @param {string} action what the button says
 * @returns {Promise<boolean>}
 */
export function confirmed(question, action) {
  return new Promise((resolve) => {
    const dialog = h(
      "dialog",
      {
        class: "dialog",
        "aria-label": question,
        onclose: () => {
          dialog.remove();
          resolve(dialog.returnValue === "yes");
        },
      },
      h("p", {}, question),
      h(
        "div",
        { class: "row end" },
        h("button", { class: "button quiet", onclick: () => dialog.close("no") }, t("cancel")),
        h("button", { class: "button", onclick: () => dialog.close("yes") }, action),
      ),
    );
    document.body.append(dialog);
    dialog.showModal();
  });
}

/**
 * Ask for a text; resolves to null where nothing shall be done.
 *
 * @param {string} question
 * @param {string} label
 * @returns {Promise<string | null>}
 */
export function askText(question, label) {
  return new Promise((resolve) => {
    const input = h("input", { type: "text", maxlength: 500, "aria-label": label });
    const dialog = h(
      "dialog",
      {
        class: "dialog",
        "aria-label": question,
        onclose: () => {
          dialog.remove();
          resolve(dialog.returnValue === "yes" ? input.value : null);
        },
      },
      h("p", {}, question),
      h(
        "form",
        { method: "dialog", class: "stack" },
        input,
        h(
          "div",
          { class: "row end" },
          h(
            "button",
            { type: "button", class: "button quiet", onclick: () => dialog.close("no") },
            t("cancel"),
          ),
          h("button", { class: "button", value: "yes" }, t("save")),
        ),
      ),
    );
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** @type {HTMLElement} */
let region;

/** The place of the toasts; the shell puts it on every page. */
export function toastRegion() {
  region = h("div", { class: "toasts", role: "status", "aria-live": "polite" });
  return region;
}

/**
 * Show the toasts in this element from now on: what is outside of an open dialog can be neither seen
 * nor clicked.
 *
 * @param {HTMLElement} host
 */
export function hostToasts(host) {
  host.append(region);
}

/**
 * Say something in passing.
 *
 * @param {string} text
 * @param {{ label: string, run: () => any }} [action] such as undo
 */
export function toast(text, action) {
  const seconds = action ? 10 : 5;
  const close = () => element.remove();
  const element = h(
    "div",
    { class: "toast" },
    h("span", {}, text),
    action && h("button", { class: "link", onclick: () => (close(), action.run()) }, action.label),
  );
  region.append(element);
  setTimeout(close, seconds * 1000);
}

/** Say what went wrong. @param {any} error */
export function tellError(error) {
  const findings = (error.problem?.findings ?? []).map((/** @type {any} */ f) => f.detail).join(" ");
  toast(findings || (error.status ? error.message : t("server.gone")));
}
