// A tour of a running service with the TypeScript types that openapi-typescript makes of
// its document, and openapi-fetch. LORIKEET_URL names the service; see go/main.go.

import createClient from 'openapi-fetch';
import type { components, paths } from './schema';

const client = createClient<paths>({ baseUrl: process.env.LORIKEET_URL });

function check(what: string, ok: unknown, seen: unknown): asserts ok {
  if (!ok) {
    console.error(`FAILED: ${what}:`, seen);
    process.exit(1);
  }
}

const text = 'The waiter was charming and the dessert was superb.';
const predicted = await client.POST('/predict', { body: { model: 'tiny-bert', adapter: 'sentiment', inputs: text } });
check('predict', predicted.data?.results[0]?.label === 'positive', predicted);
const wrote = await client.POST('/generate', { body: { model: 'tiny-t5', instruction: 'Translate to Spanish.', input: 'The cat is black.' } });
const written = wrote.data as components['schemas']['Generation']; // else a stream, a string
check('generate', written.text, wrote);
const planned = await client.POST('/tune/lora', {
  params: { query: { dry_run: true } },
  body: { model: 'tiny-bert', name: 'ts-dry', dataset: { rows: [{ text: 'good', label: 'yes' }, { text: 'bad', label: 'no' }] } },
});
const plan = planned.data as components['schemas']['Plan'];
check('dry run', plan.rows === 2, planned);
const jobs = await client.GET('/tune/jobs', { params: { query: { limit: 5 } } });
check('jobs', jobs.data && jobs.data.data.length > 0, jobs);
const problem = await client.POST('/predict', { body: { model: 'tiny-bert', adapter: 'nobody@9', inputs: [text] } });
check('an error', problem.response.status === 404 && problem.error?.code === 'adapter_not_found', problem);
const chat = await client.POST('/v1/chat/completions', { body: { model: 'sentiment', messages: [{ role: 'user', content: text }] } });
const answer = chat.data as components['schemas']['ChatCompletion'];
check('chat', answer.choices[0]?.message.content === 'positive', chat);
console.log(`TypeScript: predicted ${predicted.data.results[0]!.label}, wrote '${written.text}', planned ${plan.steps} steps, saw ${jobs.data.data.length} jobs and an error`);
