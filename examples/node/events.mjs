// The simple way to hear of messages, and to know when some were missed: docs/interface.md, events.

import { decode } from "@msgpack/msgpack";
import { Subscriber } from "zeromq";
import { BIG, receive } from "./connection.mjs";

// What the events socket says; topics are beginnings, "" is everything.
export class Subscription {
  #last = new Map();

  constructor(endpoint, topics) {
    this.socket = new Subscriber({ linger: 0 });
    this.socket.connect(endpoint);
    this.socket.subscribe(...topics);
  }

  // [topic, header, payload, whether something before it may be lost]; undefined when nothing comes.
  async next(limitMs) {
    const frames = await receive(this.socket, limitMs);
    if (!frames) return undefined;
    const [topic, header, payload] = [frames[0].toString(), decode(frames[1], BIG), frames[2]];
    const isLost = this.#last.has(topic) && this.#last.get(topic) != header.previous;
    this.#last.set(topic, header.event === "heartbeat" ? header.previous : header.cursor);
    return [topic, header, payload, isLost];
  }
}
