// Drives the client by lines, see tests/integration/conformance/README.md.

import { createInterface } from "node:readline";
import { Connection, Follow, Refused, Subscription } from "./client.mjs";

const [control, events] = process.argv.slice(2);
const connection = new Connection(control);
let follow, subscription;

const actions = {
  request: ({ request }) => connection.request(request),
  publish: (fields) => connection.publish(fields),
  send: async ({ request }) => ({ id: await connection.send(request) }),
  frame: async ({ frame }) => void (await connection.socket.send(frame)),
  receive: async (wanted) => ({ frames: await take(connection, "receive", wanted) }),
  follow: (fields) => void (follow = new Follow(control, fields)),
  next: async (wanted) => ({ events: await take(follow, "next", wanted) }),
  subscribe: ({ topics }) => void (subscription = new Subscription(events, topics)),
  hear: async (wanted) => ({ events: await take(subscription, "next", wanted) }),
};

for await (const line of createInterface({ input: process.stdin })) {
  const { do: action, ...fields } = JSON.parse(line, fromJson);
  let answer;
  try {
    answer = (await actions[action](fields)) ?? {};
  } catch (refused) {
    if (!(refused instanceof Refused)) throw refused;
    answer = { ok: false, error: refused.error };
  }
  process.stdout.write(toJson(answer) + "\n");
}
process.exit();

// Up to `count` of what comes by the limit.
async function take(source, method, { count, limit_ms }) {
  const limit = performance.now() + limit_ms;
  const taken = [];
  for (let one; taken.length < count && (one = await source[method](limit - performance.now())); ) taken.push(one);
  return taken;
}

function fromJson(_, value) {
  return typeof value?.hex === "string" ? Buffer.from(value.hex, "hex") : value;
}

// JSON.stringify() refuses big integers.
function toJson(value) {
  if (typeof value === "bigint") return String(value);
  if (value instanceof Uint8Array) return `{"hex":"${Buffer.from(value).toString("hex")}"}`;
  if (Array.isArray(value)) return `[${value.map(toJson)}]`;
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  return `{${Object.entries(value).map(([key, each]) => `${JSON.stringify(key)}:${toJson(each)}`)}}`;
}
