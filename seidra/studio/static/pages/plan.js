/** The plan of an import, entry by entry: what it would do, what its owner chooses, and what became of it. @module */
import { h } from "../lib/element.js";
import { t, timeText } from "../lib/i18n.js";
import { addressOf } from "../lib/router.js";
import { computed, effect, onDispose, signal } from "../lib/signal.js";
import { ask, queryOf } from "../data/api.js";
import { libraryChanges } from "../data/catalogue.js";
import { tellError, toast } from "../parts/dialog.js";
import { choice } from "../parts/field.js";
import { chip } from "../parts/filters.js";
import { threads } from "../parts/progress.js";
import { named, sideBySide, textOf } from "../parts/versions.js";

/** Entries that are shown at once, and that are read at once where all of an action are chosen for. */
const [PAGE, MOST] = [50, 100];

/** Milliseconds between two looks at what is being applied. */
const LOOK = 700;

/** What a plan may do, what is to be decided first. */
const ACTIONS = ["conflict", "error", "update", "create", "skip", "unchanged"];

/** What may be chosen for all entries of an action. @type {Record<string, string[]>} */
const CHOICES = {
  create: ["create", "skip"],
  update: ["update", "copy", "skip"],
  conflict: ["conflict", "update", "copy", "skip"],
  unchanged: ["unchanged", "copy", "skip"],
};

/** Fields of an entry that are shown as they would be. */
const SHOWN = ["style_prompt", "negative_prompt", "description", "loras", "generation_params", "tags"];

/** @param {string} status */
const isWorking = (status) => status === "applying" || status === "undoing";

/** How an import stands, in words. @param {any} plan */
export const statusWords = (plan) =>
  `${t(`import.${plan.status}`)} · ${t("plan.entries", { n: plan.progress.total })}`;

/**
 * Begin to take an import back.
 *
 * @param {string} id
 * @param {string} etag
 */
export async function undoImport(id, etag) {
  const answer = await ask("POST", `/imports/${id}/undo`, { etag });
  libraryChanges.update((n) => n + 1);
  return answer;
}

