/** A persona's card: its picture, name, tags, favourite, preview and progress. @module */
import { h } from "../lib/element.js";
import { t } from "../lib/i18n.js";
import { addressOf } from "../lib/router.js";
import { computed } from "../lib/signal.js";
import { isActive, jobs, takeJob } from "../data/live.js";
import { ask } from "../data/api.js";
import { tellError, toast } from "./dialog.js";
import { icon } from "./icons.js";
import { picture, sizesOf } from "./picture.js";
import { threads } from "./progress.js";

/**
 * The sizes of a persona's picture, the smallest first.
 *
 * @param {any} persona
 * @param {boolean} [large] with the picture itself
 */
export function coverSizes({ cover }, large = false) {
  return cover ? sizesOf(cover, large) : [];
}

/**
 * Queue a preview of a persona, or of what is not saved.
 *
 * @param {string} path
 * @param {any} [body]
 * @returns {Promise<any>} the job
 */
export async function queuePreview(path, body = {}) {
  const { data } = await ask("POST", path, { body });
  const job = (await ask("GET", `/jobs/${data.job_id}`)).data;
  takeJob(job);
  return job;
}

/** Queue a preview. @param {any} persona @returns {Promise<any>} the job, or null */
export async function startPreview(persona) {
  try {
    return await queuePreview(`/personas/${persona.id}/preview`);
  } catch (error) {
    tellError(error);
    return null;
  }
}

/** Whose a persona is, where it is another's, or that it is shared; and its tags. @param {any} persona */
const cardLine = ({ is_mine, owner, visibility, tags }) =>
  [
    is_mine ? visibility === "shared" && t("share.shared") : t("share.by", { name: owner.username }),
    ...tags.slice(0, 3),
  ].filter(Boolean).join(" · ");

/**
 * @param {any} persona
 * @param {(persona: any) => void} changed told of the persona as it is after a change
 */
export function personaCard(persona, changed) {
  const job = computed(
    () => /** @type {any} */ ([...jobs().values()].find((each) =>
      each.persona_id === persona.id && isActive(each)
    )),
  );
  async function toggleFavorite() {
    changed({ ...persona, is_favorite: !persona.is_favorite });
    try {
      changed(
        (await ask("PATCH", `/personas/${persona.id}`, { body: { is_favorite: !persona.is_favorite } })).data,
      );
    } catch (error) {
      changed(persona);
      tellError(error);
    }
  }
  return h(
    "article",
    { class: () => (job() ? "card busy" : "card") },
    h(
      "a",
      { class: "card-link", href: addressOf(`/personas/${persona.id}`), "aria-label": persona.name },
      picture(coverSizes(persona), { isNsfw: persona.is_nsfw }),
      h(
        "div",
        { class: "card-words" },
        h("strong", {}, persona.name),
        h("span", {}, cardLine(persona)),
      ),
    ),
    () =>
      job() &&
      h(
        "span",
        { class: "card-percent" },
        job().status === "queued" ? t("job.queued") : `${Math.round(job().progress * 100)} %`,
      ),
    persona.is_mine && h(
      "button",
      {
        class: persona.is_favorite ? "firefly lit" : "firefly",
        "aria-pressed": String(persona.is_favorite),
        "aria-label": `${t("favorite")}: ${persona.name}`,
        title: t("favorite"),
        onclick: toggleFavorite,
      },
      icon("star"),
    ),
    h(
      "button",
      {
        class: "round card-play",
        "aria-label": `${t("preview")}: ${persona.name}`,
        title: t("preview"),
        disabled: () => Boolean(job()),
        onclick: async () =>
          (await startPreview(persona)) && toast(t("preview.queued", { name: persona.name })),
      },
      icon("play"),
    ),
    threads(job),
  );
}
