// The Responses API through the official SDK for Node: streams that are accumulated, functions, turns.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Server } from './server.mjs';

const script = {
  steps: [
    { when: 'weather', times: 0, text: 'Let me look.', tool_calls: [{ name: 'get_weather', arguments: { city: 'Lisbon' } }] },
    { when: 'celsius', times: 0, text: 'It is 21 degrees.' },
    { when: 'decline', times: 0, text: 'I will not.', refusal: true },
    { when: 'once more', text: 'I begin and', after_chunks: 2, fail: { code: 'server_error', retryable: true, retry_after_ms: 20 } },
    { when: 'once more', text: 'Here it is.' },
  ],
  otherwise: { text: 'You said: {{input}}. First: {{first}}.' },
};

const weather = {
  type: 'function',
  name: 'get_weather',
  description: 'The weather.',
  strict: true,
  parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'], additionalProperties: false },
};

describe('responses', () => {
  let server;
  let responses;
  before(async () => {
    server = await new Server(script).start();
    responses = server.client().responses;
  });
  after(() => server.close());

  it('are created, read and continued', async () => {
    const first = await responses.create({ model: 'm', input: 'heron' });
    assert.equal(first.output_text, 'You said: heron. First: heron.');
    assert.equal(first.status, 'completed');
    const read = await responses.retrieve(first.id);
    assert.deepEqual(read.output, first.output);
    const second = await responses.create({ model: 'm', input: 'two', previous_response_id: first.id });
    assert.equal(second.output_text, 'You said: two. First: heron.');
    const asked = [];
    for await (const item of responses.inputItems.list(second.id)) asked.push(item.content[0].text);
    assert.deepEqual(asked, ['two']);
  });

  it('are accumulated from a stream as they are read later', async () => {
    const stream = responses.stream({ model: 'm', input: 'weather', tools: [weather] });
    const numbers = [];
    for await (const event of stream) numbers.push(event.sequence_number);
    assert.deepEqual(numbers, numbers.map((_, at) => at));
    const final = await stream.finalResponse();
    assert.deepEqual(final.output.map((item) => item.type), ['message', 'function_call']);
    assert.equal(final.output[1].arguments, '{"city":"Lisbon"}');
    const ended = await responses.create({
      model: 'm',
      previous_response_id: final.id,
      tools: [weather],
      input: [{ type: 'function_call_output', call_id: final.output[1].call_id, output: '21 celsius' }],
    });
    assert.equal(ended.output_text, 'It is 21 degrees.');
  });

  it('tell a refusal in the stream as in the answer', async () => {
    const stream = responses.stream({ model: 'm', input: 'decline' });
    const types = [];
    for await (const event of stream) types.push(event.type);
    assert.ok(types.includes('response.refusal.done'));
    const final = await stream.finalResponse();
    assert.equal(final.output[0].content[0].refusal, 'I will not.');
  });

  it('leave a failed attempt out of the answer', async () => {
    const stream = await responses.create({ model: 'm', input: 'once more', stream: true });
    const events = [];
    for await (const event of stream) events.push(event);
    const last = events.at(-1);
    assert.equal(last.type, 'response.completed');
    assert.deepEqual(last.response.output.map((item) => item.content[0].text), ['Here it is.']);
    for (let at = 1; at < events.length; ++at)
      assert.ok(events[at].sequence_number > events[at - 1].sequence_number);
    const again = [];
    for await (const event of await responses.retrieve(last.response.id, { stream: true })) again.push(event);
    assert.equal(again.at(-1).sequence_number, last.sequence_number);
  });

  it('run in the background and are cancelled or deleted', async () => {
    const { id, status } = await responses.create({ model: 'm', input: 'later', background: true });
    assert.ok(['queued', 'completed', 'in_progress'].includes(status));
    let response = await responses.retrieve(id);
    while (response.status !== 'completed') response = await responses.retrieve(id);
    await responses.cancel(id);
    await responses.delete(id);
    await assert.rejects(responses.retrieve(id), { status: 404 });
  });
});
