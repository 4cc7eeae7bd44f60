/** Forms in dialogs, and secrets that are shown once. @module */
import { h } from "../lib/element.js";
import { t } from "../lib/i18n.js";
import { toast } from "../parts/dialog.js";
import { form } from "../parts/field.js";

/**
 * Open a form in a dialog, which stays open over a refusal; resolves to whether it was sent.
 *
 * @param {string} title
 * @param {string} action what the button says
 * @param {() => Promise<any>} submit
 * @param {import("../lib/signal.js").Signal<Record<string, string[]>>} errors
 * @param {...any} content
 * @returns {Promise<boolean>}
 */
export function openForm(title, action, submit, errors, ...content) {
  return new Promise((resolve) => {
    const send = async () => {
      await submit();
      dialog.close("yes");
    };
    const dialog = h(
      "dialog",
      {
        class: "dialog",
        "aria-label": title,
        onclose: () => {
          dialog.remove();
          resolve(dialog.returnValue === "yes");
        },
      },
      h("h2", {}, title),
      form(
        { class: "stack" },
        send,
        errors,
        ...content,
        h(
          "div",
          { class: "row end" },
          h("button", { type: "button", class: "button quiet", onclick: () => dialog.close() }, t("cancel")),
          h("button", { class: "button", type: "submit" }, action),
        ),
      ),
    );
    document.body.append(dialog);
    dialog.showModal();
  });
}

/**
 * A secret with a button that copies it, on plain http too, where there is no clipboard to write to.
 *
 * @param {() => string} text
 */
export function secretBox(text) {
  const shown = h("code", { class: "secret" }, text);
  async function copy() {
    getSelection()?.selectAllChildren(shown);
    try {
      if (navigator.clipboard) await navigator.clipboard.writeText(text());
      else if (!document.execCommand("copy")) return;
      toast(t("key.copied"));
    } catch {
      // Not allowed: it is selected, to be copied by keys.
    }
  }
  return [
    shown,
    h("button", { type: "button", class: "button quiet", onclick: copy }, () => t("key.copy")),
  ];
}
