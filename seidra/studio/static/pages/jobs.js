/** What is made, what waits, and what was made. @module */
import { h } from "../lib/element.js";
import { t, timeText } from "../lib/i18n.js";
import { addressOf } from "../lib/router.js";
import { effect, onDispose, signal } from "../lib/signal.js";
import { ask, queryOf } from "../data/api.js";
import { activeJobs, endListeners, isActive, readActive, takeJob } from "../data/live.js";
import { nsfwShown } from "../data/prefs.js";
import { confirmed, tellError } from "../parts/dialog.js";
import { cancelButton, jobTitle } from "../parts/dock.js";
import { roundButton, skein } from "../parts/icons.js";
import { picture, sizesOf } from "../parts/picture.js";
import { failureWords, jobWords, threads } from "../parts/progress.js";

const PAGE = 20;

export default function jobsPage() {
  const ended = signal(/** @type {any[]} */ ([]));
  const more = signal(false);
  async function readEnded(from = 0) {
    const { data } = await ask(
      "GET",
      `/jobs${queryOf({ limit: PAGE, offset: from, include_nsfw: nsfwShown.peek() })}`,
    );
    const found = data.jobs.filter((/** @type {any} */ job) => !isActive(job));
    ended.update((
      old,
    ) => [
      ...(from ? old : []),
      ...found.filter((/** @type {any} */ job) => !from || !old.some((each) => each.job_id === job.job_id)),
    ]);
    more.set(from + data.jobs.length < data.total);
    offset = from + data.jobs.length;
  }
  let offset = 0;
  effect(() => {
    nsfwShown();
    readEnded().catch(tellError);
  });
  const take = (/** @type {any} */ job) =>
    ended.update((all) => [job, ...all.filter((each) => each.job_id !== job.job_id)]);
  endListeners.add(take);
  onDispose(() => endListeners.delete(take));

  async function cancelWaiting() {
    const waiting = activeJobs().filter((job) => job.status === "queued");
    if (!(await confirmed(t("jobs.cancel_question", { n: waiting.length }), t("jobs.cancel_waiting")))) {
      return;
    }
    try {
      await ask("POST", "/jobs/cancel", { body: { status: "queued" } });
      await readActive();
    } catch (error) {
      tellError(error);
    }
  }
  return [
    h(
      "div",
      { class: "bar" },
      h("h1", {}, () => t("nav.jobs")),
      () =>
        activeJobs().some((job) => job.status === "queued") &&
        h("button", { class: "button quiet", onclick: cancelWaiting }, t("jobs.cancel_waiting")),
    ),
    h(
      "section",
      { "aria-label": () => t("jobs.active") },
      h("h2", {}, () => t("jobs.active")),
      () => (activeJobs().length
        ? h("ul", { class: "job-list" }, activeJobs().map(jobRow))
        : h("p", { class: "mute" }, t("jobs.none_active"))),
    ),
    h(
      "section",
      { "aria-label": () => t("jobs.ended") },
      h("h2", {}, () => t("jobs.ended")),
      h("ul", { class: "job-list" }, () => ended().map(jobRow)),
      () =>
        more() &&
        h("button", { class: "button quiet", onclick: () => readEnded(offset).catch(tellError) }, t("more")),
    ),
  ];
}

/** Make the like of an ended job. @param {any} job */
async function makeAgain(job) {
  const path = job.status === "completed" ? "again" : "retry";
  try {
    takeJob((await ask("POST", `/jobs/${job.job_id}/${path}`)).data);
  } catch (error) {
    tellError(error);
  }
}

/** @param {any} job */
function jobRow(job) {
  const shot = job.results[0];
  return h(
    "li",
    { class: "job" },
    h(
      shot ? "a" : "div",
      {
        class: "job-shot",
        ...(shot ? { href: addressOf(`/gallery/${shot.media_id}`), "aria-label": t("picture.open") } : {}),
      },
      shot ? picture(sizesOf(shot), { isNsfw: job.is_nsfw, sizes: "72px" }) : skein(),
    ),
    h(
      "div",
      { class: "job-words" },
      h("strong", {}, jobTitle(job)),
      job.status === "failed" ? failureWords(job) : h("span", {}, jobWords(job)),
      job.persona?.owner &&
        h("span", {}, t("job.persona_by", { name: job.persona.name, owner: job.persona.owner.username })),
      h("span", { class: "mute" }, `${job.engine} · ${timeText(job.completed_at ?? job.created_at)}`),
      ...(job.warnings ?? []).map((/** @type {any} */ warning) =>
        h("span", { class: "finding warning" }, warning.detail)
      ),
      threads(() => (job.status === "processing" ? job : undefined)),
    ),
    isActive(job) ? cancelButton(job) : roundButton("again", "again", () => makeAgain(job), jobTitle(job)),
  );
}
