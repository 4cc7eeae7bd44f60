/** Make pictures: a prompt, with or without a persona; what will be sent is shown before. @module */
import { h } from "../lib/element.js";
import { t } from "../lib/i18n.js";
import { addressOf, place } from "../lib/router.js";
import { computed, effect, signal } from "../lib/signal.js";
import { ask, queryOf } from "../data/api.js";
import { readEngines } from "../data/catalogue.js";
import { jobs, takeJob } from "../data/live.js";
import { nsfwShown } from "../data/prefs.js";
import { tellError } from "../parts/dialog.js";
import { cancelButton } from "../parts/dock.js";
import { choice, field, form } from "../parts/field.js";
import { icon } from "../parts/icons.js";
import { picture, sizesOf } from "../parts/picture.js";
import { failureWords, jobWords, threads } from "../parts/progress.js";

const SIZES = ["", "512x512", "768x768", "1024x1024", "832x1216", "1216x832", "1344x768", "768x1344"];

/** The jobs that were begun here, while the page is open. */
const begun = signal(/** @type {string[]} */ ([]));

export default function create() {
  const errors = signal(/** @type {Record<string, string[]>} */ ({}));
  const persona = signal(/** @type {any} */ (null));
  const draft = signal(/** @type {any} */ (null));
  const engines = signal(/** @type {any[]} */ ([]));
  const asked = signal(/** @type {any} */ ({ prompt: "", count: 1 }));
  readEngines().then(engines.set).catch(() => null);
  const wanted = place.peek().query.get("persona");
  if (wanted) {
    ask("GET", `/personas/${encodeURIComponent(wanted)}`).then(({ data }) => persona.set(data)).catch(() =>
      null
    );
  }

  const put = (/** @type {string} */ name, /** @type {any} */ value) =>
    asked.update((all) => ({ ...all, [name]: value }));
  const body = computed(() => {
    const { prompt, negative_prompt, count, size, seed, engine } = asked();
    const [width, height] = (size || "x").split("x").map(Number);
    return {
      prompt,
      count: Number(count),
      ...(negative_prompt ? { negative_prompt } : {}),
      ...(persona() ? { persona_id: persona().id } : {}),
      ...(size ? { parameters: { width, height } } : {}),
      ...(seed ? { seed } : {}),
      ...(engine ? { engine } : {}),
    };
  });

  // What would be sent, asked once the typing rests.
  let typing = 0;
  effect(() => {
    const now = body();
    clearTimeout(typing);
    if (!now.prompt.trim() && !now.persona_id) return draft.set(null);
    typing = setTimeout(() => {
      ask("POST", "/jobs", { body: { ...now, dry_run: true } })
        .then(({ data }) => (draft.set(data), errors.set({})))
        .catch((error) => (draft.set(null), errors.set(error.errors ?? {})));
    }, 400);
  });

  async function submit() {
    const { data } = await ask("POST", "/jobs", { body: body.peek() });
    takeJob((await ask("GET", `/jobs/${data.job_id}`)).data);
    begun.update((all) => [data.job_id, ...all].slice(0, 12));
  }

  const input = (
    /** @type {string} */ name,
    /** @type {Record<string, any>} */ attributes = {},
    tag = "input",
  ) =>
    h(tag, {
      ...attributes,
      value: asked.peek()[name] ?? "",
      oninput: (/** @type {any} */ e) => put(name, e.target.value),
    });
  const some = (/** @type {string[]} */ values, /** @type {string} */ name) =>
    choice(
      /** @type {Array<[string, () => string]>} */ (values.map((value) => [value, () =>
        value.replace("x", " × ") || t("parameter.default")]
      )),
      { value: asked.peek()[name] ?? "", onchange: (/** @type {any} */ e) => put(name, e.target.value) },
    );

  return [
    h("div", { class: "bar" }, h("h1", {}, () => t("nav.create"))),
    h(
      "div",
      { class: "create" },
      form(
        { class: "editor-form" },
        submit,
        errors,
        h(
          "fieldset",
          {},
          h("legend", {}, () => t("create.what")),
          personaPicker(persona),
          field({
            name: "prompt",
            label: () => t("create.prompt"),
            max: 8000,
            errors,
            input: input("prompt", { rows: 4 }, "textarea"),
          }),
          field({
            name: "negative_prompt",
            label: () => t("persona.negative_prompt"),
            max: 16000,
            errors,
            input: input("negative_prompt", { rows: 2 }, "textarea"),
          }),
          h(
            "div",
            { class: "fields" },
            field({
              name: "count",
              label: () => t("create.count"),
              errors,
              input: input("count", { type: "number", min: 1, max: 8 }),
            }),
            field({ name: "width", label: () => t("create.size"), errors, input: some(SIZES, "size") }),
            field({
              name: "seed",
              label: () => t("parameter.seed"),
              errors,
              input: input("seed", { type: "text", inputmode: "numeric" }),
            }),
            () =>
              field({
                name: "engine",
                label: () => t("parameter.engine"),
                errors,
                input: some(["", ...engines().map(({ name }) => name), "auto"], "engine"),
              }),
          ),
        ),
        () => draft() && sentDraft(draft()),
        h("button", { type: "submit", class: "button wide" }, () => t("create.go")),
      ),
      h(
        "div",
        { class: "results", "aria-live": "polite" },
        () => begun().map((id) => jobs().get(id)).filter(Boolean).map(result),
      ),
    ),
  ];
}

