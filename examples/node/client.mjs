// A client of a Dispersy node in Node.js, from docs/interface.md alone.
//
//     node client.mjs publish chat hello
//     node client.mjs follow chat

import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { decode, encode } from "@msgpack/msgpack";
import { Dealer, Subscriber } from "zeromq";

const [REPLY_LIMIT_MS, QUIET_MS, TRIES_MAX, FOLLOW_ID] = [2000, 2000, 30, 1];
const PASSING = ["no-answer", "starting", "busy", "timeout"]; // then the same is sent again; timeout is our own
const BIG = { useBigInt64: true }; // a global time may be above 2^53, where numbers of JavaScript are rounded

// What the node said instead: error is { code, message, hint }.
export class Refused extends Error {
  constructor(error) {
    super(`${error.code}: ${error.message} (${error.hint})`);
    this.error = error;
  }
}

// Requests and their replies: one DEALER, which is one client in the eyes of the node.
export class Connection {
  #number = 0;

  constructor(endpoint) {
    this.socket = new Dealer({ linger: 0, sendTimeout: 0 });
    this.socket.connect(endpoint);
  }

  // Sends a request, and waits for nothing: no room, for a node was away for long, is as good as no answer.
  async send(fields) {
    const request = { v: 1, id: ++this.#number, ...fields };
    await this.socket.send(encode(request, BIG)).catch(unlessAgain);
    return request.id;
  }

  // The next reply or event; undefined when none comes.
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
  async publish({ op = "publish", request_id = newRequestId(), ...fields }) {
    for (let tries = 1; ; tries++) {
      try {
        return await this.request({ op, request_id, ...fields });
      } catch (refused) {
        if (tries === TRIES_MAX || !PASSING.includes(refused.error?.code)) throw refused;
        await pause(100);
      }
    }
  }
}

// All events after `since`, in order, each once, over restarts of the node; on a connection of its own.
export class Follow extends Connection {
  #dealtWith = 0;

  constructor(endpoint, { since = "now", credit = 100, ...filters }) {
    super(endpoint);
    Object.assign(this, { since, credit, filters });
    this.asked = this.#ask();
  }

  #ask() {
    return this.send({ id: FOLLOW_ID, op: "follow", since: this.since, credit: this.credit, ...this.filters });
  }

  // The next event, which then counts as dealt with; undefined when none comes.
  async next(limitMs) {
    await this.asked;
    const limit = performance.now() + limitMs;
    for (let left; (left = limit - performance.now()) > 0; ) {
      const frame = await this.receive(Math.min(left, QUIET_MS));
      if (!frame) {
        await this.#ask(); // Silence, or a new gateway that does not know us: `follow-exists` tells that all is well.
      } else if (frame.ok) {
        [this.since, this.#dealtWith] = [frame.since, 0];
      } else if (frame.ok === false) {
        if (![...PASSING, "follow-exists"].includes(frame.error.code)) throw new Refused(frame.error);
      } else if (typeof this.since === "string" || frame.cursor > this.since || frame.event === "caught-up") {
        this.since = frame.cursor;
        await this.#grant(frame.event);
        return frame;
      }
    }
  }

  async #grant(event) {
    if (event !== "caught-up") this.#dealtWith++;
    if (this.#dealtWith * 2 < this.credit) return;
    await this.send({ id: FOLLOW_ID, op: "credit", count: this.#dealtWith });
    this.#dealtWith = 0;
  }
}

// The simple way: what the events socket says, and whether something was missed. Topics are beginnings.
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

function receive(socket, limitMs) {
  socket.receiveTimeout = Math.max(0, Math.round(limitMs));
  return socket.receive().catch(unlessAgain);
}

function unlessAgain(error) {
  if (error.code !== "EAGAIN") throw error;
}

function newRequestId() {
  const id = randomBytes(16);
  id.writeUIntBE(Date.now(), 0, 6);
  return id;
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

if (process.argv[1] === fileURLToPath(import.meta.url)) await main(...process.argv.slice(2));
