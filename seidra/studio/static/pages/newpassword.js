/** A new password, by the link that an administrator gave. @module */
import { h } from "../lib/element.js";
import { t } from "../lib/i18n.js";
import { openPage } from "../lib/router.js";
import { signal } from "../lib/signal.js";
import { refusal, send } from "../data/api.js";
import { forgetSession } from "../data/session.js";
import { toast } from "../parts/dialog.js";
import { field, form } from "../parts/field.js";

export default function newPassword() {
  const errors = signal(/** @type {Record<string, string[]>} */ ({}));
  const password = h("input", { type: "password", autocomplete: "new-password", required: true });
  async function save() {
    const body = { token: location.hash.slice(1), password: password.value };
    const response = await send("POST", "/auth/password", { body }, null);
    if (!response.ok) throw await refusal(response);
    forgetSession();
    toast(t("saved"));
    openPage("/login", { replace: true });
  }
  return h(
    "section",
    { class: "door" },
    h("h1", {}, () => t("password.new")),
    form(
      { class: "stack" },
      save,
      errors,
      field({
        name: "password",
        label: () => t("password.new"),
        input: password,
        errors,
        hint: () => t("password.hint"),
      }),
      h("button", { class: "button wide", type: "submit" }, () => t("save")),
    ),
  );
}
