// The complete way to hear of messages, without gap over restarts of the node: docs/interface.md, follow.

import { Connection, PASSING, Refused } from "./connection.mjs";

const QUIET_MS = 2000;
const FOLLOW_ID = 1;

// All events after `since`, in order, each once, over restarts of the node; on a connection of its own.
export class Follow {
  #dealtWith = 0;

  constructor(endpoint, { since = "now", credit = 100, ...filters }) {
    this.connection = new Connection(endpoint);
    Object.assign(this, { since, credit, filters });
    this.asked = this.#ask();
  }

  // The next event, which then counts as dealt with; undefined when none comes.
  async next(limitMs) {
    await this.asked;
    const limit = performance.now() + limitMs;
    for (let left; (left = limit - performance.now()) > 0; ) {
      const frame = await this.connection.receive(Math.min(left, QUIET_MS));
      if (!frame) {
        await this.#ask(); // Silence, or a new gateway that does not know us: `follow-exists` tells that all is well.
      } else if ("ok" in frame) {
        this.#begin(frame);
      } else if (typeof this.since === "string" || frame.cursor > this.since || frame.event === "caught-up") {
        this.since = frame.cursor;
        await this.#grant(frame.event);
        return frame;
      }
    }
  }

  #ask() {
    return this.connection.send({ id: FOLLOW_ID, op: "follow", since: this.since, credit: this.credit, ...this.filters });
  }

  #begin(reply) {
    if (reply.ok) {
      this.since = reply.since;
      this.#dealtWith = 0;
    } else if (reply.error.code !== "follow-exists" && !PASSING.includes(reply.error.code)) {
      throw new Refused(reply.error);
    }
  }

  async #grant(event) {
    if (event !== "caught-up") this.#dealtWith++;
    if (this.#dealtWith * 2 < this.credit) return;
    await this.connection.send({ id: FOLLOW_ID, op: "credit", count: this.#dealtWith });
    this.#dealtWith = 0;
  }
}
