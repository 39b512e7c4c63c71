// Requests to a Dispersy node and their replies, in Node.js: docs/interface.md, Control.

import { randomBytes } from "node:crypto";
import { setTimeout as pause } from "node:timers/promises";
import { decode, encode } from "@msgpack/msgpack";
import { Dealer } from "zeromq";

const REPLY_LIMIT_MS = 2000;
const PUBLISH_TRIES_MAX = 30;
export const PASSING = ["no-answer", "starting", "busy", "timeout"]; // then the same request is sent again; timeout is our own
export const BIG = { useBigInt64: true }; // a global time may be above 2^53, where numbers of JavaScript are rounded

// What the node said instead: error is { code, message, hint }.
export class Refused extends Error {
  constructor(error) {
    super(`${error.code}: ${error.message} (${error.hint})`);
    this.error = error;
  }
}

// Waits with a limit; undefined when nothing comes.
export async function receive(socket, limitMs) {
  socket.receiveTimeout = Math.max(0, Math.round(limitMs));
  try {
    return await socket.receive();
  } catch (error) {
    if (error.code !== "EAGAIN") throw error;
    return undefined;
  }
}

// One DEALER, which is one client in the eyes of the node.
export class Connection {
  #number = 0;

  constructor(endpoint) {
    this.socket = new Dealer({ linger: 0, sendTimeout: 0 });
    this.socket.connect(endpoint);
  }

  // Sends a request, and waits for nothing. A node that has been away for long has a thousand of ours waiting:
  // that one more finds no room is as good as no answer.
  async send(fields) {
    const request = { v: 1, id: ++this.#number, ...fields };
    await this.socket.send(encode(request, BIG)).catch((error) => {
      if (error.code !== "EAGAIN") throw error;
    });
    return request.id;
  }

  // The next reply or event.
  async receive(limitMs) {
    const frames = await receive(this.socket, limitMs);
    return frames && decode(frames[0], BIG);
  }

  // Sends a request and waits for its reply; answers to requests that were given up are passed over.
  async request(fields) {
    const id = await this.send(fields);
    const limit = performance.now() + REPLY_LIMIT_MS;
    for (let frame; (frame = await this.receive(limit - performance.now())); ) {
      if (frame.id !== id || !("ok" in frame)) continue;
      if (!frame.ok) throw new Refused(frame.error);
      return frame;
    }
    throw new Refused({ code: "timeout", message: "the node is silent", hint: "is it running?" });
  }

  // Publishes once, however often it has to be asked: all tries carry the same request_id.
  async publish({ op = "publish", community, kind, payloads, request_id = newRequestId() }) {
    for (let tries = 1; ; tries++) {
      try {
        return await this.request({ op, community, kind, payloads, request_id });
      } catch (refused) {
        if (tries === PUBLISH_TRIES_MAX || !PASSING.includes(refused.error?.code)) throw refused;
        await pause(100);
      }
    }
  }
}

function newRequestId() {
  const id = randomBytes(16);
  id.writeUIntBE(Date.now(), 0, 6);
  return id;
}
