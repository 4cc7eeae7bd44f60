/** For administrators: the accounts, their rights and figures; nothing of what they hold. @module */
import { h } from "../lib/element.js";
import { bytesText, t, timeText } from "../lib/i18n.js";
import { place } from "../lib/router.js";
import { computed, signal } from "../lib/signal.js";
import { ask, queryOf } from "../data/api.js";
import { user } from "../data/session.js";
import { confirmed, tellError, toast } from "../parts/dialog.js";
import { check, choice, field, form } from "../parts/field.js";
import { adminBar } from "./admin.js";
import { handOvers, invitations, offerHandOver } from "./coming.js";
import { openForm, secretBox } from "./forms.js";
import { limitFields, limitsLine } from "./limits.js";
import { pagedList, readAll } from "./paged.js";

const SYSTEM = "system";

export default function accounts() {
  const only = signal(place.peek().query.get("group") ?? "");
  const path = () => `/admin/users${queryOf({ group_id: only.peek() })}`;
  const { found, reload, more } = pagedList(path, "users");
  const offers = pagedList(() => "/admin/hand-overs", "hand_overs", 20);
  const groups = signal(/** @type {any[]} */ ([]));
  const chosen = signal(/** @type {Set<number>} */ (new Set()));
  readAll("/admin/groups", "groups").then(groups.set).catch(tellError);
  const link = signal(/** @type {{ name: string, url: string, until: string } | null} */ (null));
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
    choose(account.id, false);
    reload();
  }
  /** @param {any} account */
  async function limit(account) {
    const errors = signal(/** @type {Record<string, string[]>} */ ({}));
    const group = groupChoice("accounts.no_group", String(account.group_id ?? ""));
    const fields = limitFields(account, errors, account.limits);
    const save = async () => {
      const body = { group_id: group.value ? Number(group.value) : null, ...fields.read() };
      await ask("PATCH", `/admin/users/${account.id}`, { body });
    };
    const sent = await openForm(
      account.username,
      t("save"),
      save,
      errors,
      field({ name: "group_id", label: () => t("accounts.group"), input: group, errors }),
      ...fields.elements,
    );
    if (!sent) return;
    toast(t("saved"));
    reload();
  }
  /** @param {any} account */
  async function handOver(account) {
    if (await offerHandOver(account)) offers.reload();
  }
  /** @param {number} id @param {boolean} on */
  function choose(id, on) {
    const all = new Set(chosen.peek());
    all[on ? "add" : "delete"](id);
    chosen.set(all);
  }
  /** @param {string} none the key of what no group means @param {string} value */
  const groupChoice = (none, value) =>
    choice(
      /** @type {Array<[string, () => string]>} */ ([
        ["", () => t(none)],
        ...groups.peek().map(({ id, name }) => [String(id), () => name]),
      ]),
      { value },
    );
  /** Put those that are chosen into a group; "" takes them out of theirs. @param {string} group */
  async function move(group) {
    const ids = [...chosen.peek()];
    /** @type {Map<string, { add: number[], remove: number[] }>} */
    const bodies = new Map();
    if (group) bodies.set(group, { add: ids, remove: [] });
    else {
      for (const { id, group_id: now } of found.peek()) {
        if (now === null || !ids.includes(id)) continue;
        const body = bodies.get(now) ?? { add: [], remove: [] };
        body.remove.push(id);
        bodies.set(now, body);
      }
    }
    try {
      for (const [id, body] of bodies) await ask("POST", `/admin/groups/${id}/members`, { body });
      chosen.set(new Set());
      toast(t("select.done", { n: ids.length }));
    } catch (error) {
      tellError(error);
    }
    reload();
  }
  const selection = () => {
    const target = groupChoice("accounts.no_group", "");
    target.setAttribute("aria-label", t("accounts.group"));
    return h(
      "div",
      { class: "selection" },
      h("span", {}, () => t("select.chosen", { n: chosen().size })),
      target,
      h("button", { class: "button", onclick: () => move(target.value) }, t("accounts.move")),
    );
  };
  const anyChosen = computed(() => chosen().size > 0);

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
    const button = (/** @type {string} */ key, /** @type {(account: any) => any} */ run) =>
      h(
        "button",
        {
          class: "button quiet",
          "aria-label": `${t(key)}: ${account.username}`,
          onclick: () => run(account),
        },
        t(key),
      );
    const limits = () => {
      const group = groups().find(({ id }) => id === account.group_id)?.name;
      return [group, limitsLine({ ...account, nsfw_allowed: true })].filter(Boolean).join(" · ");
    };
    return h(
      "li",
      { class: "job wraps" },
      !isSystem && h("input", {
        type: "checkbox",
        "aria-label": `${t("select")}: ${account.username}`,
        checked: () => chosen().has(account.id),
        onchange: (/** @type {any} */ event) => choose(account.id, event.target.checked),
      }),
      h(
        "div",
        { class: "job-words" },
        h("strong", {}, account.username),
        h("span", {}, account.email),
        h("span", { class: "mute" }, figures.filter(Boolean).join(" · ")),
        h("span", {}, limits),
      ),
      !isSystem && [
        h("div", { class: "flags" }, flag("is_active"), flag("is_admin"), flag("nsfw_allowed")),
        h(
          "div",
          { class: "row" },
          button("limits", limit),
          button("accounts.link", makeLink),
          button("handover.verb", handOver),
          account.id !== user.peek()?.id && button("delete", remove),
        ),
      ],
    );
  };
  const filter = () => {
    const select = groupChoice("accounts.all_groups", only.peek());
    select.addEventListener("change", () => {
      only.set(select.value);
      chosen.set(new Set());
      reload();
    });
    return h(
      "div",
      { class: "fields usage-choice" },
      field({ name: "group", label: () => t("accounts.group"), input: select }),
      h(
        "button",
        { class: "button quiet", onclick: () => chosen.set(new Set(choosable().map(({ id }) => id))) },
        t("accounts.choose_all"),
      ),
    );
  };
  const choosable = () => found.peek().filter(({ username }) => username !== SYSTEM);
  return [
    adminBar(),
    () =>
      link() &&
      h(
        "div",
        { class: "banner", role: "status" },
        h("p", {}, t("accounts.link_made", { name: link()?.name, time: timeText(link()?.until) })),
        h("div", { class: "row" }, secretBox(() => link()?.url ?? "")),
      ),
    () => groups().length > 0 && filter(),
    h("ul", { class: "job-list" }, () => found().map(row)),
    more,
    () => anyChosen() && selection(),
    newAccount((account) => (reload(), makeLink(account))),
    invitations(groups, groupChoice),
    handOvers(offers),
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
