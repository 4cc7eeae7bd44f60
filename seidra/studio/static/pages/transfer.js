/** In and out: what people bring from elsewhere, its plan, and all of it given out again. @module */
import { h } from "../lib/element.js";
import { bytesText, t, timeText } from "../lib/i18n.js";
import { addressOf, openPage, place } from "../lib/router.js";
import { computed, effect, onDispose, signal } from "../lib/signal.js";
import { ask, queryOf } from "../data/api.js";
import { libraryChanges } from "../data/catalogue.js";
import { nsfwShown } from "../data/prefs.js";
import { confirmed, tellError, toast } from "../parts/dialog.js";
import { choice, field, form } from "../parts/field.js";
import { chip } from "../parts/filters.js";
import { icon, roundButton } from "../parts/icons.js";
import { tagInput } from "../parts/lists.js";
import { linkOf } from "../parts/picture.js";
import { threads } from "../parts/progress.js";
import { fileButton, formOf, takeDropped } from "../parts/upload.js";
import { named, sideBySide, textOf } from "../parts/versions.js";
import { exportFields, exportsBegun } from "./exporting.js";

/** What a file may be said to be; else its content says it. */
const FORMATS = [
  "a1111",
  "card",
  "fooocus",
  "fooocus-preset",
  "infotext",
  "invokeai",
  "picture",
  "sdnext",
  "seidra",
  "sidecar",
  "swarmui",
];

/** Milliseconds between two looks at what is being made. */
const LOOK = 1000;

export default function transfer() {
  const chosen = computed(() => (place().path === "/transfer" ? place().query.get("import") : null));
  return [
    h(
      "div",
      { class: "bar" },
      h("h1", {}, () => t("nav.transfer")),
      () => chosen() && h("a", { class: "button quiet", href: addressOf("/transfer") }, t("transfer.all")),
    ),
    () => {
      const id = chosen();
      return id ? planView(id) : [h("div", { class: "columns wide" }, bringing(), giving()), imports()];
    },
  ];
}

/** The form of what is brought in; ends at its plan. */
function bringing() {
  const errors = signal(/** @type {Record<string, string[]>} */ ({}));
  const files = signal(/** @type {File[]} */ ([]));
  const tags = signal(/** @type {string[]} */ ([]));
  const over = signal(false);
  const text = h("textarea", { rows: 3, maxlength: 1_000_000 });
  const encoding = h("input", { type: "text", maxlength: 40, placeholder: "utf-8" });
  const format = choice(
    [
      ["auto", () => t("transfer.auto")],
      ...FORMATS.map((name) => /** @type {[string, () => string]} */ ([name, () => name])),
    ],
    {},
  );
  const conflicts = choice(
    [
      ["", () => t("plan.conflict")],
      ...["update", "copy", "skip"].map((
        name,
      ) => /** @type {[string, () => string]} */ ([name, () => t(`plan.${name}`)])),
    ],
    {},
  );
  const nsfw = h("input", { type: "checkbox" });
  const add = (/** @type {File[]} */ more) => files.update((all) => [...all, ...more]);
  takeDropped(add, over.set);

  async function submit() {
    const values = {
      format: format.value,
      encoding: encoding.value || null,
      on_conflict: conflicts.value || null,
      tags: tags.peek(),
      is_nsfw: nsfw.checked || null,
    };
    const body = files.peek().length ? formOf(values, files.peek()) : {
      ...Object.fromEntries(Object.entries(values).filter(([, value]) => value !== null)),
      text: text.value,
    };
    const { data } = await ask("POST", "/imports", { body });
    openPage(`/transfer?import=${data.id}`);
  }
  const ofFiles = () =>
    Object.entries(errors()).filter(([name]) => name.startsWith("file")).flatMap(([, texts]) => texts);
  return form(
    { class: "stack" },
    submit,
    errors,
    h(
      "fieldset",
      {},
      h("legend", {}, () => t("transfer.in")),
      h(
        "div",
        { class: () => (over() ? "drop over" : "drop") },
        h("p", {}, () => t("transfer.drop")),
        h("div", { class: "row" }, fileButton(() => t("transfer.choose"), add, { multiple: true })),
        h("p", { class: "mute" }, () => t("transfer.kinds")),
      ),
      h("ul", { class: "plain" }, () =>
        files().map((file) =>
          h(
            "li",
            { class: "access" },
            h("span", { class: "job-words" }, `${file.name} · ${bytesText(file.size)}`),
            roundButton("close", "remove", () =>
              files.update((all) => all.filter((each) => each !== file)), file.name),
          )
        )),
      () => ofFiles().map((words) => h("p", { class: "finding error" }, words)),
      () => !files().length && field({ name: "text", label: () => t("transfer.text"), input: text, errors }),
      h(
        "details",
        {},
        h("summary", {}, () => t("transfer.options")),
        h(
          "div",
          { class: "stack options-stack" },
          field({ name: "on_conflict", label: () => t("plan.kind.conflict"), input: conflicts, errors }),
          h(
            "div",
            { class: "pair" },
            field({ name: "format", label: () => t("export.format"), input: format, errors }),
            field({ name: "encoding", label: () => t("transfer.encoding"), input: encoding, errors }),
          ),
          h("div", { role: "group", "aria-label": () => t("tags") }, tagInput(tags)),
          () => nsfwShown() && h("label", { class: "check" }, nsfw, h("span", {}, t("transfer.is_nsfw"))),
        ),
      ),
      h("div", { class: "row" }, h("button", { class: "button", type: "submit" }, () => t("transfer.plan"))),
    ),
  );
}

