/** Questions and words that pass. @module */
import { h } from "../lib/element.js";
import { t } from "../lib/i18n.js";

/**
 * Open a dialog of a question; resolves to whether it was agreed to.
 *
 * @param {string} question
 * @param {any[]} content beside the question
 * @param {any} agree the button that agrees, of the value "yes"
 * @returns {Promise<boolean>}
 */
export function openQuestion(question, content, agree) {
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
        "form",
        { method: "dialog", class: "stack" },
        ...content,
        h(
          "div",
          { class: "row end" },
          h(
            "button",
            { type: "button", class: "button quiet", onclick: () => dialog.close("no") },
            t("cancel"),
          ),
          agree,
        ),
      ),
    );
    document.body.append(dialog);
    dialog.showModal();
  });
}

/**
 * Ask before something is done; resolves to whether it shall be.
 *
 * @param {string} question
 * @param {string} action what the button says
 */
export const confirmed = (question, action) =>
  openQuestion(question, [], h("button", { class: "button", value: "yes" }, action));

/**
 * Ask for a text; resolves to null where nothing shall be done.
 *
 * @param {string} question
 * @param {string} label
 * @param {string} [value] what stands there before
 * @param {number} [maxlength]
 * @returns {Promise<string | null>}
 */
export async function askText(question, label, value = "", maxlength = 500) {
  const input = h("input", { type: "text", maxlength, value, "aria-label": label });
  const agree = h("button", { class: "button", value: "yes" }, t("save"));
  return (await openQuestion(question, [input], agree)) ? input.value : null;
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
 * @returns {HTMLElement} where they were shown
 */
export function hostToasts(host) {
  const before = region.parentElement ?? document.body;
  host.append(region);
  return before;
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

/** Say what went wrong; that nobody is logged in any more, the login says. @param {any} error */
export function tellError(error) {
  if (error.status === 401) return;
  const findings = (error.problem?.findings ?? []).map((/** @type {any} */ f) => f.detail).join(" ");
  toast(findings || (error.status ? error.message : t("server.gone")));
}
