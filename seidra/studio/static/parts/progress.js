/** A job's progress as a bundle of threads, and its words. @module */
import { h } from "../lib/element.js";
import { loadMoreWords, secondsText, t } from "../lib/i18n.js";

/** @param {any} job */
export function jobWords(job) {
  const left = job.estimated_time ? ` · ${t("job.left", { time: secondsText(job.estimated_time) })}` : "";
  if (job.status === "queued") {
    const { code, engine } = job.waiting_for ?? {};
    if (code === "engine" || code === "worker") return t(`job.waits_${code}`, { engine });
    return job.position ? t("job.position", { position: job.position }) + left : t("job.queued");
  }
  if (job.status !== "processing") return t(`job.${job.status}`);
  return `${t("job.processing")} · ${Math.round(job.progress * 100)} %${left}`;
}

/**
 * Why a job failed: in the reader's words where there are some for its code, and what the server says of
 * it, in English, where that is more.
 *
 * @param {any} job
 */
export function failureWords({ error_code: code, error_message: sentence }) {
  loadMoreWords().catch(() => {});
  const words = () => t(`failed.${code}`);
  const isSaid = () => words() !== `failed.${code}`;
  return [
    h("span", { hidden: () => !isSaid() }, words),
    " ",
    h(
      "span",
      { lang: "en", class: () => (isSaid() ? "mute" : ""), hidden: () => words() === sentence },
      sentence,
    ),
  ];
}

/** @param {() => any} read the job, or undefined */
export function threads(read) {
  return h(
    "div",
    {
      class: "threads",
      role: "progressbar",
      "aria-label": () => t("job.progress"),
      "aria-valuemin": 0,
      "aria-valuemax": 100,
      "aria-valuenow": () => Math.round((read()?.progress ?? 0) * 100),
      hidden: () => !read(),
    },
    h("div", { class: "threads-done", style: () => ({ width: `${(read()?.progress ?? 0) * 100}%` }) }),
  );
}