/** What is given out: everything, or by way of the personas' page what a filter finds; and what was asked for. */
function giving() {
  const { element, make } = exportFields({ everything: true });
  return h(
    "fieldset",
    {},
    h("legend", {}, () => t("transfer.out")),
    h("p", { class: "mute" }, () => t("transfer.out_words")),
    element,
    h(
      "div",
      { class: "row" },
      h("button", { class: "button", type: "button", onclick: make }, () => t("export.all")),
      h("a", { class: "button quiet", href: addressOf("/personas") }, () => t("export.some")),
    ),
    made(),
  );
}

/** The exports that a worker makes, as far as they are. */
function made() {
  const items = signal(/** @type {any[]} */ ([]));
  const ids = computed(() => items().map(({ id }) => id).join(" "));
  let waiting = 0;
  const read = () =>
    ask("GET", "/exports?limit=20").then(({ data }) => {
      items.set(data.items);
      clearTimeout(waiting);
      if (data.items.some(isRunning)) waiting = setTimeout(read, LOOK);
    }).catch(tellError);
  effect(() => {
    exportsBegun();
    read();
  });
  onDispose(() => clearTimeout(waiting));
  const row = (/** @type {string} */ id) => {
    const item = () => items().find((each) => each.id === id) ?? {};
    const running = computed(() => isRunning(item()));
    const remove = () => ask("DELETE", `/exports/${id}`).then(read).catch(tellError);
    return h(
      "li",
      { class: "job wraps" },
      h(
        "div",
        { class: "job-words" },
        h("strong", {}, () => item().file_name ?? item().to ?? ""),
        h("span", { role: "status", class: "mute" }, () => exportWords(item())),
        threads(() => (running() ? item() : undefined)),
      ),
      () =>
        item().download_url &&
        h("a", { class: "button", href: linkOf(item().download_url), download: "" }, t("download")),
      h("button", {
        type: "button",
        class: "round",
        title: () => t("delete"),
        "aria-label": () => `${t("delete")}: ${item().file_name ?? item().to ?? ""}`,
        onclick: remove,
      }, icon("close")),
    );
  };
  return h("ul", { class: "plain" }, () => ids().split(" ").filter(Boolean).map(row));
}

/** @param {any} item */
const isRunning = ({ status }) => status === "queued" || status === "processing";

/** How far an export is. @param {any} item */
function exportWords(item) {
  if (item.status === "failed") return item.error_message ?? t("job.failed");
  if (item.status === "completed") return bytesText(item.file_size);
  return item.status ? t("transfer.progress", { done: item.done, total: item.total }) : "";
}

/** Earlier imports: looked at, taken back, forgotten. */
function imports() {
  const items = signal(/** @type {any[]} */ ([]));
  const total = signal(0);
  const read = (from = 0) =>
    ask("GET", `/imports?limit=20&offset=${from}`).then(({ data }) => {
      items.update((old) => [...(from ? old : []), ...data.items]);
      total.set(data.total);
    }).catch(tellError);
  read();
  /** @param {any} item */
  async function remove(item) {
    if (item.status === "applied" && !(await confirmed(t("transfer.forget_question"), t("delete")))) return;
    await ask("DELETE", `/imports/${item.id}`).catch(tellError);
    read();
  }
  /** @param {any} item */
  async function undo(item) {
    await undoImport(item.id, `"${item.version}"`).then(() => toast(t("import.undone"))).catch(tellError);
    read();
  }
  const row = (/** @type {any} */ item) => {
    const names = item.files.map((/** @type {any} */ file) => file.name).join(", ");
    return h(
      "li",
      { class: "job wraps" },
      h(
        "div",
        { class: "job-words" },
        h("a", { href: addressOf(`/transfer?import=${item.id}`) }, names || t("transfer.text")),
        h("span", { class: "mute" }, `${statusWords(item)} · ${timeText(item.created_at)}`),
      ),
      item.status === "applied" &&
        h("button", {
          class: "button quiet",
          "aria-label": `${t("undo")}: ${names}`,
          onclick: () => undo(item),
        }, t("undo")),
      roundButton("close", "delete", () => remove(item), names),
    );
  };
  return [
    () => items().length > 0 && h("h2", {}, t("transfer.earlier")),
    h("ul", { class: "job-list" }, () => items().map(row)),
    () =>
      items().length < total() &&
      h("button", { class: "button quiet", onclick: () => read(items.peek().length) }, t("more")),
  ];
}

/** Entries that are shown at once, and that are read at once where all of an action are chosen for. */
const [PAGE, MOST] = [50, 100];

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
const statusWords = (plan) =>
  `${t(`import.${plan.status}`)} · ${t("plan.entries", { n: plan.progress.total })}`;

/**
 * Begin to take an import back.
 *
 * @param {string} id
 * @param {string} etag
 */
async function undoImport(id, etag) {
  const answer = await ask("POST", `/imports/${id}/undo`, { etag });
  libraryChanges.update((n) => n + 1);
  return answer;
}

/**
 * The plan of an import, entry by entry: what it would do, what its owner chooses, and what became of it.
 *
 * @param {string} id
 */
function planView(id) {
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
      which.set("");
      from.set(0);
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
        h("ul", { class: "plain plan-kinds" }, () => open() && counts() && kinds()),
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

/** What became of an import, and until when something can be done with it. @param {any} plan */
const endWords = (plan) =>
  [
    "",
    ...Object.entries(plan.summary.results).map(([key, n]) => {
      const [action, state] = key.split("_").reverse();
      const words = `${t(`plan.kind.${action}`)}: ${n.toLocaleString()}`;
      return state ? `${t(`state.${state}`)}: ${words}` : words;
    }),
    ...(plan.status === "planned" || plan.status === "applied"
      ? [t("key.expires", { time: timeText(plan.expires_at) })]
      : []),
  ].join(" · ");

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
