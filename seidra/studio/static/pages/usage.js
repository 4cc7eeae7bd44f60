/** For administrators: who had how much of the engines, and when; figures alone. @module */
import { h, svg } from "../lib/element.js";
import { bytesText, language, t } from "../lib/i18n.js";
import { signal } from "../lib/signal.js";
import { ask, queryOf } from "../data/api.js";
import { tellError } from "../parts/dialog.js";
import { choice, field } from "../parts/field.js";
import { icon } from "../parts/icons.js";
import { keepFile } from "../parts/upload.js";
import { adminBar } from "./admin.js";
import { pagedList } from "./paged.js";

const DAY = 86_400_000;
const USUAL = 29;

/** A day in UTC, as the API writes it. @param {number} time */
const dayOf = (time) => new Date(time).toISOString().slice(0, 10);

/** Minutes of engines, as people read them. @param {number} seconds */
const minutesText = (seconds) => t("usage.minutes", { n: Math.round(seconds / 6) / 10 });

/** @param {string} day */
const dayText = (day) =>
  new Intl.DateTimeFormat(language(), { dateStyle: "medium", timeZone: "UTC" }).format(new Date(day));

export default function usage() {
  const now = Date.now();
  const from = signal(dayOf(now - USUAL * DAY));
  const to = signal(dayOf(now));
  const by = signal("account");
  const query = () => queryOf({ from: from.peek(), to: to.peek(), group_by: by.peek() });
  const { found, answer, reload, more } = pagedList(() => `/admin/usage${query()}`, "items", 100);

  async function download() {
    try {
      const { file } = await ask("GET", `/admin/usage.csv${query()}`);
      if (file) keepFile(file);
    } catch (error) {
      tellError(error);
    }
  }
  const dayInput = (/** @type {string} */ name, /** @type {any} */ day) =>
    field({
      name,
      label: () => t(`usage.${name}`),
      input: h("input", {
        type: "date",
        value: day.peek(),
        required: true,
        onchange: (/** @type {any} */ event) => {
          if (!event.target.value) return;
          day.set(event.target.value);
          reload();
        },
      }),
    });
  const ways = choice(["account", "day"].map((way) => [way, () => t(`usage.by_${way}`)]), {
    value: by.peek(),
    onchange: (/** @type {any} */ event) => {
      by.set(event.target.value);
      reload();
    },
  });
  const figure = (/** @type {string} */ name, /** @type {string} */ value) =>
    h("div", {}, h("dt", {}, t(`usage.${name}`)), h("dd", {}, value));
  const shown = () => {
    const { group_by: way, sum } = answer();
    const most = Math.max(...found().map((item) => item.engine_seconds), 1e-9);
    return [
      h(
        "dl",
        { class: "figures" },
        figure("engine_seconds", minutesText(sum.engine_seconds)),
        figure("pictures", sum.pictures.toLocaleString(language())),
        figure("bytes", bytesText(sum.bytes)),
      ),
      found().length > 0 && h(
        "div",
        { class: "table-frame", tabindex: "0", role: "region", "aria-label": t("admin.usage") },
        h(
          "table",
          { class: "table" },
          h("caption", { class: "mute" }, t("usage.words")),
          h(
            "thead",
            {},
            h(
              "tr",
              {},
              ...[way, "engine_seconds", "pictures", "bytes"].map((name) =>
                h("th", { scope: "col" }, t(`usage.${name}`))
              ),
            ),
          ),
          h("tbody", {}, found().map((item) => row(item, most))),
        ),
      ),
      !found().length && h("p", { class: "empty-words" }, t("usage.none")),
    ];
  };
  const row = (/** @type {any} */ item, /** @type {number} */ most) =>
    h(
      "tr",
      {},
      h("th", { scope: "row" }, item.day ? dayText(item.day) : item.username),
      h("td", {}, h("div", { class: "measured" }, minutesText(item.engine_seconds), bar(item, most))),
      h("td", {}, item.pictures.toLocaleString(language())),
      h("td", {}, bytesText(item.bytes)),
    );
  return [
    adminBar(),
    h(
      "div",
      { class: "fields usage-choice" },
      dayInput("from", from),
      dayInput("to", to),
      field({ name: "group_by", label: () => t("usage.group_by"), input: ways }),
      h("button", { class: "button quiet", onclick: download }, icon("download"), "CSV"),
    ),
    () => answer() && shown(),
    more,
  ];
}

/** How long the time is beside the longest one; the figure before it says the same. @param {any} item @param {number} most */
const bar = (item, most) =>
  svg(
    "svg",
    { viewBox: "0 0 100 6", preserveAspectRatio: "none", class: "measure", "aria-hidden": "true" },
    svg("rect", { width: 100, height: 6, class: "measure-all" }),
    svg("rect", { width: 100 * item.engine_seconds / most, height: 6 }),
  );
