/** How a persona was: its versions, what differs in them, and bringing one back. @module */
import { h } from "../lib/element.js";
import { t, timeText } from "../lib/i18n.js";
import { leaveGuards } from "../lib/router.js";
import { effect, signal } from "../lib/signal.js";
import { ask } from "../data/api.js";
import { openQuestion, tellError, toast } from "./dialog.js";

/** What a field is called: also a parameter, by its dotted name. @param {string} field */
export function named(field) {
  const parameter = field.replace("generation_params.", "");
  const key = field === "tags" ? field : `${parameter === field ? "persona" : "parameter"}.${parameter}`;
  return t(key) === key ? parameter : t(key);
}

/** @param {number} number */
const titled = (number) => `${t("version")} ${number}`;

/**
 * The versions of a persona, read when they are looked at.
 *
 * @param {() => any} stored the persona as it is stored
 * @param {string[]} fields that are compared
 * @param {(persona: any) => void} began told of the persona that was brought back
 */
export function versions(stored, fields, began) {
  const open = signal(false);
  const found = signal(/** @type {any[]} */ ([]));
  effect(() => {
    if (!open()) return;
    ask("GET", `/personas/${stored().id}/revisions?limit=100`).then(({ data }) => found.set(data)).catch(
      tellError,
    );
  });

  /** @param {any} persona as it is @param {number} number of what comes back */
  async function restore(persona, number) {
    for (const guard of leaveGuards) if (!(await guard())) return;
    await ask("POST", `/personas/${persona.id}/revisions/${number}/restore`, {
      etag: `"${persona.version}"`,
    }).then(({ data }) => {
      began(data);
      toast(t("restored", { n: 1 }), { label: t("undo"), run: () => restore(data, persona.revision) });
    }).catch(tellError);
  }
  /** @param {number} number */
  async function compare(number) {
    const now = stored();
    await ask("GET", `/personas/${now.id}/revisions/${number}`).then(async ({ data }) => {
      const agree = h("button", { class: "button", value: "yes" }, t("trash.restore"));
      const differences = comparison(data, now, fields);
      if (await openQuestion(titled(number), [differences], agree)) await restore(now, number);
    }).catch(tellError);
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

/**
 * What differs, field by field, then beside now.
 *
 * @param {any} then
 * @param {any} now
 * @param {string[]} fields
 */
function comparison(then, now, fields) {
  const other = fields.filter((field) => textOf(then[field]) !== textOf(now[field]));
  if (!other.length) return h("p", {}, t("version.same"));
  return h(
    "div",
    { class: "compare" },
    ...other.flatMap((field) =>
      sideBySide(field, [[titled(then.number), then[field]], [t("version.current"), now[field]]])
    ),
  );
}

/**
 * A field as it is on two sides, what differs marked.
 *
 * @param {string} field
 * @param {Array<[string, any]>} sides what each is called, and its value
 */
export function sideBySide(field, [[then, before], [now, after]]) {
  const [old, fresh] = [before, after].map((value) => textOf(value).match(/[^\s,]+|[\s,]+/g) ?? []);
  return [
    h("h3", {}, named(field)),
    h("p", {}, label(then), marked("del", old, fresh)),
    h("p", {}, label(now), marked("ins", fresh, old)),
  ];
}

/** @param {string} text */
const label = (text) => h("span", { class: "mute" }, text, h("br"));

/** A field's value as people read it. @param {any} value @returns {string} */
export function textOf(value) {
  if (value === null || typeof value !== "object") return String(value ?? "");
  if (Array.isArray(value)) {
    return value.map((each) =>
      each.name ? Object.values(each).filter((part) => part !== true).join(" ") : each
    )
      .join(", ");
  }
  return Object.entries(value).sort().map(([name, each]) =>
    `${t(`parameter.${name}`).replace("parameter.", "")}: ${
      typeof each === "object" ? JSON.stringify(each) : each
    }`
  ).join("\n");
}

/**
 * A text whose words are marked where the other one does not have them.
 *
 * @param {string} tag
 * @param {string[]} words
 * @param {string[]} others
 */
const marked = (tag, words, others) =>
  words.map((word) => (others.includes(word) || !/[^\s,]/.test(word) ? word : h(tag, {}, word)));
