/** A persona that another shares: looked at, previewed, made pictures with and copied; never changed. @module */
import { h } from "../lib/element.js";
import { t } from "../lib/i18n.js";
import { addressOf, openPage } from "../lib/router.js";
import { computed, signal } from "../lib/signal.js";
import { ask } from "../data/api.js";
import { jobs } from "../data/live.js";
import { coverSizes, queuePreview } from "../parts/card.js";
import { tellError, toast } from "../parts/dialog.js";
import { icon } from "../parts/icons.js";
import { stage } from "../parts/stage.js";
import { named, textOf } from "../parts/versions.js";
import { strip } from "./persona.js";

/** What is shown of it, in order. */
const SHOWN = ["style_prompt", "negative_prompt", "description", "loras", "generation_params", "tags"];

/** @param {any} persona */
export function sharedPersona(persona) {
  const { id, name, owner, revision } = persona;
  const ended = signal(false);
  const previewId = signal("");
  const job = computed(() => jobs().get(previewId()));

  /** Do what may have ended meanwhile. @param {() => Promise<any>} action */
  const attempt = (action) => async () => {
    try {
      await action();
    } catch (/** @type {any} */ error) {
      error.status === 404 ? ended.set(true) : tellError(error);
    }
  };
  const preview = attempt(async () => previewId.set((await queuePreview(`/personas/${id}/preview`)).job_id));
  const copy = attempt(async () => {
    const { data } = await ask("POST", `/personas/${id}/duplicate`, { body: { name } });
    toast(t("share.copied"));
    await openPage(`/personas/${data.id}`);
  });

  const page = () =>
    h(
      "div",
      { class: "editor" },
      h(
        "div",
        { class: "bar" },
        h("h1", {}, name),
        h("button", { class: "button quiet", onclick: copy }, icon("copy"), () => t("share.copy")),
        h(
          "a",
          { class: "button quiet", href: addressOf(`/create?persona=${id}`) },
          () => t("nav.create"),
        ),
        h("button", { class: "button", onclick: preview }, () => t("preview")),
      ),
      h(
        "div",
        { class: "editor-stage" },
        stage(job, () => coverSizes(persona, true), () => persona.is_nsfw),
        strip(persona),
      ),
      h(
        "div",
        { class: "shared-look" },
        h(
          "p",
          { class: "shared-by" },
          () => t("share.by", { name: owner.username }),
          " · ",
          () => `${t("version")} ${revision}`,
        ),
        h("p", { class: "mute" }, () => t("share.others_words", { name: owner.username })),
        h(
          "dl",
          { class: "facts" },
          SHOWN.filter((field) => textOf(persona[field])).map((field) => [
            h("dt", {}, () => named(field)),
            h("dd", {}, () => textOf(persona[field])),
          ]),
        ),
      ),
    );
  return () => (ended()
    ? h("p", { class: "empty-words", role: "status" }, t("share.ended", { name }))
    : page());
}
