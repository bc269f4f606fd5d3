// AG-UI's own client for JavaScript runs agents of the server. It checks each event, and prints what it found.
import { HttpAgent } from "@ag-ui/client";

const url = process.argv[2];
const warnings = [];
console.warn = (...parts) => warnings.push(parts.join(" "));

const weather = {
  name: "weather",
  description: "Tell the weather.",
  parameters: { type: "object", properties: { city: { type: "string" } } },
};

function open(name) {
  const agent = new HttpAgent({ url: `${url}/agents/${name}/ag-ui`, threadId: `js-${name}-${Math.random()}` });
  const events = [];
  agent.subscribe({ onEvent: ({ event }) => void events.push(event) });
  return { agent, events };
}

async function ask(opened, text, parameters = {}) {
  if (text !== null) opened.agent.addMessage({ id: crypto.randomUUID(), role: "user", content: text });
  await opened.agent.runAgent(parameters);
  const said = opened.agent.messages.filter((each) => each.role === "assistant" && !each.subagentRunId);
  return said.length ? said[said.length - 1].content : "";
}

function answers(agent, payload) {
  return agent.pendingInterrupts.map((each) => ({ interruptId: each.id, status: "resolved", payload }));
}

const found = {};

const shop = open("shop");
found.said = await ask(shop, "hello");
found.bought = await ask(shop, "buy");
found.state = shop.agent.state;
await ask(shop, "both");
found.pending = shop.agent.pendingInterrupts.map((each) => each.reason);
try {
  await ask(shop, "and now?");
} catch (error) {
  found.blocked = /pending interrupt/.test(String(error));
}
shop.agent.setMessages(shop.agent.messages.filter((each) => each.content !== "and now?"));
found.denied = await ask(shop, null, { resume: answers(shop.agent, { approved: false, reason: "no" }) });
found.roles = shop.agent.messages.map((each) => each.role).join(" ");

const client = open("seller");
await ask(client, "weather", { tools: [weather] });
const finish = client.events[client.events.length - 1];
const [pending] = finish.outcome.pendingToolCallIds;
client.agent.addMessage({ id: crypto.randomUUID(), role: "tool", toolCallId: pending, content: "sunny" });
found.answered = await ask(client, null, { tools: [weather] });

for (const [name, word] of [["desk", "pay"], ["publish", "hi"]]) {
  const opened = open(name);
  await ask(opened, word);
  found[name] = await ask(opened, null, { resume: answers(opened.agent, true) });
}
found.pair = await ask(open("pair"), "look");
found.taken = await ask(open("loud"), "hello");

const broken = open("broken");
try {
  await ask(broken, "hello");
} catch {
  // The client rejects the run with the server's error.
}
found.broken = broken.events[broken.events.length - 1].type;

console.log(JSON.stringify({ ...found, warnings }));
