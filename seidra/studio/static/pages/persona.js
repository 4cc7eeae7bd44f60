/** A persona: its look, its stage, and the pictures that were made of it. @module */
import { h } from "../lib/element.js";
import { t } from "../lib/i18n.js";
import { addressOf, leaveGuards, openPage } from "../lib/router.js";
import { computed, effect, onDispose, signal } from "../lib/signal.js";
import { ask, queryOf } from "../data/api.js";
import { readEngines, readNames } from "../data/catalogue.js";
import { endListeners, jobs } from "../data/live.js";
import { nsfwLooks, nsfwSettings, nsfwShown } from "../data/prefs.js";
import { mayShare } from "../data/rights.js";
import { coverSizes, queuePreview } from "../parts/card.js";
import { confirmed, tellError, toast } from "../parts/dialog.js";
import { check, field, form } from "../parts/field.js";
import { icon } from "../parts/icons.js";
import { loraInput, tagInput } from "../parts/lists.js";
import { parameterFields } from "../parts/parameters.js";
import { picture } from "../parts/picture.js";
import { stage } from "../parts/stage.js";
import { fileButton, formOf, PICTURES } from "../parts/upload.js";
import { versions } from "../parts/versions.js";
import { forgetItem } from "../data/trash.js";

const FIELDS = [
  "name",
  "description",
  "style_prompt",
  "negative_prompt",
  "loras",
  "generation_params",
  "tags",
  "is_nsfw",
  "visibility",
];
const EMPTY = {
  name: "",
  description: "",
  style_prompt: "",
  negative_prompt: "",
  loras: [],
  generation_params: {},
  tags: [],
  is_nsfw: false,
  is_favorite: false,
  visibility: "private",
};

/** @param {import("../lib/signal.js").Signal<Record<string, string>>} parts */
export default function persona(parts) {
  const { id } = parts.peek();
  const stored = signal(/** @type {any} */ (id === "new" ? EMPTY : null));
  let build = editor;
  const missing = signal(false);
  if (id !== "new") {
    ask("GET", `/personas/${encodeURIComponent(id)}`).then(async ({ data }) => {
      if (!data.is_mine) build = (await import("./shared.js")).sharedPersona;
      stored.set(data);
    }).catch((error) => (error.status === 404 ? missing.set(true) : tellError(error)));
  }
  return [
    () => missing() && h("p", { class: "empty-words" }, t("page.missing")),
    () =>
      stored() && build(stored.peek(), (next) => {
        missing.set(!next);
        stored.set(next);
      }),
  ];
}

/**
 * @param {any} start the persona as it is stored
 * @param {(persona: any) => void} began told of what is stored when the form must begin anew; null when
 *   it may be seen no longer
 */
