/** Where a picture appears while it is made. @module */
import { h } from "../lib/element.js";
import { picture, sizesOf } from "./picture.js";
import { failureWords, jobWords, threads } from "./progress.js";

/**
 * @param {() => any} job the job that is made here, or undefined
 * @param {() => Array<{ url: string, width: number }>} sizes what is shown meanwhile
 * @param {() => boolean} isNsfw
 */
export function stage(job, sizes, isNsfw) {
  const shown = () => {
    const frame = job()?.status === "processing" && job().frame_url;
    if (frame) return [{ url: frame, width: 512 }];
    const made = job()?.results?.[0];
    return made ? sizesOf(made, true) : sizes();
  };
  return h(
    "div",
    { class: "stage" },
    () => picture(shown(), { isNsfw: isNsfw(), sizes: "(max-width: 800px) 100vw, 560px" }),
    () =>
      job() && job().status !== "completed" &&
      h(
        "p",
        { class: "stage-words", role: "status" },
        job().status === "failed" ? failureWords(job()) : jobWords(job()),
      ),
    threads(() => (job()?.status === "processing" ? job() : undefined)),
  );
}