/** What will be sent, and what the engine says of it. @param {any} draft */
function sentDraft(draft) {
  return h(
    "details",
    { class: "sent", open: draft.findings.length > 0 },
    h("summary", {}, t("create.sent", { engine: draft.engine })),
    h("p", {}, draft.prompt),
    draft.negative_prompt &&
      h("p", { class: "mute" }, `${t("persona.negative_prompt")}: ${draft.negative_prompt}`),
    ...draft.findings.map((/** @type {any} */ finding) =>
      h("p", { class: `finding ${finding.level}` }, finding.detail)
    ),
  );
}

/** @param {any} job */
function result(job) {
  const waiting = job.status === "queued" || job.status === "processing";
  return h(
    "article",
    { class: "result" },
    h("div", { class: "row" }, h("p", { class: "result-words" }, job.prompt), waiting && cancelButton(job)),
    !waiting && job.status !== "completed" &&
      h("p", { class: "finding error" }, job.error_message ? failureWords(job) : jobWords(job)),
    waiting && h("p", { class: "mute" }, jobWords(job)),
    threads(() => (job.status === "processing" ? job : undefined)),
    h(
      "div",
      { class: "result-pictures" },
      ...job.results.map((/** @type {any} */ made) =>
        h(
          "a",
          { href: addressOf(`/gallery/${made.media_id}`), "aria-label": t("picture.open") },
          picture(sizesOf(made, true), { isNsfw: job.is_nsfw }),
        )
      ),
    ),
  );
}

/** A persona's name, and whose it is where it is another's. @param {any} persona */
const withOwner = ({ name, is_mine, owner }) =>
  is_mine ? name : `${name} · ${t("share.by", { name: owner.username })}`;

/** A persona, found by writing a part of its name. @param {import("../lib/signal.js").Signal<any>} persona */
function personaPicker(persona) {
  const found = signal(/** @type {any[]} */ ([]));
  let typing = 0;
  const search = h("input", {
    type: "text",
    role: "combobox",
    autocomplete: "off",
    "aria-expanded": () => String(found().length > 0),
    "aria-controls": "persona-options",
    placeholder: () => t("create.find_persona"),
    oninput: () => {
      clearTimeout(typing);
      typing = setTimeout(() => {
        const asked = {
          search: search.value.trim(),
          limit: 8,
          include_nsfw: nsfwShown.peek(),
          fields: "card",
          scope: "all",
        };
        ask("GET", `/personas${queryOf(asked)}`).then(({ data }) => found.set(data)).catch(tellError);
      }, 180);
    },
    onfocus: () => search.dispatchEvent(new Event("input")),
    onkeydown: (/** @type {KeyboardEvent} */ event) => {
      if (event.key === "Escape") found.set([]);
      if (event.key === "ArrowDown") {
        event.preventDefault();
        /** @type {HTMLElement | null} */ (document.querySelector("#persona-options button"))?.focus();
      }
    },
  });
  const choose = (/** @type {any} */ one) => {
    persona.set(one);
    found.set([]);
    search.value = "";
  };
  return h(
    "div",
    { class: "picker" },
    field({ name: "persona_id", label: () => t("create.persona"), input: search }),
    () =>
      persona() &&
      h(
        "button",
        {
          type: "button",
          class: "chip on",
          "aria-label": `${t("remove")}: ${persona().name}`,
          onclick: () => persona.set(null),
        },
        withOwner(persona()),
        icon("close"),
      ),
    h(
      "div",
      { id: "persona-options", role: "listbox", class: "options", hidden: () => !found().length },
      () =>
        found().map((one) =>
          h("button", {
            type: "button",
            role: "option",
            "aria-selected": "false",
            onclick: () => choose(one),
          }, withOwner(one))
        ),
    ),
  );
}
