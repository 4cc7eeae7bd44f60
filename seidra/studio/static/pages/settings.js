/** One's account, how the page looks, and NSFW. @module */
import { h } from "../lib/element.js";
import { t } from "../lib/i18n.js";
import { signal } from "../lib/signal.js";
import { ask } from "../data/api.js";
import { nsfwSettings, takeNsfw, veiled } from "../data/prefs.js";
import { forgetSession, user } from "../data/session.js";
import { confirmed, tellError, toast } from "../parts/dialog.js";
import { check, choice, field, form } from "../parts/field.js";
import { keys, sessions } from "./access.js";
import { languageChoice, themeChoice } from "./doors.js";
import { leftToMe, myLimits } from "./mine.js";

export default function settings() {
  // The boxes are shown together when each has read what it begins with, so that none pushes another.
  const reading = /** @type {Array<Promise<void>>} */ ([]);
  const ready = signal(false);
  const columns = h(
    "div",
    { class: "columns", hidden: () => !ready() },
    leftToMe(reading),
    appearance(),
    nsfw(),
    myLimits(reading),
    account(),
    sessions(reading),
    keys(reading),
    leaving(),
  );
  Promise.all(reading).then(() => ready.set(true));
  return [h("div", { class: "bar" }, h("h1", {}, () => t("nav.settings"))), columns];
}

function appearance() {
  return h(
    "fieldset",
    {},
    h("legend", {}, () => t("settings.appearance")),
    field({ name: "theme", label: () => t("theme"), input: themeChoice() }),
    field({ name: "language", label: () => t("language"), input: languageChoice() }),
  );
}

function nsfw() {
  /** @param {any} change */
  async function save(change) {
    try {
      takeNsfw((await ask("PATCH", "/settings/nsfw", { body: change })).data);
    } catch (error) {
      tellError(error);
      nsfwSettings.update((now) => ({ ...now }));
    }
  }
  const flag = (/** @type {string} */ name) =>
    check(() => t(`nsfw.${name}`), {
      checked: () => nsfwSettings()?.[name] ?? false,
      onchange: (/** @type {any} */ e) => save({ [name]: e.target.checked }),
    });
  const category = (/** @type {string} */ name) =>
    check(() => t(`nsfw.${name}`), {
      checked: () => nsfwSettings()?.categories[name] ?? false,
      onchange: (/** @type {any} */ e) => save({ categories: { [name]: e.target.checked } }),
    });
  const intensities = /** @type {Array<[string, () => string]>} */ (["low", "medium", "high"].map((
    name,
  ) => [name, () => t(`nsfw.${name}`)]));
  return h(
    "fieldset",
    {},
    h("legend", {}, "NSFW"),
    flag("enabled"),
    flag("age_verified"),
    check(() => t("nsfw.veil"), {
      checked: veiled,
      onchange: (/** @type {any} */ e) => veiled.set(e.target.checked),
    }),
    field({
      name: "intensity",
      label: () => t("nsfw.intensity"),
      input: choice(intensities, {
        value: () => nsfwSettings()?.intensity ?? "medium",
        onchange: (/** @type {any} */ e) => save({ intensity: e.target.value }),
      }),
    }),
    ...["suggestive", "explicit", "violence"].map(category),
  );
}

function account() {
  const errors = signal(/** @type {Record<string, string[]>} */ ({}));
  const email = h("input", { type: "email", autocomplete: "email", value: user.peek()?.email ?? "" });
  const [password, current] = ["new-password", "current-password"].map((autocomplete) =>
    h("input", { type: "password", autocomplete })
  );
  async function save() {
    const body = {
      ...(email.value !== user.peek()?.email ? { email: email.value } : {}),
      ...(password.value ? { password: password.value } : {}),
      current_password: current.value,
    };
    const { data } = await ask("PATCH", "/auth/me", { body });
    user.set(data);
    password.value = current.value = "";
    toast(t("saved"));
  }
  return form(
    {},
    save,
    errors,
    h(
      "fieldset",
      {},
      h("legend", {}, () => t("settings.account")),
      h("p", { class: "mute" }, () => user()?.username ?? ""),
      field({ name: "email", label: () => t("email"), input: email, errors }),
      field({
        name: "password",
        label: () => t("password.new"),
        input: password,
        errors,
        hint: () => t("password.hint"),
      }),
      field({ name: "current_password", label: () => t("password.current"), input: current, errors }),
      h("button", { class: "button", type: "submit" }, () => t("save")),
    ),
  );
}

function leaving() {
  const errors = signal(/** @type {Record<string, string[]>} */ ({}));
  const password = h("input", { type: "password", autocomplete: "current-password" });
  async function remove() {
    if (!(await confirmed(t("account.delete_question"), t("account.delete")))) return;
    await ask("POST", "/auth/me/delete", { body: { password: password.value } });
    forgetSession();
  }
  return form(
    {},
    remove,
    errors,
    h(
      "fieldset",
      { class: "danger" },
      h("legend", {}, () => t("account.delete")),
      h("p", { class: "mute" }, () => t("account.delete_words")),
      field({ name: "password", label: () => t("password.current"), input: password, errors }),
      h("button", { class: "button quiet", type: "submit" }, () => t("account.delete")),
    ),
  );
}
