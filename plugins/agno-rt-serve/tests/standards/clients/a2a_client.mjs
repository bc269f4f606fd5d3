// A2A's official client for JavaScript finds, runs and follows the runnables of the server, and prints what it found.
import { Role, TaskState } from "@a2a-js/sdk";
import { ClientFactory, ClientFactoryOptions } from "@a2a-js/sdk/client";

const url = process.argv[2];
const word = (state) => TaskState[state].replace("TASK_STATE_", "");

function say(text, more = {}) {
  const parts = [{ content: { $case: "text", value: text }, filename: "", mediaType: "" }];
  const message = { messageId: crypto.randomUUID(), role: Role.ROLE_USER, parts, contextId: "", taskId: "", ...more };
  return { message: { extensions: [], referenceTaskIds: [], ...message }, tenant: "" };
}

async function read(stream, seen = () => {}) {
  const found = { states: [], text: "" };
  for await (const { payload } of stream) {
    if (payload.$case === "task") found.task = payload.value;
    if (payload.$case === "statusUpdate") found.states.push(word(payload.value.status.state));
    if (payload.$case === "artifactUpdate") {
      const piece = payload.value.artifact.parts.map((part) => part.content.value).join("");
      found.text = payload.value.append ? found.text + piece : piece;
    }
    seen(payload);
  }
  return found;
}

const found = {};
for (const binding of ["JSONRPC", "HTTP+JSON"]) {
  const options = ClientFactoryOptions.createFrom(ClientFactoryOptions.default, { preferredTransports: [binding] });
  const factory = new ClientFactory(options);
  const echo = await factory.createFromUrl(`${url}/a2a/echo/`, ".well-known/agent-card.json");
  const asker = await factory.createFromUrl(`${url}/a2a/asker/`, ".well-known/agent-card.json");
  const made = (found[binding] = {});

  const said = await read(echo.sendMessageStream(say("Hi.")));
  made.said = said.text;
  made.states = said.states;

  const asked = await asker.sendMessage(say("Go."));
  made.asked = asked.status.message.parts[0].content.value;
  const answered = await asker.sendMessage(say("Ann", { taskId: asked.id }));
  made.answered = answered.artifacts[0].parts[0].content.value;

  const waiting = await asker.sendMessage(say("Go."));
  const followed = await read(asker.resubscribeTask({ id: waiting.id, tenant: "" }), (payload) => {
    if (payload.$case === "task") asker.sendMessage(say("Kim", { taskId: waiting.id }));
  });
  made.followed = [word(followed.task.status.state), ...followed.states];

  const last = await asker.sendMessage(say("Go."));
  const page = await asker.listTasks({ contextId: last.contextId, pageToken: "", status: 0, tenant: "" });
  made.listed = page.tasks.length === 1 && page.tasks[0].id === last.id;
  made.cancelled = word((await asker.cancelTask({ id: last.id, tenant: "" })).status.state);
  try {
    await asker.getTask({ id: "unknown", tenant: "" });
  } catch (error) {
    // Each binding has a class of its own for the error.
    made.error = error.constructor.name.match(/TaskNotFoundError$/)?.[0] ?? String(error);
  }
}
console.log(JSON.stringify(found));
