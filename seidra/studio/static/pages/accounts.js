/** For administrators: the accounts, their rights and figures; nothing of what they hold. @module */
import { h } from "../lib/element.js";
import { bytesText, t, timeText } from "../lib/i18n.js";
import { signal } from "../lib/signal.js";
import { ask } from "../data/api.js";
import { user } from "../data/session.js";
import { confirmed, tellError, toast } from "../parts/dialog.js";
import { check, field, form } from "../parts/field.js";
import { adminBar } from "./admin.js";

const PAGE = 50;
const SYSTEM = "system";

export default function accounts() {
  const found = signal(/** @type {any[]} */ ([]));
  const total = signal(0);
  const link = signal(/** @type {{ name: string, url: string, until: string } | null} */ (null));
  async function read(from = 0) {
    const { data } = await ask("GET", `/admin/users?limit=${PAGE}&offset=${from}`);
    found.update((old) => [...(from ? old : []), ...data.users]);
    total.set(data.total);
  }
  read().catch(tellError);

  /** @param {any} account @param {any} change */
  async function give(account, change) {
    try {
      const { data } = await ask("PATCH", `/admin/users/${account.id}`, { body: change });
      found.update((all) => all.map((each) => (each.id === data.id ? data : each)));
      toast(t("saved"));
    } catch (error) {
      tellError(error);
      found.update((all) => [...all]);
    }
  }
  /** @param {any} account */
  async function makeLink(account) {
    try {
      const { data } = await ask("POST", `/admin/users/${account.id}/password-link`);
      const { href } = new URL(data.url, location.href);
      link.set({ name: account.username, url: href, until: data.expires_at });
    } catch (error) {
      tellError(error);
    }
  }
  /** @param {any} account */
  async function remove(account) {
    const question = t("accounts.delete_question", { name: account.username });
    if (!(await confirmed(question, t("delete")))) return;
    await ask("DELETE", `/admin/users/${account.id}`).catch(tellError);
    read().catch(tellError);
  }

  const row = (/** @type {any} */ account) => {
    const flag = (/** @type {string} */ name) =>
      check(() => t(`accounts.${name}`), {
        checked: account[name],
        onchange: (/** @type {any} */ event) => give(account, { [name]: event.target.checked }),
      });
    // What comes with the instance belongs to it: nobody logs in, and nothing can be changed.
    const isSystem = account.username === SYSTEM;
    const figures = [
      t("accounts.personas", { n: account.personas }),
      t("accounts.media", { n: account.media }),
      bytesText(account.media_bytes),
      account.last_seen_at && t("accounts.seen", { time: timeText(account.last_seen_at) }),
    ];
    return h(
      "li",
      { class: "job wraps" },
      h(
        "div",
        { class: "job-words" },
        h("strong", {}, account.username),
        h("span", {}, account.email),
        h("span", { class: "mute" }, figures.filter(Boolean).join(" · ")),
      ),
      !isSystem && [
        h("div", { class: "flags" }, flag("is_active"), flag("is_admin"), flag("nsfw_allowed")),
        h("button", { class: "button quiet", onclick: () => makeLink(account) }, t("accounts.link")),
      ],
      !isSystem && account.id !== user.peek()?.id &&
        h("button", { class: "button quiet", onclick: () => remove(account) }, t("delete")),
    );
  };
  return [
    adminBar(),
    () =>
      link() &&
      h(
        "div",
        { class: "banner", role: "status" },
        h("p", {}, t("accounts.link_made", { name: link()?.name, time: timeText(link()?.until) })),
        h("code", { class: "secret" }, link()?.url),
      ),
    h("ul", { class: "job-list" }, () => found().map(row)),
    () =>
      found().length < total() &&
      h(
        "button",
        { class: "button quiet", onclick: () => read(found.peek().length).catch(tellError) },
        t("more"),
      ),
    newAccount((account) => (read().catch(tellError), makeLink(account))),
  ];
}

/** @param {(account: any) => void} made */
function newAccount(made) {
  const errors = signal(/** @type {Record<string, string[]>} */ ({}));
  const name = h("input", { type: "text", maxlength: 50, autocomplete: "off" });
  const email = h("input", { type: "email", autocomplete: "off" });
  async function make() {
    const body = { username: name.value, email: email.value };
    const { data } = await ask("POST", "/admin/users", { body });
    name.value = email.value = "";
    made(data);
  }
  return form(
    { class: "narrow" },
    make,
    errors,
    h(
      "fieldset",
      {},
      h("legend", {}, () => t("accounts.new")),
      h("p", { class: "mute" }, () => t("accounts.new_words")),
      field({
        name: "username",
        label: () => t("username"),
        input: name,
        errors,
        hint: () => t("username.hint"),
      }),
      field({ name: "email", label: () => t("email"), input: email, errors }),
      h("button", { class: "button", type: "submit" }, () => t("accounts.make")),
    ),
  );
}
