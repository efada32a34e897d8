// The main job, with the official `openai` SDK and nothing else: one session that streams a turn,
// lets the model call a function of ours, loses its server in the middle of a turn, and goes on.
//
//   node main_job.mjs begin      open a session, stream two turns; prints the session's id
//   node main_job.mjs interrupt  start a long turn; exits when its first words have arrived
//   node main_job.mjs rejoin     after the server came back: follow that turn to its end
//
// demo.sh runs the three and kills the server between the last two. State between them is one small
// file. OPENAI_BASE_URL and OPENAI_API_KEY point at Perdure, PERDURE_DEMO_MODEL names the model.
import OpenAI from 'openai';
import { readFileSync, writeFileSync } from 'node:fs';

const model = process.env.PERDURE_DEMO_MODEL ?? 'default';
const stateFile = process.env.PERDURE_DEMO_STATE ?? 'main_job.json';
const client = new OpenAI();
const sessions = client.beta.agents.sessions;

const print = (text) => process.stdout.write(text);
const line = (text) => print(`${text}\n`);
const state = () => JSON.parse(readFileSync(stateFile, 'utf8'));
const save = (value) => writeFileSync(stateFile, JSON.stringify(value));

const weather = {
  type: 'function',
  name: 'get_weather',
  description: 'The current weather in a city.',
  parameters: {
    type: 'object',
    properties: { city: { type: 'string' } },
    required: ['city'],
    additionalProperties: false,
  },
};

function show(event) {
  if (event.type === 'agent.session.turn.output_text.delta') print(event.delta);
  if (event.type === 'agent.session.turn.output_text.done') print('\n');
  if (event.type === 'agent.session.turn.item.added' && event.item.type === 'function_call')
    line(`  [the model calls ${event.item.name}(${JSON.stringify(event.item.arguments)})]`);
  // A small model may talk until it meets its limit of tokens: an end, if not a graceful one.
  if (event.type === 'agent.session.turn.failed' && event.turn.error?.code !== 'max_output_tokens')
    throw new Error(`the turn failed: ${event.turn.error?.code} ${event.turn.error?.message}`);
}

async function begin() {
  line('> My code word is heron. Greet me in one short sentence.');
  const stream = await sessions.create({
    agent: {
      model,
      instructions: 'Answer in one or two short sentences.',
      tools: [weather],
    },
    environment: { type: 'none' },
    input: 'My code word is heron. Greet me in one short sentence.',
    stream: true,
    toolHandlers: { get_weather: ({ city }) => ({ city, sky: 'clear', celsius: 21 }) },
  });
  let session;
  for await (const event of stream) {
    if (event.type === 'agent.session.created') session = event.session;
    show(event);
  }
  save({ session: session.id });
  line(`  [session ${session.id}]`);

  const question = 'call get_weather {"city":"Lisbon"} and tell me about the sky.';
  line(`> ${question}`);
  let called = 0;
  const turn = sessions.stream(session.id, {
    input: question,
    toolHandlers: {
      get_weather: ({ city }) => {
        called += 1;
        line(`  [our function runs on this machine for ${city}]`);
        return { city, sky: 'clear', celsius: 21 };
      },
    },
  });
  for await (const event of turn) show(event);
  if (called === 0)
    throw new Error('the model never called the function, though it was told to: a larger one would');
}

async function interrupt() {
  const { session } = state();
  const events = await sessions.events.stream(session);
  const request = 'Tell me a short story about a heron, then list ten birds, one on each line.';
  line(`> ${request}`);
  await sessions.events.create(session, {
    events: [
      {
        type: 'agent.session.input.message',
        input: [{ role: 'user', content: [{ type: 'input_text', text: request }] }],
      },
    ],
  });
  let last;
  let turn;
  for await (const event of events) {
    if (event.type === 'agent.session.turn.created') turn = event.turn.id;
    if (event.type === 'agent.session.turn.in_progress') last = event.event_id;
    if (event.type === 'agent.session.turn.item.added' && event.item.type === 'function_call')
      last = event.event_id;
    show(event);
    if (event.type === 'agent.session.turn.output_text.delta') break;
  }
  save({ ...state(), turn, last });
  line(' …');
}

async function rejoin() {
  const { session, turn, last } = state();
  // Last-Event-ID: exactly the durable events that follow, with the ids they had before the crash.
  const events = await sessions.events.stream(session, {}, { headers: { 'Last-Event-ID': last } });
  let attempts = 0;
  for await (const event of events) {
    if (event.type === 'agent.session.turn.item.done' && event.item.status === 'incomplete' && !attempts)
      line('  [the attempt that died with the server is closed as incomplete; a new one starts]');
    if (event.type === 'agent.session.turn.item.added') attempts += 1;
    show(event);
    if (event.type === 'agent.session.idle') break;
  }
  const turns = [];
  for await (const each of sessions.turns.list(session, { order: 'asc' })) turns.push(each);
  const finished = turns.find((each) => each.id === turn);
  const end = finished?.error?.code ?? finished?.status;
  if (end !== 'completed' && end !== 'max_output_tokens') throw new Error(`the turn is ${end}`);
  if (!attempts) throw new Error('nothing was streamed after the restart');
  const first = turns[0].usage?.input_tokens ?? 0;
  const resumed = finished.usage?.input_tokens ?? 0;
  if (!(resumed > first))
    throw new Error(`the resumed turn had ${resumed} input tokens, the first ${first}: context lost`);
  line(`  [the same turn ended: ${end}; its model call read ${resumed} tokens of context, the`);
  line(`   first turn read ${first}: what came before the crash is still in it]`);
  const items = [];
  for await (const item of sessions.items.list(session, { order: 'asc' })) items.push(item.type);
  line(`  [${turns.length} turns, ${items.length} items: ${items.join(', ')}]`);
}

const steps = { begin, interrupt, rejoin };
const step = steps[process.argv[2]];
if (!step) {
  console.error('usage: node main_job.mjs begin | interrupt | rejoin');
  process.exit(2);
}
await step();
process.exit(0); // open streams do not keep us
