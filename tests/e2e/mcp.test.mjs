// Tools of a real MCP server, called by the server under test: nobody here wrote either end.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createServer } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Server } from './server.mjs';

const everything = fileURLToPath(
  import.meta.resolve('@modelcontextprotocol/server-everything/dist/index.js'),
);

/** The reference server of the protocol, over streamable HTTP, on a free port of loopback. */
class Everything {
  async start() {
    for (let attempt = 0; attempt < 5; attempt += 1) {
      this.port = await freePort();
      this.process = spawn(process.execPath, [everything, 'streamableHttp'], {
        stdio: ['ignore', 'ignore', 'pipe'],
        env: { PATH: process.env.PATH, PORT: String(this.port) },
      });
      const said = await new Promise((resolve) => {
        let text = '';
        this.process.once('exit', () => resolve(undefined)); // somebody else took the port
        this.process.stderr.on('data', (data) => (text += data).includes('listening') && resolve(text));
      });
      if (said) return this;
    }
    throw new Error('the MCP server did not start');
  }

  tool(more = {}) {
    return {
      type: 'mcp',
      server_label: 'everything',
      transport: { type: 'http', server_url: `http://127.0.0.1:${this.port}/mcp` },
      ...more,
    };
  }

  async close() {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return;
    const exited = new Promise((resolve) => this.process.once('exit', resolve));
    this.process.kill('SIGKILL');
    await exited;
  }
}

const freePort = () =>
  new Promise((resolve, reject) => {
    const probe = createServer().once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });

const call = (name, args) => ({ name: `everything__${name}`, arguments: args });
const script = {
  steps: [
    { when: 'echo', times: 1, tool_calls: [call('echo', { message: 'hello' })] },
    { when: 'both', times: 1, tool_calls: [call('get-sum', { a: 2, b: 40 }), { name: 'mine', arguments: {} }] },
    { when: 'weather', times: 1, tool_calls: [call('get-structured-content', { location: 'Chicago' })] },
    { when: 'wrong', times: 1, tool_calls: [call('get-sum', { a: 'two', b: 40 })] },
    { when: 'unlisted', times: 1, tool_calls: [call('get-env', {})] },
    { when: 'again', times: 1, tool_calls: [call('echo', { message: 'still here' })] },
  ],
  otherwise: { text: 'It said: {{input}}' },
};
const mine = { type: 'function', name: 'mine', description: '', parameters: { type: 'object', properties: {} } };

describe('tools of an MCP server', () => {
  let server;
  let outside;
  let sessions;
  before(async () => {
    outside = await new Everything().start();
    server = await new Server(script).start();
    sessions = server.client().beta.agents.sessions;
  });
  after(async () => {
    await server?.close();
    await outside?.close();
  });

  const collect = async (stream) => {
    const events = [];
    for await (const event of stream) events.push(event);
    return events;
  };
  const create = (input, tools) =>
    sessions.create({ agent: { model: 'scripted', tools }, environment: { type: 'none' }, input, stream: true });
  const items = async (events) => {
    const all = [];
    for await (const item of sessions.items.list(events[0].session.id, { order: 'asc' })) all.push(item);
    return all;
  };
  const mcpEvents = (events) =>
    events.filter((event) => event.item?.type === 'mcp_call').map((event) => [event.type.split('.').at(-1), event.item]);

  it('are listed, offered, called and shown', async () => {
    const events = await collect(await create('echo', [outside.tool()]));
    const [[added, begun], [done, item], ...rest] = mcpEvents(events);
    assert.deepEqual([added, done, rest], ['added', 'done', []]);
    assert.equal(begun.status, 'in_progress');
    assert.equal(begun.output, null);
    assert.deepEqual(
      { ...item, id: null, turn_id: null },
      {
        id: null, type: 'mcp_call', turn_id: null, status: 'completed', server_label: 'everything',
        name: 'echo', arguments: { message: 'hello' }, output: 'Echo: hello', error: null,
      },
    );
    const listed = await items(events);
    assert.deepEqual(listed.map((each) => each.type), ['message', 'mcp_call', 'message']);
    assert.deepEqual(listed[1], item);
    assert.equal(listed[2].content[0].text, 'It said: Echo: hello');
  });

  it('are never left to the client, whose own functions are', async () => {
    const events = await collect(await create('hello', [outside.tool(), mine]));
    const seen = [];
    const result = await sessions
      .stream(events[0].session.id, {
        input: 'both',
        toolHandlers: {
          mine: () => (seen.push('mine'), 'mine is done'),
          'get-sum': () => seen.push('get-sum'),
          'everything__get-sum': () => seen.push('everything__get-sum'),
        },
      })
      .finalResult();
    assert.deepEqual(seen, ['mine']);
    assert.ok(result);
    const calls = (await items(events)).filter((item) => item.type === 'mcp_call');
    assert.match(calls[0].output, /42/);
  });

  it('may give structured results', async () => {
    const [, [, item]] = mcpEvents(await collect(await create('weather', [outside.tool()])));
    assert.equal(JSON.parse(item.output).conditions, 'Light rain / drizzle');
  });

  it('may fail, and the model reads why', async () => {
    const events = await collect(await create('wrong', [outside.tool()]));
    const [, [, item]] = mcpEvents(events);
    assert.equal(item.status, 'failed');
    assert.equal(item.output, null);
    assert.match(item.error, /number/);
    assert.ok(events.some((event) => event.type === 'agent.session.turn.completed'));
  });

  it('are limited to the allowed ones', async () => {
    const events = await collect(await create('unlisted', [outside.tool({ allowed_tools: ['echo'] })]));
    assert.deepEqual(mcpEvents(events), []);
    const call = (await items(events)).find((item) => item.type === 'function_call');
    assert.equal(call.status, 'failed');
  });

  it('come back when their server, or this one, has been started anew', async () => {
    const own = await new Everything().start();
    try {
      const events = await collect(await create('echo', [own.tool()]));
      const port = own.port;
      await own.close();
      own.process = spawn(process.execPath, [everything, 'streamableHttp'], {
        stdio: ['ignore', 'ignore', 'pipe'],
        env: { PATH: process.env.PATH, PORT: String(port) },
      });
      await new Promise((resolve) => own.process.stderr.once('data', resolve));
      await collect(sessions.stream(events[0].session.id, { input: 'again' }));
      const calls = (await items(events)).filter((item) => item.type === 'mcp_call');
      assert.deepEqual(calls.map((item) => item.output), ['Echo: hello', 'Echo: still here']);
    } finally {
      await own.close();
    }
    const events = await collect(await create('hello', [outside.tool()]));
    await server.kill();
    await server.start();
    await collect(sessions.stream(events[0].session.id, { input: 'echo' }));
    const [call] = (await items(events)).filter((item) => item.type === 'mcp_call');
    assert.equal(call.output, 'Echo: hello');
  });
});