function editor(start, began) {
  const isNew = !start.id;
  const stored = signal(start);
  const draft = signal(/** @type {any} */ ({ ...start }));
  const errors = signal(/** @type {Record<string, string[]>} */ ({}));
  const put = (/** @type {string} */ name, /** @type {any} */ value) =>
    draft.update((all) => ({ ...all, [name]: value }));
  const changes = computed(() =>
    FIELDS.filter((name) => JSON.stringify(draft()[name]) !== JSON.stringify(stored()[name]))
  );
  const previewId = signal(/** @type {string | null} */ (null));
  const job = computed(() => {
    const mine = previewId();
    if (mine) return jobs().get(mine);
    return [...jobs().values()].find((each) =>
      each.persona_id === stored().id && each.status === "processing"
    );
  });
  // Nothing is left to save.
  const settle = () => stored.set(draft.peek());
  const revised = computed(() => stored().revision > 1);
  const tags = signal(start.tags);
  const loras = signal(start.loras);
  const parameters = signal(start.generation_params);
  effect(() => nsfwSettings() && !nsfwShown() && stored().is_nsfw && !isNew && began(null));
  effect(() => {
    if (!nsfwLooks() || !stored.peek().is_nsfw || isNew) return;
    ask("GET", `/personas/${stored.peek().id}`).catch((error) => error.status === 404 && began(null));
  });
  effect(() => put("tags", tags()));
  effect(() => put("loras", loras()));
  effect(() => put("generation_params", parameters()));

  const guard = () => changes.peek().length === 0 || confirmed(t("unsaved.question"), t("unsaved.leave"));
  const unload = (/** @type {BeforeUnloadEvent} */ event) => changes.peek().length && event.preventDefault();
  leaveGuards.add(guard);
  addEventListener("beforeunload", unload);
  onDispose(() => {
    leaveGuards.delete(guard);
    removeEventListener("beforeunload", unload);
  });

  async function save() {
    const body = Object.fromEntries(changes.peek().map((name) => [name, draft.peek()[name]]));
    if (isNew) {
      const { data } = await ask("POST", "/personas", { body });
      settle();
      toast(t("saved"));
      await openPage(`/personas/${data.id}`, { replace: true });
      return data;
    }
    try {
      const { data } = await ask("PATCH", `/personas/${stored.peek().id}`, {
        body,
        etag: `"${stored.peek().version}"`,
      });
      stored.set(data);
      draft.update((all) => ({ ...all, ...pick(data) }));
      for (const warning of data.warnings ?? []) toast(warning.detail);
      toast(t("saved"));
      return data;
    } catch (/** @type {any} */ error) {
      if (error.status !== 412) throw error;
      const { data } = await ask("GET", `/personas/${stored.peek().id}`);
      if (await confirmed(t("conflict.question"), t("conflict.mine"))) {
        stored.update((all) => ({ ...all, version: data.version }));
        return save();
      }
      settle();
      began(data);
      return null;
    }
  }

  async function preview() {
    try {
      errors.set({});
      // What is not saved is previewed as it is, and stays unsaved.
      const begun = await (changes.peek().length || isNew
        ? queuePreview("/previews", { persona: pick(draft.peek()), persona_id: start.id ?? null })
        : queuePreview(`/personas/${start.id}/preview`));
      previewId.set(begun.job_id);
    } catch (/** @type {any} */ error) {
      errors.set(error.errors ?? {});
      tellError(error);
    }
  }

  const giveOut = async () => (await import("./exporting.js")).askExport({ ids: [start.id] });
  /** Make a square of a file the persona's picture. @param {File[]} files */
  async function takePicture([file]) {
    try {
      const chosen = await (await import("./crop.js")).chooseSquare(file);
      if (!chosen) return;
      const body = formOf({ persona_id: start.id }, [file]);
      const { data: item } = await ask("POST", "/media", { body });
      const { data } = await ask("PUT", `/personas/${start.id}/avatar`, {
        body: { media_id: item.id, ...chosen },
        etag: `"${stored.peek().version}"`,
      });
      stored.update((all) => ({ ...all, ...data }));
      toast(t("saved"));
    } catch (error) {
      tellError(error);
    }
  }

  const keys = (/** @type {KeyboardEvent} */ event) => {
    if (!(event.ctrlKey || event.metaKey)) return;
    if (event.key === "s") {
      event.preventDefault();
      if (changes.peek().length) element.requestSubmit();
    } else if (event.key === "Enter") preview();
  };
  addEventListener("keydown", keys);
  onDispose(() => removeEventListener("keydown", keys));

  const known = catalogue();
  const text = (/** @type {string} */ name, /** @type {number} */ max, rows = 0) => {
    const attributes = {
      value: draft.peek()[name],
      rows: rows || null,
      oninput: (/** @type {any} */ e) => put(name, e.target.value),
    };
    const input = rows ? h("textarea", attributes) : h("input", { type: "text", ...attributes });
    return field({
      name,
      label: () => t(`persona.${name}`),
      hint: () => (name === "style_prompt" ? t("persona.style_hint") : ""),
      input,
      max,
      errors,
    });
  };

  const element = form(
    { class: "editor-form" },
    async () => void (await save()),
    errors,
    h(
      "fieldset",
      {},
      h("legend", {}, () => t("persona.look")),
      text("name", 100),
      text("style_prompt", 8000, 5),
      text("negative_prompt", 16000, 3),
      text("description", 8000, 2),
    ),
    h("fieldset", {}, h("legend", {}, () => t("persona.loras")), loraInput(loras, known.loras)),
    h(
      "fieldset",
      {},
      h("legend", {}, () => t("persona.generation_params")),
      parameterFields(parameters, errors, known),
    ),
    h(
      "fieldset",
      {},
      h("legend", {}, () => t("tags")),
      tagInput(tags),
      () =>
        nsfwShown() &&
        check(() => t("persona.is_nsfw"), {
          checked: draft.peek().is_nsfw,
          onchange: (/** @type {any} */ e) => put("is_nsfw", e.target.checked),
        }),
    ),
    () =>
      (mayShare() || stored.peek()?.visibility === "shared") && h(
        "fieldset",
        {},
        h("legend", {}, () => t("share")),
        check(() => t("share.persona"), {
          checked: draft.peek().visibility === "shared",
          onchange: (/** @type {any} */ e) => put("visibility", e.target.checked ? "shared" : "private"),
        }),
        h("p", { class: "mute" }, () => t("share.persona_words")),
      ),
    () =>
      changes().length > 0 &&
      h(
        "div",
        { class: "save-bar" },
        h("span", {}, t("unsaved", { n: changes().length })),
        h("button", {
          type: "button",
          class: "button quiet",
          onclick: () => {
            const kept = { ...stored.peek() };
            settle();
            isNew ? openPage("/personas") : began(kept);
          },
        }, t("undo")),
        h("button", { type: "submit", class: "button" }, t("save")),
      ),
  );

  return h(
    "div",
    { class: "editor" },
    h(
      "div",
      { class: "bar" },
      h("h1", {}, () => stored().name || t("personas.new")),
      !isNew &&
        h(
          "button",
          { class: "button quiet", onclick: () => duplicate(stored.peek()) },
          icon("copy"),
          () => t("duplicate"),
        ),
      !isNew &&
        h(
          "button",
          { class: "button quiet", onclick: () => remove(stored.peek(), settle) },
          icon("trash"),
          () => t("delete"),
        ),
      !isNew &&
        h(
          "button",
          { class: "button quiet", onclick: giveOut },
          icon("download"),
          () => t("select.export"),
        ),
      !isNew &&
        h(
          "a",
          { class: "button quiet", href: addressOf(`/create?persona=${start.id}`) },
          () => t("nav.create"),
        ),
      h(
        "button",
        { class: "button", onclick: preview, "aria-keyshortcuts": "Control+Enter" },
        () => t("preview"),
      ),
    ),
    h(
      "div",
      { class: "editor-stage" },
      stage(job, () => coverSizes(stored(), true), () => stored().is_nsfw),
      !isNew &&
        h("div", { class: "row" }, fileButton(() => t("crop.choose"), takePicture, { accept: PICTURES })),
      !isNew && strip(start),
      () => revised() && versions(stored, FIELDS.filter((name) => name !== "visibility"), began),
    ),
    element,
  );
}

