// Functions that are searched for, and functions whose results come late, through the official SDK.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import OpenAI from 'openai';
import { Server } from './server.mjs';

const script = {
  steps: [
    { when: 'Found, and can be called', times: 0, tool_calls: [{ name: 'send_email', arguments: { to: 'ada' } }] },
    { when: 'write to ada', times: 0, tool_calls: [{ name: 'tool_search', arguments: { query: 'message to a customer' } }] },
    { when: 'delivered', times: 0, text: 'It is sent.' },
    { when: 'in the background:]', times: 0, text: 'Here it is: {{input}}' },
    { when: 'runs in the background', times: 0, text: 'I have begun.' },
    { when: 'render', times: 0, tool_calls: [{ name: 'render', arguments: { size: 3 } }] },
  ],
  otherwise: { text: 'You said: {{input}}' },
};

const parameters = { type: 'object', properties: {} };
const render = { type: 'function', name: 'render', description: 'Renders.', parameters, async: true };
const searched = [
  { type: 'tool_search' },
  { type: 'function', name: 'send_email', description: 'Sends a message to a customer.', parameters, defer_loading: true },
  { type: 'function', name: 'refund', description: 'Gives money back.', parameters, defer_loading: true },
];

describe('function tools', () => {
  let server;
  let sessions;
  before(async () => {
    server = await new Server(script).start();
    sessions = server.client().beta.agents.sessions;
  });
  after(() => server.close());

  const idle = async (api, id) => {
    while (true) {
      const session = await api.retrieve(id);
      if (session.status === 'idle') return session;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  };
  const create = async (tools, input = 'hello', api = sessions) => {
    const session = await api.create({ agent: { model: 'scripted', tools }, environment: { type: 'none' }, input });
    return idle(api, session.id);
  };

  it('finds a deferred function and runs it through the session helper', async () => {
    const session = await create(searched);
    assert.deepEqual(session.agent.tools.map((tool) => tool.name), ['send_email', 'refund']);
    const seen = [];
    const result = await sessions
      .stream(session.id, {
        input: 'write to ada',
        toolHandlers: { send_email: ({ to }) => (seen.push(to), 'delivered') },
      })
      .finalResult();
    assert.deepEqual(seen, ['ada']);
    assert.match(JSON.stringify(result), /It is sent\./);
    const types = [];
    for await (const item of sessions.items.list(session.id, { order: 'asc' })) types.push(item.type);
    assert.deepEqual(types, ['message', 'message', 'message', 'function_call', 'function_call_output', 'message']);
  });

  it('keeps tool_search in a saved agent', async () => {
    const agents = server.client().beta.agents;
    const agent = await agents.create({ model: 'scripted', tools: searched });
    assert.equal(agent.tools[0].type, 'tool_search');
    assert.equal((await agents.retrieve(agent.id)).tools[1].defer_loading, true);
  });

  it('takes the result of an async function after its turn, and after kill -9', async () => {
    const own = await new Server(script).start();
    try {
      const api = own.client({ maxRetries: 0 }).beta.agents.sessions;
      const begun = await create([render], 'render it', api);
      const [action] = begun.required_actions;
      assert.equal(action.name, 'render');
      assert.deepEqual(action.arguments, { size: 3 });
      // A turn in between, by a helper that knows the function: it is not run again.
      const toolHandlers = { render: () => assert.fail('it was run again') };
      await api.stream(begun.id, { input: 'how are you?', toolHandlers }).finalResult();
      await own.kill();
      await own.start();
      assert.deepEqual((await api.retrieve(begun.id)).required_actions, [action]);

      const result = (output) => ({
        events: [
          {
            type: 'agent.session.input.tool_result',
            turn_id: action.turn_id,
            call_id: action.call_id,
            success: true,
            output,
          },
        ],
      });
      const stream = await api.events.stream(begun.id);
      await api.events.create(begun.id, result('a picture'));
      const events = [];
      for await (const event of stream) {
        events.push(event);
        if (event.type === 'agent.session.idle') break;
      }
      const added = events.find((event) => event.item?.type === 'function_call_output');
      assert.equal(added.item.output, 'a picture');
      const answer = events.findLast((event) => event.type.endsWith('output_text.done'));
      assert.match(answer.text, /^Here it is: .*a picture$/s);
      await api.events.create(begun.id, result('a picture'));
      await assert.rejects(api.events.create(begun.id, result('another')), OpenAI.ConflictError);
      assert.deepEqual((await idle(api, begun.id)).required_actions, []);
    } finally {
      await own.close();
    }
  });

  it('runs an async function through the session helper', async () => {
    const session = await create([render]);
    let runs = 0;
    const result = await sessions
      .stream(session.id, { input: 'render it', toolHandlers: { render: () => (++runs, 'a picture') } })
      .finalResult();
    assert.equal(runs, 1);
    assert.match(JSON.stringify(result), /I have begun|Here it is/);
    // Where the turn was over before the result came, that began another.
    let last;
    while (!/Here it is/.test(JSON.stringify(last ?? ''))) {
      const { data } = await sessions.items.list(session.id, { limit: 1 });
      [last] = data;
    }
    assert.deepEqual((await idle(sessions, session.id)).required_actions, []);
  });
});
