// A job of the server, followed until it is over: a simulation or a plan.

import { ask, get, post, Refused } from "./api.js";

const LOOK = 250; // ms between two looks
const OVER = ["done", "failed", "cancelled"];

// {body, id, ended, cancel}: `told(job)` is called at each look; `ended` is the job that is done or cancelled, or fails
// with what is wrong.
export function runJob(path, body, told) {
  const own = { body, id: null, cancelled: false, cancel };

  async function run() {
    let job = await post(path, body);
    own.id = job.id;
    if (own.cancelled) await cancel();
    while (!OVER.includes(job.state)) {
      told(job);
      await new Promise((resolve) => setTimeout(resolve, LOOK));
      job = await get(`${path}/${own.id}`);
    }
    if (job.state === "failed") throw new Refused(job, 422);
    return job;
  }

  async function cancel() {
    own.cancelled = true;
    if (own.id) await ask("DELETE", `${path}/${own.id}`).catch(() => {}); // one that is gone is over
  }

  own.ended = run();
  return own;
}