/** The fields of a persona that the editor writes. @param {any} persona */
const pick = (persona) => Object.fromEntries(FIELDS.map((name) => [name, persona[name]]));

/** What the default engine has, for the lists of suggestions. */
function catalogue() {
  const [schedulers, models, loras, engines] = [0, 0, 0, 0].map(() => signal(/** @type {string[]} */ ([])));
  readEngines().then((all) => {
    engines.set(all.map(({ name }) => name));
    const usual = all.find((engine) => engine.is_default) ?? all[0];
    if (!usual) return;
    readNames(usual.name, "scheduler").then(schedulers.set).catch(() => null);
    readNames(usual.name, "model").then(models.set).catch(() => null);
    readNames(usual.name, "lora").then(loras.set).catch(() => null);
  }).catch(() => null);
  return { schedulers, models, loras, engines };
}

/** Copy a persona, and open the copy. @param {any} persona */
export async function duplicate(persona) {
  try {
    const { data } = await ask("POST", `/personas/${persona.id}/duplicate`, { body: {} });
    openPage(`/personas/${data.id}`);
  } catch (error) {
    tellError(error);
  }
}

/** @param {any} persona @param {() => void} settle nothing is left to save */
async function remove(persona, settle) {
  const back = () => openPage(`/personas/${persona.id}`);
  if (!(await forgetItem("persona", persona.id, persona.name, back))) return;
  settle();
  openPage("/personas");
}

/** The newest pictures of a persona. @param {any} persona */
export function strip(persona) {
  const items = signal(/** @type {any[]} */ ([]));
  const read = () =>
    ask("GET", `/media${queryOf({ persona_id: persona.id, limit: 12, include_nsfw: nsfwShown.peek() })}`)
      .then(({ data }) => items.set(data.items)).catch(() => null);
  read();
  const again = (/** @type {any} */ job) => job.persona_id === persona.id && read();
  endListeners.add(again);
  onDispose(() => endListeners.delete(again));
  return h(
    "div",
    { class: "strip" },
    () =>
      items().map((item) =>
        h(
          "a",
          {
            href: addressOf(`/gallery/${item.id}?persona=${persona.id}`),
            "aria-label": t("picture.of", { name: persona.name }),
          },
          picture([{ url: item.thumbnail_url, width: 320 }], { isNsfw: item.is_nsfw, sizes: "96px" }),
        )
      ),
  );
}
