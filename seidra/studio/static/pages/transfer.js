/** In and out: what people bring from elsewhere, and all of it given out again. @module */
import { h } from "../lib/element.js";
import { bytesText, t, timeText } from "../lib/i18n.js";
import { addressOf, openPage, place } from "../lib/router.js";
import { computed, effect, onDispose, signal } from "../lib/signal.js";
import { ask } from "../data/api.js";
import { nsfwShown } from "../data/prefs.js";
import { confirmed, tellError, toast } from "../parts/dialog.js";
import { choice, field, form } from "../parts/field.js";
import { icon } from "../parts/icons.js";
import { tagInput } from "../parts/lists.js";
import { linkOf } from "../parts/picture.js";
import { threads } from "../parts/progress.js";
import { fileButton, formOf, takeDropped } from "../parts/upload.js";
import { exportFields, exportsBegun } from "./exporting.js";
import { planView, statusWords, undoImport } from "./plan.js";

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
            h("button", {
              type: "button",
              class: "round",
              title: t("remove"),
              "aria-label": `${t("remove")}: ${file.name}`,
              onclick: () => files.update((all) => all.filter((each) => each !== file)),
            }, icon("close")),
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
      h("button", {
        class: "round",
        title: t("delete"),
        "aria-label": `${t("delete")}: ${names}`,
        onclick: () => remove(item),
      }, icon("close")),
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
