// The Agents API through the official SDK: what a developer writes, against the real server.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import OpenAI from 'openai';
import { Server } from './server.mjs';

const script = {
  steps: [
    { when: 'weather', times: 0, text: 'Let me look.', tool_calls: [{ name: 'get_weather', arguments: { city: 'Lisbon' } }] },
    { when: 'celsius', times: 0, text: 'It is 21 degrees.' },
    { when: 'slowly', times: 0, delay_ms: 40, text: 'One two three four five six seven eight nine ten eleven twelve.' },
    { when: 'for ever', times: 0, text: 'I begin and', after_chunks: 2, hang: true },
    { when: 'fail', times: 0, fail: { code: 'invalid_request', message: 'The model cannot do that.' } },
    { when: 'repaired', times: 1, text: 'Sure! {"answer": 41}' },
    { when: 'repaired', times: 1, text: '{"answer": 42}' },
    { when: 'broken', times: 0, text: '{"answer": "many"}' },
    { when: 'json', times: 0, text: '{"answer": 42}' },
  ],
  otherwise: { text: 'You said: {{input}}' },
};

const tool = {
  type: 'function',
  name: 'get_weather',
  description: 'The weather.',
  parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
};

const user = (text) => ({
  type: 'agent.session.input.message',
  input: [{ role: 'user', content: [{ type: 'input_text', text }] }],
});

