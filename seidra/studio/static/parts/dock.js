/** The jobs that run or wait, on every page. @module */
import { h } from "../lib/element.js";
import { t } from "../lib/i18n.js";
import { place } from "../lib/router.js";
import { signal } from "../lib/signal.js";
import { ask } from "../data/api.js";
import { activeJobs, takeJob } from "../data/live.js";
import { tellError } from "./dialog.js";
import { roundButton } from "./icons.js";
import { jobWords, threads } from "./progress.js";

/** What a job is called. @param {any} job */
export const jobTitle = (job) => job.persona?.name || job.prompt.slice(0, 80) || t("job.untitled");

/** Stop a job. @param {any} job */
export async function cancelJob(job) {
  try {
    takeJob((await ask("POST", `/jobs/${job.job_id}/cancel`)).data);
  } catch (error) {
    tellError(error);
  }
}

/** A button that stops a job. @param {any} job */
export function cancelButton(job) {
  return roundButton("close", "cancel", () => cancelJob(job), jobTitle(job));
}

const folded = signal(false);

export function dock() {
  const list = () =>
    activeJobs().slice(0, 3).map((job) =>
      h(
        "li",
        { class: "dock-job" },
        h(
          "div",
          { class: "dock-words" },
          h("strong", {}, jobTitle(job)),
          h("span", {}, jobWords(job)),
          threads(() => job.status === "processing" && job),
        ),
        cancelButton(job),
      )
    );
  return h(
    "aside",
    {
      class: "dock",
      "aria-label": () => t("nav.jobs"),
      hidden: () => !activeJobs().length || place().path === "/jobs",
    },
    h(
      "button",
      {
        class: "dock-head",
        "aria-expanded": () => String(!folded()),
        onclick: () => folded.set(!folded.peek()),
      },
      () => t("dock.title", { n: activeJobs().length }),
    ),
    () => !folded() && h("ul", {}, list),
  );
}
