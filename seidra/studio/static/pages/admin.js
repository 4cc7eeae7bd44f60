/** For administrators: how much there is, and the engines. No prompt, persona or picture of others. @module */
import { h } from "../lib/element.js";
import { t, timeText } from "../lib/i18n.js";
import { addressOf, place } from "../lib/router.js";
import { signal } from "../lib/signal.js";
import { ask } from "../data/api.js";
import { readEngines } from "../data/catalogue.js";
import { tellError, toast } from "../parts/dialog.js";

/** The head of the pages for administrators, with the ways between them. */
export function adminBar() {
  const parts = [
    ["/admin", "admin.engines"],
    ["/admin/users", "admin.users"],
    ["/admin/groups", "admin.groups"],
    ["/admin/usage", "admin.usage"],
    ["/admin/instance", "admin.instance"],
  ];
  return h(
    "div",
    { class: "bar" },
    h("h1", {}, () => t("nav.admin")),
    h(
      "nav",
      { class: "chips", "aria-label": () => t("nav.admin") },
      ...parts.map(([path, key]) =>
        h(
          "a",
          {
            class: () => (place().path === path ? "chip on" : "chip"),
            href: addressOf(path),
            "aria-current": () => (place().path === path ? "page" : false),
          },
          () => t(key),
        )
      ),
    ),
  );
}

export default function admin() {
  const engines = signal(/** @type {any[]} */ ([]));
  const summary = signal(/** @type {any} */ (null));
  readEngines().then(engines.set).catch(tellError);
  ask("GET", "/system/summary").then(({ data }) => summary.set(data)).catch(tellError);

  /** @param {string} name */
  async function look(name) {
    try {
      await ask("POST", `/admin/engines/${encodeURIComponent(name)}/check`);
      toast(t("admin.checking", { name }));
      setTimeout(() => readEngines().then(engines.set).catch(tellError), 2000);
    } catch (error) {
      tellError(error);
    }
  }
  const row = (/** @type {any} */ engine) =>
    h(
      "li",
      { class: "job" },
      h("span", { class: `state ${engine.status}` }),
      h(
        "div",
        { class: "job-words" },
        h("strong", {}, engine.name),
        h("span", {}, `${engine.kind} · ${t(`engine.${engine.status}`)}`),
        engine.message && h("span", { class: "finding error" }, engine.message),
        h(
          "span",
          { class: "mute" },
          t("admin.load", { running: engine.running, at_once: engine.at_once, waiting: engine.waiting }),
        ),
        engine.checked_at &&
          h("span", { class: "mute" }, t("admin.seen", { time: timeText(engine.checked_at) })),
      ),
      h("button", { class: "button quiet", onclick: () => look(engine.name) }, t("admin.check")),
    );
  return [
    adminBar(),
    h(
      "dl",
      { class: "figures" },
      () =>
        summary() &&
        Object.entries(summary()).map(([name, n]) =>
          h("div", {}, h("dt", {}, t(`admin.${name}`)), h("dd", {}, Number(n).toLocaleString()))
        ),
    ),
    h(
      "section",
      {},
      h("h2", {}, () => t("admin.engines")),
      h("ul", { class: "job-list" }, () => engines().map(row)),
    ),
  ];
}