describe('agents sessions', () => {
  let server;
  let client;
  let sessions;
  before(async () => {
    server = await new Server(script).start();
    client = server.client();
    sessions = client.beta.agents.sessions;
  });
  after(() => server.close());

  const collect = async (stream) => {
    const events = [];
    for await (const event of stream) events.push(event);
    return events;
  };
  const create = async (input = 'hello', agent = {}) => {
    const events = await collect(
      await sessions.create({
        agent: { model: 'scripted', ...agent },
        environment: { type: 'none' },
        input,
        stream: true,
      }),
    );
    return events.find((event) => event.type === 'agent.session.created').session;
  };
  const idle = async (id) => {
    while (true) {
      const session = await sessions.retrieve(id);
      if (session.status !== 'in_progress') return session;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  };

  it('streams the creation of a session in the documented order', async () => {
    const events = await collect(
      await sessions.create({
        agent: { model: 'scripted' },
        environment: { type: 'none' },
        input: 'hi',
        stream: true,
      }),
    );
    const types = events.map((event) => event.type.replace('agent.session.', ''));
    assert.deepEqual(
      types.filter((type, index) => type !== types[index - 1]),
      [
        'created', 'turn.created', 'turn.item.added', 'in_progress', 'turn.in_progress',
        'turn.item.added', 'turn.content_part.added', 'turn.output_text.delta',
        'turn.output_text.done', 'turn.content_part.done', 'turn.item.done', 'turn.completed',
        'idle',
      ],
    );
    assert.equal(new Set(events.map((event) => event.event_id)).size, events.length);
    const deltas = events.filter((event) => event.type.endsWith('output_text.delta'));
    const done = events.find((event) => event.type.endsWith('output_text.done'));
    assert.equal(deltas.map((event) => event.delta).join(''), done.text);
  });

  it('runs a function tool through the session helper', async () => {
    const session = await create('hello', { tools: [tool] });
    const seen = [];
    const result = await sessions
      .stream(session.id, {
        input: 'weather?',
        toolHandlers: { get_weather: ({ city }) => (seen.push(city), { celsius: 21 }) },
      })
      .finalResult();
    assert.deepEqual(seen, ['Lisbon']);
    assert.match(JSON.stringify(result), /21 degrees/);
    assert.ok(!JSON.stringify(result.messages ?? result).includes('Let me look'), 'commentary is not the result');
  });

  it('tells the model when a handler fails', async () => {
    const session = await create('hello', { tools: [tool] });
    const events = await collect(
      sessions.stream(session.id, {
        input: 'weather?',
        toolHandlers: { get_weather: () => { throw new Error('no sensor'); } },
      }),
    );
    const output = events.find(
      (event) => event.type === 'agent.session.turn.item.added' && event.item.type === 'function_call_output',
    );
    assert.equal(output.item.status, 'failed');
    assert.equal(output.item.error, 'Tool handler failed.');
    assert.equal(output.item.output, null);
  });

  it('parses a structured answer', async () => {
    const session = await create('hello', {
      text: { format: { type: 'json_schema', schema: { type: 'object', properties: { answer: { type: 'number' } } } } },
    });
    const result = await sessions.stream(session.id, { input: 'json please' }).finalResult();
    assert.match(JSON.stringify(result), /42/);
  });

  it('asks once more for a structured answer that does not follow its schema', async () => {
    const session = await create('json', {
      text: {
        format: {
          type: 'json_schema',
          schema: { type: 'object', properties: { answer: { type: 'number' } }, required: ['answer'] },
        },
      },
    });
    const events = await collect(sessions.stream(session.id, { input: 'repaired' }));
    const done = events.filter(({ type, item }) => type === 'agent.session.turn.item.done' && item.type === 'message');
    assert.deepEqual(
      done.map(({ item }) => [item.status, item.content[0].text]),
      [['incomplete', 'Sure! {"answer": 41}'], ['completed', '{"answer": 42}']],
    );
    const items = (await sessions.items.list(session.id, { order: 'asc' })).data.slice(-2);
    assert.deepEqual(items.map(({ content }) => content[0].text), ['repaired', '{"answer": 42}']);
    const failed = await collect(sessions.stream(session.id, { input: 'broken' })).catch(async () => []);
    const [turn] = (await sessions.turns.list(session.id)).data;
    assert.equal(turn.status, 'failed');
    assert.equal(turn.error.code, 'server_error');
    assert.match(turn.error.message, /answer\.answer must be of type number, and is a string/);
    assert.ok(!failed.some(({ type }) => type === 'agent.session.turn.completed'));
    assert.equal((await idle(session.id)).status, 'idle');
  });

  it('updates a session, also in a turn that runs', async () => {
    const session = await create('hello', { tools: [tool] });
    await sessions.events.create(session.id, { events: [user('weather?')] });
    const { required_actions: [call] } = await idle(session.id);
    const forecast = { ...tool, name: 'get_forecast' };
    const updated = await sessions.update(session.id, {
      agent: { model: 'other', reasoning: { effort: 'high' }, tools: [forecast] },
      metadata: { updated: 'yes' },
    });
    assert.equal(updated.status, 'requires_action');
    assert.equal(updated.agent.model, 'other');
    assert.equal(updated.agent.reasoning.effort, 'high');
    assert.deepEqual(updated.agent.tools.map(({ name }) => name), ['get_forecast']);
    assert.deepEqual(await sessions.retrieve(session.id), updated);
    await sessions.events.create(session.id, {
      events: [{
        type: 'agent.session.input.tool_result', turn_id: call.turn_id, call_id: call.call_id,
        success: true, output: '{"celsius": 21}',
      }],
    });
    await idle(session.id);
    await sessions.stream(session.id, { input: 'again' }).finalResult();
    const turns = (await sessions.turns.list(session.id, { order: 'asc' })).data;
    const sent = [];
    for (const turn of turns) {
      const record = await fetch(`${server.url}/api/sessions/${session.id}/context/${turn.id}`, {
        headers: { Authorization: 'Bearer any' },
      });
      for (const { model, tools } of (await record.json()).data) sent.push([model, ...tools.names]);
    }
    assert.deepEqual(sent, [
      ['scripted', 'get_weather'], // the creation's turn
      ['scripted', 'get_weather'], // the turn that was running: its call …
      ['scripted', 'get_forecast'], // … and its answer, with the new tools and the model it began with
      ['other', 'get_forecast'],
    ]);
    const cleared = await sessions.update(session.id, { agent: { tools: null }, metadata: null });
    assert.deepEqual([cleared.agent.tools, cleared.metadata], [[], {}]);
    assert.equal((await sessions.update(session.id)).id, session.id);
    await assert.rejects(
      sessions.update(session.id, { agent: { instructions: 'x' } }),
      (error) => error.status === 400 && error.param === 'agent.instructions',
    );
  });

  it('survives kill -9 in the middle of a turn and finishes that turn', async () => {
    const own = await new Server(script).start();
    try {
      const api = own.client({ maxRetries: 0 }).beta.agents.sessions;
      const first = await collect(
        await api.create({ agent: { model: 'scripted' }, environment: { type: 'none' }, input: 'first', stream: true }),
      );
      const id = first[0].session.id;
      const stream = await api.events.stream(id);
      await api.events.create(id, { events: [user('slowly')] });
      let last;
      let turn;
      await assert.rejects(async () => {
        for await (const event of stream) {
          if (event.type === 'agent.session.turn.created') turn = event.turn.id;
          if (event.type === 'agent.session.turn.in_progress') last = event.event_id;
          if (event.type === 'agent.session.turn.output_text.delta') await own.kill();
        }
        throw new Error('the stream ended as if nothing had happened');
      });
      await own.start();
      const rest = [];
      for await (const event of await api.events.stream(id, {}, { headers: { 'Last-Event-ID': last } })) {
        rest.push(event);
        if (event.type === 'agent.session.idle') break;
      }
      const incomplete = rest.find((event) => event.type === 'agent.session.turn.item.done');
      assert.equal(incomplete.item.status, 'incomplete');
      const finished = await api.turns.retrieve(turn, { session_id: id });
      assert.equal(finished.status, 'completed');
      const texts = [];
      for await (const item of api.items.list(id, { order: 'asc' })) texts.push(item.content[0].text);
      assert.deepEqual(texts.slice(0, 3), ['first', 'You said: first', 'slowly']);
      assert.match(texts[3], /twelve\.$/);
      assert.equal(texts.length, 4);
    } finally {
      await own.close();
    }
  });

  it('rejoins behind every durable event with exactly the events that follow', async () => {
    // The whole history, read live: a creation with a tool call, cut off at its only pause.
    const response = await fetch(`${server.url}/v1/agents/sessions`, {
      method: 'POST',
      headers: { Authorization: 'Bearer any', 'Content-Type': 'application/json' },
      body: JSON.stringify({
        agent: { model: 'scripted', tools: [tool] },
        environment: { type: 'none' },
        input: 'weather?',
        stream: true,
      }),
    });
    let session;
    const all = [];
    for await (const { id, event } of events(response)) {
      if (id) all.push(id);
      if (event.type === 'agent.session.created') session = event.session.id;
      if (event.type === 'agent.session.requires_action') {
        const [{ turn_id, call_id }] = event.session.required_actions;
        await sessions.events.create(session, {
          events: [{ type: 'agent.session.input.tool_result', turn_id, call_id, success: true, output: '21 celsius' }],
        });
      }
    }
    assert.ok(all.length >= 18, `a turn with a tool round has ${all.length} durable events`);
    for (let cut = 0; cut < all.length - 1; cut += 1) {
      const rest = [];
      const stream = await fetch(
        `${server.url}/v1/agents/sessions/${session}/events?starting_after=${all[cut]}`,
        { headers: { Authorization: 'Bearer any' } },
      );
      for await (const { id } of events(stream)) {
        if (id) rest.push(id);
        if (id === all.at(-1)) break;
      }
      assert.deepEqual(rest, all.slice(cut + 1), `cut behind event ${cut}`);
    }
  });

  it('pages through lists in both directions', async () => {
    const session = await create('one');
    for (const text of ['two', 'three']) await collect(sessions.stream(session.id, { input: text }));
    const texts = async (query) => {
      const all = [];
      for await (const item of sessions.items.list(session.id, query)) all.push(item.content[0].text);
      return all;
    };
    const forward = await texts({ order: 'asc', limit: 2 });
    assert.deepEqual(forward, ['one', 'You said: one', 'two', 'You said: two', 'three', 'You said: three']);
    assert.deepEqual(await texts({ limit: 1 }), forward.toReversed());
    const turns = [];
    for await (const turn of sessions.turns.list(session.id, { limit: 1 })) turns.push(turn.status);
    assert.deepEqual(turns, ['completed', 'completed', 'completed']);
    const ids = [];
    for await (const each of sessions.list({ limit: 2 })) ids.push(each.id);
    assert.ok(ids.includes(session.id));
    assert.equal(new Set(ids).size, ids.length);
  });

  it('cancels a running turn and takes the next input', async () => {
    const session = await create('hello');
    const stream = await sessions.events.stream(session.id);
    await sessions.events.create(session.id, { events: [user('for ever')] });
    let status;
    for await (const event of stream) {
      if (event.type === 'agent.session.turn.output_text.delta')
        await sessions.events.create(session.id, { events: [{ type: 'agent.session.input.cancel' }] });
      if (event.type === 'agent.session.turn.cancelled') status = event.turn.status;
      if (event.type === 'agent.session.idle') break;
    }
    assert.equal(status, 'cancelled');
    const result = await sessions.stream(session.id, { input: 'still there?' }).finalResult();
    assert.match(JSON.stringify(result), /still there\?/);
  });

  it('reports a failed turn and keeps the session usable', async () => {
    const session = await create('hello');
    const events = await collect(sessions.stream(session.id, { input: 'fail' }));
    const failed = events.find((event) => event.type === 'agent.session.turn.failed');
    assert.equal(failed.turn.error.code, 'invalid_request');
    assert.equal((await idle(session.id)).status, 'idle');
  });

  it('raises the errors a developer expects', async () => {
    const api = server.client({ maxRetries: 0 }).beta.agents.sessions;
    await assert.rejects(api.retrieve('sess_nothing'), OpenAI.NotFoundError);
    await assert.rejects(api.create({ agent: {}, environment: { type: 'none' }, input: 'x' }), (error) => {
      assert.ok(error instanceof OpenAI.BadRequestError);
      assert.match(error.message, /agent\.model is required/);
      return true;
    });
    const session = await create('hello');
    await api.events.create(session.id, { events: [user('for ever')] });
    await assert.rejects(api.delete(session.id), OpenAI.ConflictError);
    await api.events.create(session.id, { events: [{ type: 'agent.session.input.cancel' }] });
    await idle(session.id);
    assert.equal((await api.delete(session.id)).deleted, true);
    await assert.rejects(api.retrieve(session.id), OpenAI.NotFoundError);
  });

  it('creates one session for one idempotency key', async () => {
    const body = { agent: { model: 'scripted' }, environment: { type: 'none' }, input: 'once' };
    const options = { headers: { 'Idempotency-Key': 'create-once' } };
    const [first, second] = await Promise.all([sessions.create(body, options), sessions.create(body, options)]);
    assert.equal(first.id, second.id);
    await assert.rejects(
      server.client({ maxRetries: 0 }).beta.agents.sessions.create({ ...body, input: 'another' }, options),
      OpenAI.ConflictError,
    );
  });
});

/** The events of an SSE response, with the id of each durable one. */
async function* events(response) {
  assert.ok(response.ok, `the stream answered ${response.status}`);
  let buffer = '';
  for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
    buffer += chunk;
    for (let end = buffer.indexOf('\n\n'); end >= 0; end = buffer.indexOf('\n\n')) {
      const text = buffer.slice(0, end);
      buffer = buffer.slice(end + 2);
      const data = /^data: ?(.*)$/m.exec(text)?.[1];
      if (data) yield { id: /^id: ?(.*)$/m.exec(text)?.[1], event: JSON.parse(data) };
    }
  }
}
