// Saved agents through the official SDK: what a developer writes, against the real server.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import OpenAI from 'openai';
import { Server } from './server.mjs';

const script = {
  steps: [
    { when: 'weather', times: 0, text: 'Let me look.', tool_calls: [{ name: 'get_weather', arguments: { city: 'Lisbon' } }] },
    { when: 'celsius', times: 0, text: 'It is 21 degrees.' },
  ],
  otherwise: { text: 'You said: {{input}}' },
};

const tool = {
  type: 'function',
  name: 'get_weather',
  description: 'The weather.',
  parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
};

describe('saved agents', () => {
  let server;
  let agents;
  before(async () => {
    server = await new Server(script).start();
    agents = server.client({ maxRetries: 0 }).beta.agents;
  });
  after(() => server.close());

  const all = async (list) => {
    const out = [];
    for await (const element of list) out.push(element);
    return out;
  };
  /** A new session of a saved agent, idle. */
  const session = async (members) => {
    const events = await all(
      await agents.sessions.create({ environment: { type: 'none' }, input: 'hello', stream: true, ...members }),
    );
    return events.find((event) => event.type === 'agent.session.created').session;
  };

  it('are created, read, changed, listed and deleted', async () => {
    const agent = await agents.create({ model: 'scripted', name: 'helper', tools: [tool], metadata: { team: 'a' } });
    assert.equal(agent.object, 'agent');
    assert.deepEqual(await agents.retrieve(agent.id), agent);
    const changed = await agents.update(agent.id, { instructions: 'Be brief.', metadata: null });
    assert.deepEqual(changed.metadata, {});
    assert.equal(changed.name, 'helper');
    assert.deepEqual(changed.tools, agent.tools);
    assert.ok((await all(agents.list({ limit: 1 }))).some(({ id }) => id === agent.id));
    assert.deepEqual(await agents.delete(agent.id), { id: agent.id, object: 'agent.deleted', deleted: true });
    await assert.rejects(agents.retrieve(agent.id), OpenAI.NotFoundError);
    await assert.rejects(agents.update(agent.id, {}), OpenAI.NotFoundError);
  });

  it('are listed page by page, each once', async () => {
    const made = [];
    for (let i = 0; i < 5; ++i) made.push((await agents.create({ model: 'scripted' })).id);
    const ids = (await all(agents.list({ limit: 2, order: 'asc' }))).map(({ id }) => id);
    assert.deepEqual(ids.filter((id) => made.includes(id)), made);
    assert.equal(new Set(ids).size, ids.length);
  });

  it('give sessions what they were made from, whatever happens to the agent', async () => {
    const agent = await agents.create({ model: 'scripted', name: 'helper', tools: [tool] });
    const first = await session({ agent_id: agent.id });
    await agents.update(agent.id, { name: 'renamed', tools: [] });
    const second = await session({ agent_id: agent.id, agent: { instructions: 'Be brief.' } });
    await agents.delete(agent.id);
    assert.equal(first.agent.id, agent.id);
    assert.equal(second.agent.name, 'renamed');
    assert.equal(second.agent.instructions, 'Be brief.');
    assert.deepEqual(second.agent.tools, []);

    const seen = [];
    const result = await agents.sessions
      .stream(first.id, {
        input: 'weather?',
        toolHandlers: { get_weather: ({ city }) => (seen.push(city), { celsius: 21 }) },
      })
      .finalResult();
    assert.deepEqual(seen, ['Lisbon']);
    assert.match(JSON.stringify(result), /21 degrees/);
    assert.equal((await agents.sessions.retrieve(first.id)).agent.name, 'helper');
    const ids = (await all(agents.sessions.list({ agent_id: agent.id, limit: 1 }))).map(({ id }) => id);
    assert.deepEqual(ids, [second.id, first.id]);
    await assert.rejects(session({ agent_id: agent.id }), OpenAI.NotFoundError);
  });

  it('take updates that come at once, all of them', async () => {
    const agent = await agents.create({ model: 'scripted' });
    const updates = [
      { name: 'n' },
      { instructions: 'i' },
      { metadata: { k: 'v' } },
      { tools: [tool] },
      { reasoning: { effort: 'low' } },
    ];
    await Promise.all(updates.map((update) => agents.update(agent.id, update)));
    const now = await agents.retrieve(agent.id);
    assert.equal(now.version, 6);
    assert.equal(now.name, 'n');
    assert.equal(now.instructions, 'i');
    assert.deepEqual(now.metadata, { k: 'v' });
    assert.equal(now.tools.length, 1);
    assert.equal(now.reasoning.effort, 'low');
  });

  it('are on disk when they are answered', async () => {
    const own = await new Server(script).start();
    try {
      const api = own.client({ maxRetries: 0 }).beta.agents;
      const made = await Promise.all(
        Array.from({ length: 10 }, (_, i) => api.create({ model: 'scripted', name: `agent ${i}` })),
      );
      const changed = await api.update(made[0].id, { name: 'changed' });
      const used = await api.sessions.create({ agent_id: made[0].id, environment: { type: 'none' }, input: 'hello' });
      assert.equal(used.agent.version, 2);
      await api.delete(made[1].id);
      await own.kill();
      await own.start();
      assert.deepEqual(await api.retrieve(made[0].id), changed);
      assert.deepEqual((await api.sessions.retrieve(used.id)).agent, used.agent);
      await assert.rejects(api.retrieve(made[1].id), OpenAI.NotFoundError);
      for (const agent of made.slice(2)) assert.deepEqual(await api.retrieve(agent.id), agent);
    } finally {
      await own.close();
    }
  });

  it('are refused by name for what is not offered', async () => {
    await assert.rejects(
      agents.create({ model: 'scripted', tools: [{ type: 'web_search' }] }),
      (error) => error instanceof OpenAI.BadRequestError && error.param === 'tools[0].type' && /not supported yet/.test(error.message),
    );
    const local = await session({ agent: { model: 'scripted' } });
    await assert.rejects(session({ agent_id: local.agent.id }), { status: 400, code: 'agent_not_persisted' });
  });
});
