// OpenAI's Node client does the tour of a running service, and each answer is checked; see
// openai_python.py. LORIKEET_URL names the service, whose bases must be tiny-bert and
// tiny-t5, and which must listen on loopback without keys.

import { createServer, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import OpenAI, { toFile } from 'openai';

const URL_ = process.env.LORIKEET_URL;
const client = new OpenAI({ baseURL: URL_ + '/v1', apiKey: 'none', timeout: 120_000 });
const run = `node${process.pid}`; // names of this run

function check(what, ok, ...seen) {
  if (!ok) {
    console.log(`FAILED: ${what}:`, ...seen);
    process.exit(1);
  }
  console.log(`ok  ${what}`);
}

async function raises(what, kind, call, { param, code } = {}) {
  try {
    await call();
  } catch (e) {
    check(what, e instanceof kind && (!param || e.param === param) && (!code || e.code === code) && e.requestID, e);
    return e;
  }
  check(what, false, 'no error');
}

const chat = (text, answer) => ({ messages: [{ role: 'user', content: text }, { role: 'assistant', content: answer }] });
const jsonl = (rows) => Buffer.from(rows.map((r) => JSON.stringify(r)).join('\n'));

async function wait(job, ...statuses) {
  for (let i = 0; i < 1000; i++) {
    job = await client.fineTuning.jobs.retrieve(job.id);
    if (statuses.includes(job.status)) return job;
    if (['succeeded', 'failed', 'cancelled'].includes(job.status)) break;
    await sleep(250);
  }
  check(`the job becomes ${statuses}`, false, job);
}

function listen(handler) {
  return new Promise((resolve) => {
    const server = createServer(handler).listen(0, '127.0.0.1', () => resolve(server));
  });
}

async function bodyOf(req) {
  const parts = [];
  for await (const part of req) parts.push(part);
  return Buffer.concat(parts);
}

// --- models and chat
const ids = [];
for await (const m of client.models.list()) ids.push(m.id);
check('models lists the bases', ids.includes('tiny-bert') && ids.includes('tiny-t5'), ids);
await raises('an unknown model is NotFoundError', OpenAI.NotFoundError, () => client.models.retrieve('nope'), { code: 'model_not_found' });
const messages = [{ role: 'system', content: 'Translate to Spanish.' }, { role: 'user', content: [{ type: 'text', text: 'The cat is black.' }] }];
const whole = await client.chat.completions.create({ model: 'tiny-t5', messages, temperature: 0, logprobs: true, top_logprobs: 2 });
const said = whole.choices[0].message.content;
check('chat answers', said && whole.choices[0].finish_reason === 'stop' && whole.usage.total_tokens === whole.usage.prompt_tokens + whole.usage.completion_tokens, whole);
check('logprobs are of the text', Buffer.from(whole.choices[0].logprobs.content.flatMap((t) => t.bytes)).toString().trim() === said.trim());
let streamed = '', usage;
for await (const chunk of await client.chat.completions.create({ model: 'tiny-t5', messages, temperature: 0, stream: true, stream_options: { include_usage: true } })) {
  streamed += chunk.choices[0]?.delta.content ?? '';
  usage = chunk.usage ?? usage;
}
check('a stream is the same text, and tells its usage', streamed === said && usage.total_tokens === whole.usage.total_tokens, streamed, usage);
const final = await client.chat.completions.stream({ model: 'tiny-t5', messages, temperature: 0 }).finalChatCompletion();
check("the client's own stream helper reads it", final.choices[0].message.content === said, final);
const abort = new AbortController();
const cut = await client.chat.completions.create({ model: 'tiny-t5', messages, stream: true }, { signal: abort.signal });
for await (const _ of cut) { abort.abort(); break; }
const text = await client.completions.create({ model: 'tiny-t5', prompt: 'Translate to Spanish.\nThe cat is black.', temperature: 0, n: 2 });
check('completions answers', text.choices.length === 2 && text.choices[0].text === text.choices[1].text, text);
await raises('n above 8', OpenAI.BadRequestError, () => client.chat.completions.create({ model: 'tiny-t5', messages, n: 9 }), { param: 'n' });
await raises('tools', OpenAI.BadRequestError, () => client.chat.completions.create({ model: 'tiny-t5', messages, tools: [{ type: 'function', function: { name: 'f' } }] }), { param: 'tools' });

// --- files
const data = jsonl(Array.from({ length: 32 }, (_, i) => chat(`the ${['food', 'room'][i % 2]} was ${i % 4 < 2 ? 'great' : 'awful'} ${i}`, i % 4 < 2 ? 'good' : 'bad')));
const file = await client.files.create({ file: await toFile(data, `${run}.jsonl`), purpose: 'fine-tune' });
check('a file is taken', file.bytes === data.length && file.status === 'processed', file);
check('and given out as it came', (await (await client.files.content(file.id)).text()) === data.toString());
const files = [];
for await (const f of client.files.list({ limit: 1 })) files.push(f.id);
check('files are listed, page after page', files.includes(file.id) && new Set(files).size === files.length, files);
await raises('a bad file is refused', OpenAI.BadRequestError, async () => client.files.create({ file: await toFile(Buffer.from('{"messages":1}\n'), 'bad.jsonl'), purpose: 'fine-tune' }));

// --- a webhook, and a fine-tune
const events = [];
const receiver = await listen(async (req, res) => {
  events.push([(await bodyOf(req)).toString(), req.headers]);
  res.writeHead(204).end();
});
const hook = await client.post('/webhook_endpoints', {
  body: { name: run, url: `http://127.0.0.1:${receiver.address().port}/`, event_types: ['fine_tuning.job.succeeded'] },
});
let job = await client.fineTuning.jobs.create({
  model: 'tiny-bert', training_file: file.id, suffix: run, metadata: { run },
  method: { type: 'supervised', supervised: { hyperparameters: { n_epochs: 6, batch_size: 8, learning_rate_multiplier: 'auto' } } },
  lorikeet: { validation: { split: 0.25 } },
});
check('a job is made', job.object === 'fine_tuning.job' && job.metadata.run === run, job);
job = await wait(job, 'succeeded');
check('a job names its model', job.fine_tuned_model === `${run}@1`, job);
const history = [];
for await (const e of client.fineTuning.jobs.listEvents(job.id, { limit: 4 })) history.push(e);
check('events come page after page', history[0].message.includes('completed') && new Set(history.map((e) => e.id)).size === history.length, history[0]);
const points = await client.fineTuning.jobs.checkpoints.list(job.id);
check('checkpoints are listed', points.data.every((p) => p.fine_tuning_job_id === job.id), points.data);
check('the results are a table', (await (await client.files.content(job.result_files[0])).text()).startsWith('step,train_loss'));
const label = await client.chat.completions.create({ model: run, messages: [{ role: 'user', content: 'the room was awful 3' }] });
check('the model answers with its label', label.choices[0].message.content === 'bad' && label.model === `${run}@1`, label);
for (let i = 0; i < 200 && events.length === 0; i++) await sleep(100);
const told = await client.webhooks.unwrap(events[0][0], events[0][1], hook.signing_secret);
check('unwrap verifies what an endpoint is told', told.type === 'fine_tuning.job.succeeded' && told.data.id === job.id, told);
await raisesPlain('and finds out what was changed', () => client.webhooks.unwrap(events[0][0] + ' ', events[0][1], hook.signing_secret));

async function raisesPlain(what, call) {
  try {
    await call();
    check(what, false);
  } catch (e) {
    check(what, e instanceof OpenAI.InvalidWebhookSignatureError, e);
  }
}

// --- a create whose answer is lost
const to = new URL(URL_);
const counts = [];
const proxy = await listen(async (req, res) => {
  const body = await bodyOf(req);
  const up = request({ host: to.hostname, port: to.port, path: req.url, method: req.method, headers: req.headers }, async (answer) => {
    const got = await bodyOf(answer);
    if (req.method === 'POST' && counts.push(req.headers['x-stainless-retry-count']) === 1) return req.socket.destroy();
    res.writeHead(answer.statusCode, answer.headers).end(got);
  });
  up.end(body);
});
const shaky = new OpenAI({ baseURL: `http://127.0.0.1:${proxy.address().port}/v1`, apiKey: 'none' });
const count = async () => (await client.fineTuning.jobs.list({ limit: 100 })).data.length;
const before = await count();
let long = await shaky.fineTuning.jobs.create({ model: 'tiny-bert', training_file: file.id, hyperparameters: { n_epochs: 500, batch_size: 4 } });
check('a create sent again makes one job', counts.join() === '0,1' && (await count()) === before + 1, counts);

// --- pause, resume, cancel
long = await wait(long, 'running');
await client.fineTuning.jobs.pause(long.id);
check('a running job is paused', (await wait(long, 'paused')).status === 'paused');
await client.fineTuning.jobs.resume(long.id);
check('and resumed', (await wait(long, 'running', 'queued')).status);
check('and cancelled', (await client.fineTuning.jobs.cancel(long.id)).status === 'cancelled');
const sent = counts.length;
await raises('a cancelled job is ConflictError', OpenAI.ConflictError, () => shaky.fineTuning.jobs.cancel(long.id), { code: 'job_over' });
check('which the client does not send again', counts.length === sent + 1, counts);

// --- tidy
check('a tuned model is deleted', (await client.models.delete(`${run}@1`)).deleted);
check('a file is deleted', (await client.files.delete(file.id)).deleted);
await raises('and is gone', OpenAI.NotFoundError, () => client.files.retrieve(file.id), { code: 'file_not_found' });
await client.delete(`/webhook_endpoints/${hook.id}`);
receiver.closeAllConnections();
proxy.closeAllConnections();
receiver.close();
proxy.close();
console.log('openai for Node: the whole tour');
