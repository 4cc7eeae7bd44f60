/**
 * The jobs as they change. One tab of a browser holds the stream and tells the others; where there is
 * no room for a stream, the list is asked now and then.
 *
 * @module
 */
import { effect, signal } from "../lib/signal.js";
import { ask, queryOf, send } from "./api.js";
import { nsfwShown, readNsfw } from "./prefs.js";
import { freshToken, userId } from "./session.js";

/** @typedef {Record<string, any>} Job */

/** Jobs by id: those that wait or run, and those that ended while the page was open. */
export const jobs = signal(/** @type {Map<string, Job>} */ (new Map()));

/** Called with each job that has just ended. @type {Set<(job: Job) => void>} */
export const endListeners = new Set();

const LEADER = "seidra.leader";
const BEAT = 2000;
const RETRY_SECONDS = 15;
const me = `${Date.now()}-${Math.random()}`;
const channel = new BroadcastChannel("seidra");

/** @param {Job} job */
export const isActive = (job) => job.status === "queued" || job.status === "processing";

/** What runs or waits, the oldest first. */
export const activeJobs = () =>
  [...jobs().values()].filter(isActive).sort((a, b) => (a.created_at < b.created_at ? -1 : 1));

/**
 * Take in a job as it is now.
 *
 * @param {Job} job
 */
export function takeJob(job) {
  const before = jobs.peek().get(job.job_id);
  if (before && before.updated_at > job.updated_at) return;
  jobs.update((map) => new Map(map).set(job.job_id, job));
  if (!isActive(job) && (!before || isActive(before))) endListeners.forEach((tell) => tell(job));
}

/**
 * A picture of what a job has made so far.
 *
 * @param {{ job_id: string, frame_url: string }} frame
 */
function takeFrame({ job_id, frame_url }) {
  const job = jobs.peek().get(job_id);
  if (job) jobs.update((map) => new Map(map).set(job_id, { ...job, frame_url }));
}

/** @param {string} id */
function dropJob(id) {
  jobs.update((map) => {
    const next = new Map(map);
    next.delete(id);
    return next;
  });
}

/** Read what waits and runs. */
export async function readActive() {
  const found = [];
  for (let total = 1; found.length < total;) {
    const query = queryOf({ active: true, limit: 100, offset: found.length, include_nsfw: nsfwShown() });
    const { data } = await ask("GET", `/jobs${query}`);
    if (!data.jobs.length) break;
    found.push(...data.jobs);
    total = data.total;
  }
  for (const job of found) takeJob(job);
  const ids = new Set(found.map((job) => job.job_id));
  const missing = [...jobs.peek().values()].filter((job) => isActive(job) && !ids.has(job.job_id));
  for (const { job_id } of missing) {
    await ask("GET", `/jobs/${job_id}`).then((answer) => takeJob(answer.data)).catch(() => dropJob(job_id));
  }
}

/** What runs, and what one may see, when no event has told what changed. */
function readAnew() {
  readNsfw();
  return readActive();
}

channel.onmessage = (/** @type {MessageEvent} */ { data }) => {
  if (data.user !== userId.peek()) return;
  if (data.job) takeJob(data.job);
  else if (data.frame) takeFrame(data.frame);
  else if (data.gone) dropJob(data.gone);
  else readAnew().catch(() => null);
};

/**
 * @param {string} event
 * @param {any} data
 */
function hear(event, data) {
  if (event === "job") takeJob(data);
  else if (event === "preview") takeFrame(data);
  else if (event === "gone") dropJob(data.job_id);
  else readAnew().catch(() => null);
  const told = { job: { job: data }, preview: { frame: data }, gone: { gone: data.job_id } }[event] ?? {};
  channel.postMessage({ ...told, user: userId.peek() });
}

function isLeader() {
  const [id, beat] = (localStorage.getItem(LEADER) ?? "").split(" ");
  if (id !== me && Math.abs(Date.now() - Number(beat)) < 3 * BEAT) return false;
  localStorage.setItem(LEADER, `${me} ${Date.now()}`);
  return true;
}

addEventListener("pagehide", () => {
  if ((localStorage.getItem(LEADER) ?? "").startsWith(me)) localStorage.removeItem(LEADER);
});

/**
 * Read one stream to its end.
 *
 * @param {AbortSignal} stop
 * @param {string} last the id of the last event that was heard
 * @returns {Promise<{ last: string, wait: number }>} seconds until the next try
 */
async function readStream(stop, last) {
  const headers = /** @type {Record<string, string>} */ (last ? { "Last-Event-ID": last } : {});
  const query = nsfwShown.peek() ? "?include_nsfw=true" : "";
  const response = await send("GET", `/jobs/events${query}`, { signal: stop, headers }, await freshToken());
  if (!response.ok || !response.body) {
    await readAnew();
    return { last, wait: RETRY_SECONDS };
  }
  if (!last) await readActive();
  else readNsfw();
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return { last, wait: 0.5 };
    text += value;
    const messages = text.split("\n\n");
    text = messages.pop() ?? "";
    for (const message of messages) {
      const fields = Object.fromEntries(
        message.split("\n").map((line) => {
          const at = line.indexOf(":");
          return [line.slice(0, at), line.slice(at + 1).trimStart()];
        }),
      );
      if (fields.id) last = fields.id;
      if (fields.event) hear(fields.event, JSON.parse(fields.data));
    }
  }
}

/** @param {AbortSignal} stop */
async function follow(stop) {
  let last = "";
  const beat = setInterval(isLeader, BEAT);
  stop.addEventListener("abort", () => clearInterval(beat));
  await readActive().catch(() => null);
  while (!stop.aborted) {
    let wait = 2;
    if (isLeader()) {
      try {
        ({ last, wait } = await readStream(stop, last));
      } catch {
        last = "";
        wait = 3;
      }
    }
    await waitOrPoll(wait, stop);
  }
}

/**
 * Wait for the next try; what waits or runs is asked for meanwhile.
 *
 * @param {number} seconds
 * @param {AbortSignal} stop
 */
async function waitOrPoll(seconds, stop) {
  for (let waited = 0; waited < seconds && !stop.aborted; waited += 2) {
    await new Promise((go) => setTimeout(go, Math.min(seconds - waited, 2) * 1000));
    if (waited + 2 < seconds && activeJobs().length) await readActive().catch(() => null);
  }
}

/** Follow the jobs of whoever is logged in. */
export function startLive() {
  let stop = new AbortController();
  effect(() => {
    stop.abort();
    jobs.set(new Map());
    nsfwShown();
    if (userId() === null) return;
    stop = new AbortController();
    follow(stop.signal);
  });
}
