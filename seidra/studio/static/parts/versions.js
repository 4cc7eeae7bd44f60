/** How a persona was: its versions, what differs in them, and bringing one back. @module */
import { h } from "../lib/element.js";
import { t, timeText } from "../lib/i18n.js";
import { leaveGuards } from "../lib/router.js";
import { computed, effect, signal } from "../lib/signal.js";
import { ask } from "../data/api.js";
import { openQuestion, tellError, toast } from "./dialog.js";

const FIELDS = [
  "name",
  "style_prompt",
  "negative_prompt",
  "description",
  "loras",
  "generation_params",
  "tags",
];
const NAMES =
  /** @type {Record<string, string>} */ ({ generation_params: "persona.parameters", tags: "tags" });

/** @param {string} field */
const named = (field) => t(NAMES[field] ?? `persona.${field}`);

/** @param {number} number */
const titled = (number) => `${t("version")} ${number}`;

/**
 * The versions of a persona, read when they are looked at.
 *
 * @param {() => any} stored the persona as it is stored
 * @param {(persona: any) => void} began told of the persona that was brought back
 */
export function versions(stored, began) {
  const open = signal(false);
  const found = signal(/** @type {any[]} */ ([]));
  const current = computed(() => stored().revision);
  effect(() => {
    current();
    if (!open()) return;
    ask("GET", `/personas/${stored().id}/revisions?limit=100`).then(({ data }) => found.set(data)).catch(
      tellError,
    );
  });

  /** @param {any} persona as it is @param {number} number of what comes back */
  async function restore(persona, number) {
    for (const guard of leaveGuards) if (!(await guard())) return;
    try {
      const { data } = await ask("POST", `/personas/${persona.id}/revisions/${number}/restore`, {
        etag: `"${persona.version}"`,
      });
      began(data);
      toast(t("restored", { n: 1 }), { label: t("undo"), run: () => restore(data, persona.revision) });
    } catch (error) {
      tellError(error);
    }
  }
  /** @param {number} number */
  async function compare(number) {
    const now = stored();
    try {
      const { data: then } = await ask("GET", `/personas/${now.id}/revisions/${number}`);
      const agree = h("button", { class: "button", value: "yes" }, t("trash.restore"));
      if (await openQuestion(titled(number), [comparison(then, now)], agree)) await restore(now, number);
    } catch (error) {
      tellError(error);
    }
  }
  const row = (/** @type {any} */ version) =>
    h(
      "li",
      { class: "access" },
      h(
        "div",
        { class: "job-words" },
        h("strong", {}, titled(version.number), version.is_current && ` · ${t("version.current")}`),
        h(
          "span",
          { class: "mute" },
          [
            timeText(version.at),
            version.by !== "edit" && t(`version.${version.by}`, version),
            version.changed.map(named).join(", "),
          ].filter(Boolean).join(" · "),
        ),
      ),
      !version.is_current && h("button", {
        type: "button",
        class: "button quiet",
        "aria-label": `${t("version.compare")}: ${titled(version.number)}`,
        onclick: () => compare(version.number),
      }, t("version.compare")),
    );
  return h(
    "details",
    { class: "sent", ontoggle: (/** @type {any} */ event) => open.set(event.target.open) },
    h("summary", {}, () => t("versions")),
    h("ul", { class: "plain" }, () => found().map(row)),
  );
}

/** What differs, field by field, then beside now. @param {any} then @param {any} now */
function comparison(then, now) {
  const fields = FIELDS.filter((field) => textOf(then[field]) !== textOf(now[field]));
  if (!fields.length) return h("p", {}, t("version.same"));
  return h(
    "div",
    { class: "compare" },
    ...fields.flatMap((field) => {
      const [before, after] = marked(textOf(then[field]), textOf(now[field]));
      return [
        h("h3", {}, named(field)),
        h("div", {}, h("small", {}, titled(then.number)), h("p", {}, ...before)),
        h("div", {}, h("small", {}, t("version.current")), h("p", {}, ...after)),
      ];
    }),
  );
}

/** A field's value as people read it. @param {any} value @returns {string} */
function textOf(value) {
  if (typeof value === "string") return value;
  if (!Array.isArray(value)) {
    return Object.keys(value).sort().map((name) => {
      const label = t(`parameter.${name}`);
      const text = typeof value[name] === "object" ? JSON.stringify(value[name]) : value[name];
      return `${label.startsWith("parameter.") ? name : label}: ${text}`;
    }).join("\n");
  }
  return value.map((each) =>
    each.name
      ? [each.name, each.weight, each.clip_weight ?? "", each.enabled ? "" : "–"].filter((part) =>
        part !== ""
      )
        .join(" · ")
      : each
  ).join(", ");
}

/**
 * Two texts with what each has alone marked, word by word.
 *
 * @param {string} before
 * @param {string} after
 */
function marked(before, after) {
  const [a, b] = [before, after].map((text) => text.match(/[^\s,]+|[\s,]+/g) ?? []);
  // How many words the rests of both have in common, for each pair of places.
  const width = b.length + 1;
  const common = new Uint16Array((a.length + 1) * width);
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      const at = i * width + j;
      common[at] = a[i] === b[j] ? common[at + width + 1] + 1 : Math.max(common[at + width], common[at + 1]);
    }
  }
  const olds = [], news = [];
  for (let i = 0, j = 0; i < a.length || j < b.length;) {
    const at = i * width + j;
    if (i < a.length && j < b.length && a[i] === b[j]) {
      olds.push(a[i++]);
      news.push(b[j++]);
    } else if (j === b.length || (i < a.length && common[at + width] >= common[at + 1])) {
      olds.push(h("del", {}, a[i++]));
    } else news.push(h("ins", {}, b[j++]));
  }
  return [olds, news];
}
