/** For administrators: groups of accounts, and what their members may have and use. @module */
import { h } from "../lib/element.js";
import { t } from "../lib/i18n.js";
import { addressOf } from "../lib/router.js";
import { signal } from "../lib/signal.js";
import { ask } from "../data/api.js";
import { confirmed, tellError, toast } from "../parts/dialog.js";
import { field } from "../parts/field.js";
import { adminBar } from "./admin.js";
import { openForm } from "./forms.js";
import { limitFields, LIMITS, limitsLine } from "./limits.js";
import { pagedList } from "./paged.js";

const NEW = { ...Object.fromEntries(LIMITS.map((name) => [name, null])), name: "", nsfw_allowed: true };

export default function groups() {
  const { found, answer, reload, more } = pagedList(() => "/admin/groups", "groups");

  /** @param {any} [group] the one that is changed; none: another one is made */
  async function edit(group) {
    const said = group ?? NEW;
    const errors = signal(/** @type {Record<string, string[]>} */ ({}));
    const name = h("input", { type: "text", value: said.name, required: true });
    const nsfw = h("input", { type: "checkbox", checked: said.nsfw_allowed });
    const limits = limitFields(said, errors);
    const save = () => {
      const body = { name: name.value, nsfw_allowed: nsfw.checked, ...limits.read() };
      return group
        ? ask("PATCH", `/admin/groups/${group.id}`, { body })
        : ask("POST", "/admin/groups", { body });
    };
    const sent = await openForm(
      group ? group.name : t("groups.new"),
      t("save"),
      save,
      errors,
      field({ name: "name", label: () => t("groups.name"), input: name, max: 100, errors }),
      h("label", { class: "check" }, nsfw, h("span", {}, t("accounts.nsfw_allowed"))),
      ...limits.elements,
    );
    if (!sent) return;
    toast(t("saved"));
    reload();
  }
  /** @param {any} group */
  async function remove(group) {
    if (!(await confirmed(t("groups.delete_question", { name: group.name }), t("delete")))) return;
    await ask("DELETE", `/admin/groups/${group.id}`).catch(tellError);
    reload();
  }
  const row = (/** @type {any} */ group) =>
    h(
      "li",
      { class: "job wraps" },
      h(
        "div",
        { class: "job-words" },
        h("strong", {}, group.name),
        h(
          "a",
          { href: addressOf(`/admin/users?group=${group.id}`) },
          t("groups.members", { n: group.members }),
        ),
        h("span", { class: "mute" }, limitsLine(group) || t("groups.unlimited")),
      ),
      h(
        "button",
        { class: "button quiet", "aria-label": `${t("edit")}: ${group.name}`, onclick: () => edit(group) },
        t("edit"),
      ),
      h(
        "button",
        {
          class: "button quiet",
          "aria-label": `${t("delete")}: ${group.name}`,
          onclick: () => remove(group),
        },
        t("delete"),
      ),
    );
  return [
    adminBar(),
    h(
      "div",
      { class: "row spread" },
      h("p", { class: "mute" }, () => t("groups.words")),
      h("button", { class: "button", onclick: () => edit() }, () => t("groups.new")),
    ),
    () => answer()?.total === 0 && h("p", { class: "empty-words" }, t("groups.none")),
    h("ul", { class: "job-list" }, () => found().map(row)),
    more,
  ];
}
