/** Who has access to one's account: sessions, and API keys. @module */
import { h } from "../lib/element.js";
import { t, timeText } from "../lib/i18n.js";
import { signal } from "../lib/signal.js";
import { ask } from "../data/api.js";
import { confirmed, tellError } from "../parts/dialog.js";
import { choice, field, form } from "../parts/field.js";
import { roundButton } from "../parts/icons.js";
import { secretBox } from "./forms.js";

/**
 * Where one is logged in.
 *
 * @param {Array<Promise<void>>} reading - takes what it waits for before it can be shown
 */
export function sessions(reading) {
  const found = signal(/** @type {any[]} */ ([]));
  const read = () =>
    ask("GET", "/auth/sessions").then(({ data }) => found.set(data.sessions)).catch(tellError);
  reading.push(read());

  /** @param {string} method @param {string} path */
  async function end(method, path) {
    await ask(method, path).catch(tellError);
    read();
  }
  const row = (/** @type {any} */ session) =>
    h(
      "li",
      { class: "access" },
      h(
        "div",
        { class: "job-words" },
        h("strong", {}, browserName(session.user_agent)),
        h(
          "span",
          { class: "mute" },
          session.current
            ? t("session.current")
            : t("session.used", { time: timeText(session.last_used_at) }),
        ),
      ),
      !session.current && roundButton("close", "session.end", () =>
        end("DELETE", `/auth/sessions/${session.id}`), browserName(session.user_agent)),
    );
  return h(
    "fieldset",
    {},
    h("legend", {}, () => t("settings.sessions")),
    h("ul", { class: "plain" }, () => found().map(row)),
    () =>
      found().length > 1 &&
      h(
        "button",
        { class: "button quiet", onclick: () => end("POST", "/auth/sessions/end-others") },
        t("session.end_others"),
      ),
  );
}

/**
 * What a User-Agent header says of browser and system, in two words.
 *
 * @param {string | null} agent
 */
export function browserName(agent) {
  const text = agent ?? "";
  const browser = ["Firefox", "Edg", "OPR", "Chrome", "Safari"].find((name) => text.includes(`${name}/`));
  const system = ["Android", "iPhone", "iPad", "Windows", "Macintosh", "Linux"].find((name) =>
    text.includes(name)
  );
  const names = /** @type {Record<string, string>} */ ({ Edg: "Edge", OPR: "Opera", Macintosh: "macOS" });
  const words = [browser, system].filter(Boolean).map((name) => names[name ?? ""] ?? name);
  return words.join(" · ") || text.slice(0, 60) || t("session.unknown");
}

/**
 * Keys for programs.
 *
 * @param {Array<Promise<void>>} reading - takes what it waits for before it can be shown
 */
export function keys(reading) {
  const found = signal(/** @type {any[]} */ ([]));
  const made = signal("");
  const errors = signal(/** @type {Record<string, string[]>} */ ({}));
  const name = h("input", { type: "text", maxlength: 100 });
  const password = h("input", { type: "password", autocomplete: "current-password" });
  const scopes = /** @type {Array<[string, () => string]>} */ (["read", "generate", "all"].map((
    scope,
  ) => [scope, () => t(`key.${scope}`)]));
  const scope = choice(scopes, { value: "read" });
  const days = h("input", { type: "number", min: 1, max: 3650 });
  const read = () => ask("GET", "/auth/keys").then(({ data }) => found.set(data.keys)).catch(tellError);
  reading.push(read());

  async function make() {
    const body = {
      name: name.value,
      scope: scope.value,
      current_password: password.value,
      ...(days.value ? { expires_in_days: Number(days.value) } : {}),
    };
    const { data } = await ask("POST", "/auth/keys", { body });
    made.set(data.key);
    name.value = password.value = days.value = "";
    read();
  }
  /** @param {any} key */
  async function end(key) {
    if (!(await confirmed(t("key.end_question", { name: key.name }), t("key.end")))) return;
    await ask("DELETE", `/auth/keys/${key.id}`).catch(tellError);
    read();
  }
  const row = (/** @type {any} */ key) =>
    h(
      "li",
      { class: "access" },
      h(
        "div",
        { class: "job-words" },
        h("strong", {}, `${key.name} · …${key.last_four}`),
        h(
          "span",
          { class: "mute" },
          [
            t(`key.${key.scope}`),
            key.last_used_at ? t("session.used", { time: timeText(key.last_used_at) }) : t("key.unused"),
            key.expires_at && t("key.expires", { time: timeText(key.expires_at) }),
          ].filter(Boolean).join(" · "),
        ),
      ),
      roundButton("close", "key.end", () => end(key), key.name),
    );
  return form(
    {},
    make,
    errors,
    h(
      "fieldset",
      {},
      h("legend", {}, () => t("settings.keys")),
      h("p", { class: "mute" }, () => t("key.words")),
      h("ul", { class: "plain" }, () => found().map(row)),
      h(
        "div",
        { hidden: () => !made(), role: "status" },
        h("p", {}, () => made() && t("key.made")),
        secretBox(made),
      ),
      field({ name: "name", label: () => t("key.name"), input: name, errors }),
      field({ name: "scope", label: () => t("key.scope"), input: scope, errors }),
      field({ name: "expires_in_days", label: () => t("key.days"), input: days, errors }),
      field({ name: "current_password", label: () => t("password.current"), input: password, errors }),
      h("button", { class: "button", type: "submit" }, () => t("key.make")),
    ),
  );
}
