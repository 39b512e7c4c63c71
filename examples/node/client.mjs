// A client of a Dispersy node in Node.js, from docs/interface.md alone.
//
//     node client.mjs publish chat hello
//     node client.mjs follow chat

import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { setTimeout as pause } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import { decode, encode } from "@msgpack/msgpack";
import { Dealer, Subscriber } from "zeromq";

const REPLY_LIMIT_MS = 2000;
const QUIET_MS = 2000;
const PUBLISH_TRIES_MAX = 30;
const FOLLOW_ID = 1;
const PASSING = ["no-answer", "starting", "busy", "timeout"]; // then the same request is sent again; timeout is our own
const BIG = { useBigInt64: true }; // a global time may be above 2^53, where numbers of JavaScript are rounded

// What the node said instead: error is { code, message, hint }.
export class Refused extends Error {
  constructor(error) {
    super(`${error.code}: ${error.message} (${error.hint})`);
    this.error = error;
  }
}

// Waits with a limit; undefined when nothing comes.
async function receive(socket, limitMs) {
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

// What a person types: publish COMMUNITY TEXT..., or follow COMMUNITY.
async function main(command, community, ...texts) {
  const { control } = JSON.parse(execFileSync("dispersy", ["status", "--json"])).sockets;
  if (command === "publish") {
    const payloads = texts.map((text) => Buffer.from(text));
    console.log(await new Connection(control).publish({ op: "publish-many", community, kind: "text", payloads }));
    process.exit();
  }
  const follow = new Follow(control, { since: "begin", communities: [community] });
  for (;;) {
    const event = await follow.next(60_000);
    if (event?.event !== "message") continue;
    console.log(Buffer.from(event.author).toString("hex").slice(0, 8), Buffer.from(event.payload).toString());
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) await main(...process.argv.slice(2));
