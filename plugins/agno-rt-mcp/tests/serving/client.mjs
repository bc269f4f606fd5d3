// The protocol's client for TypeScript: lists and calls tools, answers a form, cancels a call. Prints what it met.
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { ElicitRequestSchema } from '@modelcontextprotocol/sdk/types.js';

const [target, ...command] = process.argv.slice(2);
const transport = target === 'stdio'
  ? new StdioClientTransport({ command: command[0], args: command.slice(2), cwd: command[1], env: process.env, stderr: 'ignore' })
  : new StreamableHTTPClientTransport(new URL(target));
const client = new Client({ name: 'test', version: '1' }, { capabilities: { elicitation: {} } });
const asked = [];
client.setRequestHandler(ElicitRequestSchema, async (request) => {
  asked.push(request.params.message);
  return { action: 'accept', content: { allow: true } };
});
await client.connect(transport);
const { tools } = await client.listTools();
const steps = [];
const echo = await client.callTool({ name: 'echo', arguments: { input: 'hi' } });
const typed = await client.callTool({ name: 'typed', arguments: { input: 'a trip' } });
const cleaner = await client.callTool({ name: 'cleaner', arguments: { input: 'ts.txt' } }, undefined,
  { onprogress: (step) => steps.push(step.progress) });
const stop = new AbortController();
const slow = client.callTool({ name: 'slow', arguments: { input: 'x' } }, undefined,
  { signal: stop.signal, onprogress: (step) => { if (step.message.includes('one third')) stop.abort('enough'); } });
const cancelled = await slow.then(() => 'answered', () => 'cancelled');
await client.close();
console.log(JSON.stringify({
  tools: tools.map((tool) => tool.name), asked, steps, cancelled,
  echo: echo.content[0].text, typed: typed.structuredContent, cleaner: cleaner.content[0].text,
}));
