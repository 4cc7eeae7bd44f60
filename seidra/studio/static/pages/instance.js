/** For administrators: the instance as `flask doctor` sees it. @module */
import { h } from "../lib/element.js";
import { bytesText, t } from "../lib/i18n.js";
import { signal } from "../lib/signal.js";
import { ask } from "../data/api.js";
import { tellError } from "../parts/dialog.js";
import { adminBar } from "./admin.js";

export default function instance() {
  const state = signal(/** @type {any} */ (null));
  const looking = signal(true);
  async function read(thorough = false) {
    looking.set(true);
    try {
      state.set((await ask("GET", `/admin/instance${thorough ? "?thorough=true" : ""}`)).data);
    } catch (error) {
      tellError(error);
    } finally {
      looking.set(false);
    }
  }
  read();

  const figure = (/** @type {string} */ name, /** @type {string} */ value) =>
    h("div", {}, h("dt", {}, t(`instance.${name}`)), h("dd", {}, value));
  const row = (/** @type {any} */ check) =>
    h(
      "li",
      { class: "job" },
      h("span", { class: `state ${check.state === "ok" ? "ready" : check.state}` }),
      h(
        "div",
        { class: "job-words" },
        h("strong", {}, check.name),
        h("span", {}, check.seen),
        check.advice && h("span", { class: "finding warning" }, check.advice),
      ),
    );
  const shown = () => {
    const { version, disk, queue, checks, settings } = state();
    return [
      h(
        "dl",
        { class: "figures" },
        figure("version", version),
        figure("media_bytes", bytesText(disk.media_bytes)),
        figure("free_bytes", bytesText(disk.free_bytes)),
        figure("workers", String(queue.workers)),
      ),
      h("ul", { class: "job-list" }, checks.map(row)),
      h(
        "details",
        {},
        h("summary", {}, t("instance.settings")),
        h(
          "dl",
          { class: "facts" },
          Object.entries(settings).flatMap((
            [name, value],
          ) => [h("dt", {}, name), h("dd", {}, String(value))]),
        ),
      ),
    ];
  };
  return [
    adminBar(),
    h(
      "button",
      { class: "button quiet", disabled: looking, onclick: () => read(true) },
      () => t(looking() ? "instance.looking" : "instance.thorough"),
    ),
    () => state() && shown(),
  ];
}
