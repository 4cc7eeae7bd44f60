/** A job's progress as a bundle of threads, and its words. @module */
import { h } from "../lib/element.js";
import { secondsText, t } from "../lib/i18n.js";

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
