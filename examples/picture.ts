// Makes a picture by a Cuckoo coordinator, following the task by WebSocket. Node.js 24 runs it as it
// stands, without packages:
//
//     node examples/picture.ts "a red apple" --out apple.png
//     CUCKOO_API_KEY=ck_... node examples/picture.ts "a red apple" --url https://coordinator.example

import { randomUUID } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';

type State =
	| 'queued' | 'assigned' | 'running' | 'submitted'
	| 'done' | 'failed' | 'cancelled' | 'expired';

interface TaskStatus {
	id: string;
	state: State;
	spec: { steps: number };
	position: number | null;
	eta_ms: number | null;
	steps_done: number;
	reason: string | null;
}

interface Reply {
	result?: unknown;
	error?: { code: number; message: string; data?: { name: string } };
}

const FINAL: State[] = ['done', 'failed', 'cancelled', 'expired'];

/** The coordinator says no: a stable code, its name, and a sentence for people. */
class Refused extends Error {
	constructor({ code, message, data }: NonNullable<Reply['error']>) {
		super(`${message} (error ${code}, ${data?.name ?? '?'})`);
	}
}

/** JSON-RPC 2.0: calls over HTTP, and a task's changes over a WebSocket. */
class Coordinator {
	readonly #url: string;
	readonly #headers: Record<string, string> = { 'content-type': 'application/json' };
	#id = 0;

	constructor(url: string, apiKey?: string) {
		this.#url = url.replace(/\/$/, '');
		if (apiKey) this.#headers.authorization = `Bearer ${apiKey}`;
	}

	async call<T>(method: string, params: object): Promise<T> {
		const body = JSON.stringify({ jsonrpc: '2.0', id: ++this.#id, method, params });
		const response = await fetch(this.#url, { method: 'POST', headers: this.#headers, body });
		const reply = (await response.json()) as Reply;
		if (reply.error) throw new Refused(reply.error);
		return reply.result as T;
	}

	/** Every status of the task from now on, the last one being final. */
	async *follow(id: string): AsyncGenerator<TaskStatus> {
		const socket = new WebSocket(this.#url.replace(/^http/, 'ws'));
		const waiting: (TaskStatus | Error)[] = [];
		let wake = () => {};
		const put = (item: TaskStatus | Error) => {
			waiting.push(item);
			wake();
		};
		socket.onopen = () => {
			const params = { id };
			socket.send(JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'task_subscribe', params }));
		};
		socket.onmessage = ({ data }) => {
			const message = JSON.parse(data);
			if (message.error) put(new Refused(message.error));
			if (message.method === 'task_event') put(message.params.result);
		};
		socket.onerror = socket.onclose = () => put(new Error('the connection broke'));
		try {
			for (;;) {
				const item = waiting.shift();
				if (item === undefined) {
					await new Promise<void>((resolve) => (wake = resolve));
					continue;
				}
				if (item instanceof Error) throw item;
				yield item;
				if (FINAL.includes(item.state)) return;
			}
		} finally {
			socket.close();
		}
	}

	/** The PNG of a task that is done. */
	async picture(id: string): Promise<Uint8Array> {
		const { path } = await this.call<{ path: string }>('task_result', { id });
		const response = await fetch(this.#url + path);
		if (!response.ok) throw new Error(`the picture is not there: HTTP ${response.status}`);
		return new Uint8Array(await response.arrayBuffer());
	}
}

function line({ state, position, steps_done, spec, eta_ms }: TaskStatus): string {
	let text: string = state;
	if (state === 'queued') text += `, ${position} before it`;
	if (state === 'running') text += `, step ${steps_done} of ${spec.steps}`;
	if (eta_ms !== null) text += `, about ${Math.round(eta_ms / 1000)} s to go`;
	return text;
}

async function main(): Promise<void> {
	const { positionals, values } = parseArgs({
		allowPositionals: true,
		options: {
			url: { type: 'string', default: 'http://127.0.0.1:8645' },
			out: { type: 'string', default: 'picture.png' },
		},
	});
	const [prompt] = positionals;
	if (!prompt) throw new Error('say what the picture shows: picture.ts "a red apple" [--url URL] [--out FILE]');

	const coordinator = new Coordinator(values.url, process.env.CUCKOO_API_KEY);
	// With the key a submit can be repeated: it gives the same task.
	const options = { idempotency_key: randomUUID() };
	const task = await coordinator.call<TaskStatus>('task_submit', { spec: { prompt }, options });
	let last = task;
	for await (const status of coordinator.follow(task.id)) {
		last = status;
		process.stderr.write(`\r\x1b[K${line(status)}`);
	}
	process.stderr.write('\n');
	if (last.state !== 'done') throw new Error(`task ${task.id} is ${last.state}: ${last.reason}`);
	await writeFile(values.out, await coordinator.picture(task.id));
	console.log(values.out);
}

main().catch((error: Error) => {
	console.error(`error: ${error.message}`);
	process.exitCode = 1;
});