/** @param {string} id */
export function planView(id) {
  const plan = signal(/** @type {any} */ (null));
  const entries = signal(/** @type {any[]} */ ([]));
  const total = signal(0);
  const which = signal("");
  const from = signal(0);
  /** What was chosen for single entries. @type {import("../lib/signal.js").Signal<Map<number, { action: string, chosen: string }>>} */
  const choices = signal(new Map());
  /** What was chosen for all entries of an action. */
  const rules = signal(/** @type {Record<string, string>} */ ({}));
  const errors = signal(/** @type {Record<string, string[]>} */ ({}));
  const refused = signal("");
  const status = computed(() => plan()?.status ?? "");
  const open = computed(() => status() === "planned" || status() === "failed");
  let etag = "";
  let waiting = 0;
  let asked = 0;

  async function read() {
    const mine = ++asked;
    clearTimeout(waiting);
    const query = queryOf({ action: which.peek(), limit: PAGE, offset: from.peek() });
    const answer = await ask("GET", `/imports/${encodeURIComponent(id)}${query}`);
    if (mine === asked) take(answer);
  }
  /** @param {import("../data/api.js").Answer} answer */
  function take(answer) {
    const was = status.peek();
    etag = answer.etag;
    entries.set(answer.data.entries);
    total.set(answer.total);
    plan.set(answer.data);
    if (isWorking(answer.data.status)) waiting = setTimeout(() => read().catch(tellError), LOOK);
    else if (isWorking(was)) ended();
  }
  function ended() {
    libraryChanges.update((n) => n + 1);
    if (status.peek() === "applied") toast(t("import.applied"), { label: t("undo"), run: undo });
    else if (status.peek() === "undone") toast(t("import.undone"));
  }
  effect(() => {
    which();
    from();
    read().catch(tellError);
  });
  onDispose(() => {
    asked++;
    clearTimeout(waiting);
  });

  const chosenFor = (/** @type {any} */ entry) =>
    choices().get(entry.index)?.chosen ?? rules()[entry.action] ?? entry.action;
  const undecided = computed(() => {
    if (rules().conflict && rules().conflict !== "conflict") return 0;
    const decided = [...choices().values()].filter((each) => each.action === "conflict").length;
    return (plan()?.summary.actions.conflict ?? 0) - decided;
  });
  /** @param {any} entry @param {string} chosen */
  function choose(entry, chosen) {
    choices.update((all) => {
      const next = new Map(all);
      if (chosen === entry.action) next.delete(entry.index);
      if (chosen !== entry.action || rules.peek()[entry.action]) {
        next.set(entry.index, { action: entry.action, chosen });
      }
      if (chosen === "conflict") next.delete(entry.index);
      return next;
    });
  }
  /** For all of an action, single ones among them too. @param {string} action @param {string} chosen */
  function chooseAll(action, chosen) {
    choices.update((all) => new Map([...all].filter(([, each]) => each.action !== action)));
    rules.update((all) => ({ ...all, [action]: chosen }));
  }
  /** What the server is told: each entry that is to be another thing than planned. */
  async function decisions() {
    const told = /** @type {Record<string, string>} */ ({});
    for (const [action, chosen] of Object.entries(rules.peek())) {
      if (chosen === action || action === "conflict") continue;
      for (let offset = 0, n = 1; offset < n; offset += MOST) {
        const query = queryOf({ action, limit: MOST, offset });
        const answer = await ask("GET", `/imports/${id}${query}`);
        for (const { index } of answer.data.entries) told[index] = chosen;
        n = answer.total;
      }
    }
    for (const [index, { chosen }] of choices.peek()) told[index] = chosen;
    const { conflict } = rules.peek();
    return {
      // A copy beside what is there is made anew.
      choices: Object.fromEntries(
        Object.entries(told).filter(([, chosen]) => chosen !== "unchanged").map(([index, chosen]) => [
          index,
          chosen === "copy" ? "create" : chosen,
        ]),
      ),
      ...(conflict && conflict !== "conflict" ? { on_conflict: conflict } : {}),
    };
  }
  /** @param {() => Promise<import("../data/api.js").Answer>} action */
  async function begin(action) {
    errors.set({});
    refused.set("");
    const was = plan.peek();
    plan.set({ ...was, status: "applying" });
    try {
      const { data } = await action();
      plan.set({ ...plan.peek(), progress: data.progress });
      await read();
    } catch (/** @type {any} */ error) {
      plan.set(was);
      errors.set(error.errors ?? {});
      if (error.status) refused.set(error.message);
      else tellError(error);
    }
  }
  function apply() {
    if (undecided.peek() > 0) {
      which.set("conflict");
      from.set(0);
      refused.set(t("plan.undecided", { n: undecided.peek() }));
      return;
    }
    begin(async () => ask("POST", `/imports/${id}/apply`, { body: await decisions(), etag }));
  }
  const undo = () => begin(() => undoImport(id, etag));

  const kinds = () =>
    ACTIONS.filter((action) => plan()?.summary.actions[action]).map((action) =>
      h(
        "li",
        { class: "row" },
        chip(
          () => which() === action,
          () => t(`plan.kind.${action}`),
          () => (from.set(0), which.set(which.peek() === action ? "" : action)),
          plan.peek().summary.actions[action].toLocaleString(),
        ),
        () =>
          open() && CHOICES[action] &&
          choice(CHOICES[action].map((name) => [name, () => t(`plan.${name}`)]), {
            "aria-label": t("plan.for_all", { kind: t(`plan.kind.${action}`) }),
            value: () => rules()[action] ?? action,
            onchange: (/** @type {any} */ event) => chooseAll(action, event.target.value),
          }),
      )
    );

  const known = computed(() => Boolean(plan()));
  const counts = computed(() => JSON.stringify(plan()?.summary.actions));
  const pages = () =>
    total() > PAGE &&
    h(
      "div",
      { class: "row" },
      h("button", {
        class: "button quiet",
        disabled: from() === 0,
        onclick: () => from.update((n) => n - PAGE),
      }, t("previous")),
      h(
        "span",
        { class: "mute" },
        t("plan.page", {
          first: from() + 1,
          last: Math.min(from() + PAGE, total()),
          total: total(),
        }),
      ),
      h("button", {
        class: "button quiet",
        disabled: from() + PAGE >= total(),
        onclick: () => from.update((n) => n + PAGE),
      }, t("next")),
    );

  return [
    () =>
      known() &&
      h(
        "div",
        { class: "stack plan" },
        h(
          "p",
          { class: "mute" },
          plan.peek().files.map((/** @type {any} */ file) => `${file.name} · ${file.tool}`).join(", "),
        ),
        plan.peek().files.flatMap((/** @type {any} */ file) => file.warnings).map(remark),
        h("ul", { class: "plain plan-kinds" }, () => counts() && kinds()),
        h("p", { role: "status" }, () =>
          isWorking(status())
            ? t("transfer.progress", plan().progress)
            : `${statusWords(plan())}${endWords(plan())}`),
        threads(() =>
          isWorking(status())
            ? { progress: plan().progress.done / Math.max(1, plan().progress.total) }
            : undefined
        ),
        h("p", { class: "refused", role: "alert" }, () =>
          refused() || (status() === "failed" ? plan().error_message : "")),
        h("ul", { class: "job-list" }, () =>
          entries().map((entry) =>
            entryRow(entry, { open, chosenFor, choose, errors })
          )),
        pages,
        () =>
          (open() || status() === "applied") &&
          h(
            "div",
            { class: "save-bar" },
            h("span", {}, () =>
              !open()
                ? t("import.applied")
                : undecided() > 0
                ? t("plan.undecided", { n: undecided() })
                : t("plan.ready")),
            open()
              ? h("button", { class: "button", onclick: apply }, t("plan.apply"))
              : h("button", { class: "button quiet", onclick: undo }, t("undo")),
          ),
      ),
  ];
}

