// A client of a Dispersy node in Node.js, from docs/interface.md alone.
//
//     node client.mjs publish chat hello
//     node client.mjs follow chat

import { execFileSync } from "node:child_process";
import { Connection } from "./connection.mjs";
import { Follow } from "./follow.mjs";

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

await main(...process.argv.slice(2));
