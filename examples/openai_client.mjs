// A fine-tune with OpenAI's Node client (npm install openai) against a service of yours:
//
//     GOEXPERIMENT=simd go run ./service &
//     node examples/openai_client.mjs
//
// It does what openai_client.py does. LORIKEET_URL and LORIKEET_KEY say where the service is and
// what opens it.

import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import OpenAI, { toFile } from 'openai';

const client = new OpenAI({
  baseURL: (process.env.LORIKEET_URL ?? 'http://127.0.0.1:8080') + '/v1',
  apiKey: process.env.LORIKEET_KEY ?? 'none', // no key is asked for on loopback
});

// OpenAI's format: one conversation a line, whose answer is what is learned.
const [, ...lines] = readFileSync(new URL('reviews.csv', import.meta.url), 'utf8').trim().split('\n');
const rows = lines.map((line) => {
  const [, text, sentiment] = line.match(/^(.*),(\w+),\w+$/);
  return JSON.stringify({
    messages: [
      { role: 'system', content: 'Is this review positive or negative?' },
      { role: 'user', content: text.replace(/^"|"$/g, '') },
      { role: 'assistant', content: sentiment },
    ],
  });
});
const file = await client.files.create({ file: await toFile(Buffer.from(rows.join('\n')), 'reviews.jsonl'), purpose: 'fine-tune' });
console.log(`uploaded ${file.filename} as ${file.id}`);

let job = await client.fineTuning.jobs.create({
  model: 'tiny-bert',
  training_file: file.id,
  suffix: 'sentiment',
  method: { type: 'supervised', supervised: { hyperparameters: { n_epochs: 8, batch_size: 8 } } },
  lorikeet: { validation: { split: 0.25 }, lora: { r: 8 } }, // what OpenAI's API has no words for
});
while (!['succeeded', 'failed', 'cancelled'].includes(job.status)) {
  await sleep(1000);
  job = await client.fineTuning.jobs.retrieve(job.id);
}
if (job.status !== 'succeeded') throw new Error(`the job ${job.status}: ${job.error?.message}`);
const events = await client.fineTuning.jobs.listEvents(job.id, { limit: 3 });
for (const event of events.data.reverse()) console.log(' ', event.message);
console.log(`${job.fine_tuned_model} learned in ${job.finished_at - job.created_at} s`);

for (const text of ['The waiter was charming and the dessert was superb.', 'We waited an hour and the soup was cold.']) {
  const answer = await client.chat.completions.create({
    model: job.fine_tuned_model,
    messages: [{ role: 'user', content: text }],
    logprobs: true,
    top_logprobs: 2,
  });
  const [choice] = answer.choices;
  const scores = choice.logprobs.content[0].top_logprobs.map((t) => `${t.token} ${Math.exp(t.logprob).toFixed(2)}`).join(', ');
  console.log(`${text} -> ${choice.message.content} (${scores})`);
}

// A base that writes streams its answer, piece by piece.
const stream = await client.chat.completions.create({
  model: 'tiny-t5',
  messages: [
    { role: 'system', content: 'Translate to Spanish.' },
    { role: 'user', content: 'The cat is black.' },
  ],
  temperature: 0,
  stream: true,
});
for await (const chunk of stream) process.stdout.write(chunk.choices[0].delta.content ?? '');
process.stdout.write('\n');