/** Until when something can be done with an import. @param {any} plan */
const endWords = (plan) =>
  plan.status === "planned" || plan.status === "applied"
    ? ` · ${t("key.expires", { time: timeText(plan.expires_at) })}`
    : "";

/** @param {{ detail: string }} warning */
const remark = ({ detail }) => h("p", { class: "finding warning" }, detail);

/**
 * @param {any} entry
 * @param {{ open: () => boolean, chosenFor: (entry: any) => string, choose: (entry: any, chosen: string) => void, errors: () => Record<string, string[]> }} plan
 */
function entryRow(entry, { open, chosenFor, choose, errors }) {
  const { fields, diff, persona_id: id } = entry;
  const allowed = entry.action === "error"
    ? []
    : [...new Set([entry.action, ...(id === null ? ["create"] : ["update", "copy"]), "skip"])];
  const words = [
    entry.locator,
    entry.match && t(`match.${entry.match}`),
    entry.has_picture && t("plan.picture"),
    entry.is_nsfw && "NSFW",
  ];
  const name = entry.name || entry.locator;
  const wrong = () => errors()[`choices.${entry.index}`] ?? [];
  return h(
    "li",
    { class: "job wraps entry" },
    h(
      "div",
      { class: "job-words" },
      id === null || entry.state === "undone"
        ? h("strong", {}, name)
        : h("a", { href: addressOf(`/personas/${id}`) }, name),
      h("span", { class: "mute" }, words.filter(Boolean).join(" · ")),
    ),
    () =>
      open() && entry.state === "planned" && allowed.length > 0
        ? choice(allowed.map((each) => [each, () => t(`plan.${each}`)]), {
          "aria-label": t("plan.for_one", { name }),
          value: () => chosenFor(entry),
          onchange: (/** @type {any} */ event) => choose(entry, event.target.value),
        })
        : h(
          "span",
          { class: "mute" },
          t(entry.state === "planned" ? `plan.${entry.action}` : `state.${entry.state}`),
        ),
    h(
      "div",
      { class: "entry-more" },
      entry.error && h("p", { class: "finding error" }, entry.error.detail),
      () => wrong().map((text) => h("p", { class: "finding error" }, text)),
      entry.note && h("p", { class: "finding warning" }, t(`note.${entry.note}`)),
      entry.warnings.map(remark),
      entry.lost.length > 0 &&
        h("p", { class: "finding warning" }, `${t("plan.lost")} ${entry.lost.join(", ")}`),
      diff.length > 0 &&
        h(
          "div",
          { class: "compare" },
          diff.flatMap((/** @type {any} */ each) => [
            ...sideBySide(each.field, [
              [t("plan.here"), each.here],
              [t("plan.there"), each.there],
            ]),
            h(
              "p",
              { class: each.outcome === "conflict" ? "finding warning outcome" : "mute outcome" },
              t(`outcome.${each.outcome}`),
            ),
          ]),
        ),
      Object.keys(fields).length > 0 &&
        h(
          "details",
          {},
          h("summary", {}, t("plan.says")),
          h(
            "dl",
            { class: "facts" },
            SHOWN.filter((field) => textOf(fields[field] ?? null)).flatMap((field) => [
              h("dt", {}, named(field)),
              h("dd", {}, textOf(fields[field])),
            ]),
          ),
        ),
    ),
  );
}
