/** The doors: the first account, an account, the login. @module */
import { h } from "../lib/element.js";
import { language, LANGUAGES, t } from "../lib/i18n.js";
import { addressOf, openPage, place } from "../lib/router.js";
import { signal } from "../lib/signal.js";
import { ask, refusal, send } from "../data/api.js";
import { savePrefs, theme, THEMES } from "../data/prefs.js";
import { beginSession, LEFT } from "../data/session.js";
import { choice, field, form } from "../parts/field.js";
import { mark } from "../parts/icons.js";

/** @param {string} path @param {any} body */
async function postOpen(path, body) {
  const response = await send("POST", path, { body }, null);
  if (!response.ok) throw await refusal(response);
  return response.json();
}

/** A persona to play with, for who has none. */
async function addExample() {
  await ask("POST", "/personas", {
    body: {
      name: t("example.name"),
      description: t("example.description"),
      style_prompt: "{prompt}, moonlit pine forest, fireflies, mossy trees, soft light",
      negative_prompt: "text, watermark",
      tags: [t("example.tag")],
    },
  });
}

export default function doors() {
  const { path, query } = place.peek();
  const errors = signal(/** @type {Record<string, string[]>} */ ({}));
  const keep = h("input", { type: "checkbox", checked: true });
  const input = (/** @type {string} */ type, /** @type {string} */ autocomplete) =>
    h("input", { type, autocomplete, required: true, autocapitalize: "none", spellcheck: "false" });
  const username = input("text", "username");
  const password = input("password", path === "/login" ? "current-password" : "new-password");
  const email = input("email", "email");
  const token = location.hash.slice(1);

  const first = path === "/setup";
  const isNew = path !== "/login";

  async function enter() {
    const body = isNew
      ? {
        username: username.value,
        email: email.value,
        password: password.value,
        ...(token ? { [first ? "setup_token" : "invitation"]: token } : {}),
      }
      : { username: username.value, password: password.value };
    beginSession(await postOpen(isNew ? "/auth/register" : "/auth/login", body), keep.checked);
    if (isNew) {
      await savePrefs({ theme: theme.peek(), language: language.peek() });
      await addExample();
    }
    openPage(query.get("to") ?? "/personas", { replace: true });
  }

  // Where nobody has an account yet, the first one is made; nobody begins to write before that is known.
  const ready = signal(first);
  /** Whether one can come in by a proxy, and what it said. */
  const byProxy = signal(false);
  const told = signal("");
  async function findWay() {
    const response = await send("GET", "/instance", {}, null).catch(() => null);
    const instance = response?.ok ? await response.json() : null;
    if (instance?.needs_setup) return openPage("/setup", { replace: true });
    const ways = instance?.login;
    byProxy.set(Boolean(ways?.proxy) && !isNew);
    // Who left by themselves is not brought back in before they ask for it.
    if (byProxy.peek() && !sessionStorage.getItem(LEFT) && (await enterByProxy())) return;
    ready.set(ways?.password !== false);
  }
  /** Come in as whom the proxy in front says; whether that was so. */
  async function enterByProxy() {
    told.set("");
    try {
      beginSession(await postOpen("/auth/proxy", undefined), true);
      openPage(query.get("to") ?? "/personas", { replace: true });
      return true;
    } catch (/** @type {any} */ error) {
      told.set(error.status ? error.message : t("server.gone"));
      return false;
    }
  }
  if (!first) findWay();

  return h(
    "section",
    { class: "door" },
    h("div", { class: "door-mark" }, mark()),
    h("h1", {}, () => t(first ? "door.setup" : isNew ? "door.register" : "door.login")),
    h("p", { class: "door-words" }, () => t(first ? "door.setup_words" : "door.words")),
    () => told() && h("p", { class: "refused", role: "alert" }, told),
    () =>
      byProxy() &&
      h("button", { class: "button wide proxy-login", type: "button", onclick: enterByProxy }, () =>
        t("door.proxy")),
    form(
      { class: "stack", hidden: () => !ready() },
      enter,
      errors,
      field({
        name: "username",
        label: () => t(isNew ? "username" : "username_or_email"),
        input: username,
        errors,
        hint: () => (isNew ? t("username.hint") : ""),
      }),
      isNew && field({ name: "email", label: () => t("email"), input: email, errors }),
      field({
        name: "password",
        label: () => t("password"),
        input: password,
        errors,
        hint: () => (isNew ? t("password.hint") : ""),
      }),
      isNew && h(
        "div",
        { class: "pair" },
        field({ name: "language", label: () => t("language"), input: languageChoice() }),
        field({ name: "theme", label: () => t("theme"), input: themeChoice() }),
      ),
      h("label", { class: "check" }, keep, h("span", {}, () => t("door.keep"))),
      h(
        "button",
        { class: "button wide", type: "submit" },
        () => t(first ? "door.begin" : isNew ? "door.register" : "door.login"),
      ),
    ),
    !first && h(
      "p",
      { class: "door-other", hidden: () => !ready() },
      h(
        "a",
        { href: addressOf(isNew ? "/login" : "/register") },
        () => t(isNew ? "door.to_login" : "door.to_register"),
      ),
    ),
  );
}

/** A choice of the language, in force at once. */
export function languageChoice() {
  const options = /** @type {Array<[string, () => string]>} */ (Object.entries(LANGUAGES).map((
    [tag, name],
  ) => [tag, () => name]));
  return choice(options, {
    value: language,
    onchange: (/** @type {any} */ e) => savePrefs({ language: e.target.value }),
  });
}

/** A choice of the theme, in force at once. */
export function themeChoice() {
  const options =
    /** @type {Array<[string, () => string]>} */ (THEMES.map((name) => [name, () => t(`theme.${name}`)]));
  return choice(options, {
    value: theme,
    onchange: (/** @type {any} */ e) => savePrefs({ theme: e.target.value }),
  });
}
