// Starts a node, makes PAPI's descriptors from it, runs the tests against it, and ends it.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream, existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';

const USAGE = `Usage: ./run [OPTION...] [TEST_FILE...]

Runs the wallet tests against a node that this starts and ends. Without a file, all of tests/.

  --chain NAME   the chain that the node runs [fast]
  --keep         keep the node's folder and its log
  --help         this

The node is the program that CUCKOO_NODE names, else the release build: in CARGO_TARGET_DIR, or in
the workspace's target folder. \`npm ci\` must have run here.`;

/** The whole run ends within this. */
const RUN_SECONDS = 285;
/** From the start of the node to its first answer. */
const START_SECONDS = 60;
/** What the node has for its own shutdown. */
const STOP_SECONDS = 10;
/** How much of the node's log is shown when something fails. */
const TAIL_LINES = 60;

const here = import.meta.dirname;

/** What was started and has not ended: name -> process. */
const running = new Map();

/** A failure that the message explains; a stack would say nothing more. */
class Failure extends Error {}

/** A failure about which the node's log says nothing. */
class NotTheNodes extends Failure {}

/**
 * Starts a program that dies with this one, however this one ends: `setpriv` has the kernel see to
 * it.
 */
function start(name, program, args, options) {
	const child = spawn('setpriv', ['--pdeathsig', 'KILL', '--', program, ...args], {
		cwd: here,
		...options,
	});
	running.set(name, child);
	const gone = () => running.delete(name);
	child.once('exit', gone).once('error', gone);
	return child;
}

async function stop(name) {
	const child = running.get(name);
	if (!child) return;
	const ended = once(child, 'exit');
	child.kill('SIGTERM');
	const patience = setTimeout(() => child.kill('SIGKILL'), STOP_SECONDS * 1_000);
	await ended;
	clearTimeout(patience);
}

/** Runs a program of Node.js to its end and fails if it does. */
async function complete(name, args, env, Failed = Failure) {
	const started = Date.now();
	const child = start(name, process.execPath, args, { stdio: 'inherit', env });
	const [code, signal] = await once(child, 'exit');
	if (code !== 0) throw new Failed(`${name} failed (${signal ?? `exit status ${code}`})`);
	console.log(`wallet-tests: ${name}: ${((Date.now() - started) / 1_000).toFixed(1)} s`);
}

function nodeProgram() {
	const target = path.resolve(here, '..', process.env.CARGO_TARGET_DIR || 'target');
	const program = process.env.CUCKOO_NODE || path.join(target, 'release/cuckoo-node');
	if (!existsSync(program)) {
		throw new NotTheNodes(`no ${program}. Build it: cargo build --release --workspace`);
	}
	return program;
}

/** Starts the node on ports that the system picks, and says where it listens for JSON-RPC. */
async function startNode(chain, folder, log) {
	const node = start(
		'the node',
		nodeProgram(),
		[
			['--chain', chain],
			['--base-path', path.join(folder, 'node')],
			['--validator', '--alice', '--unsafe-force-node-key-generation'],
			['--rpc-port', '0'],
			['--listen-addr', '/ip4/127.0.0.1/tcp/0', '--no-mdns'],
			['--no-prometheus', '--no-telemetry'],
			// The default seals a file in memory, which Linux may refuse for a moment under load.
			['--wasmtime-instantiation-strategy', 'pooling'],
		].flat(),
		{ stdio: ['ignore', 'pipe', 'pipe'] },
	);
	const file = createWriteStream(log);
	node.stdout.pipe(file);
	node.stderr.pipe(file);

	const deadline = Date.now() + START_SECONDS * 1_000;
	while (Date.now() < deadline && running.has('the node')) {
		const port = /JSON-RPC server: addr=127\.0\.0\.1:(\d+)/.exec(await readFile(log, 'utf8'));
		if (port && (await answers(port[1]))) return `ws://127.0.0.1:${port[1]}`;
		await sleep(200);
	}
	throw new Failure(
		running.has('the node') ? `the node gave no answer in ${START_SECONDS} s` : 'the node ended',
	);
}

/** Whether the node has written a block. */
async function answers(port) {
	const request = { jsonrpc: '2.0', id: 1, method: 'chain_getHeader', params: [] };
	try {
		const response = await fetch(`http://127.0.0.1:${port}`, {
			method: 'POST',
			headers: { 'content-type': 'application/json' },
			body: JSON.stringify(request),
		});
		return Number((await response.json()).result.number) > 0;
	} catch {
		return false;
	}
}

/**
 * Lets PAPI's own program make the typed descriptors from the running node's metadata. The settings
 * keep it from turning them into a package, which would have npm ask the network.
 */
async function makeDescriptors(url, env) {
	const settings = '.papi/polkadot-api.json';
	await rm(path.join(here, '.papi'), { recursive: true, force: true });
	await mkdir(path.join(here, '.papi'));
	await writeFile(
		path.join(here, settings),
		JSON.stringify({
			version: 0,
			descriptorPath: '.papi/descriptors',
			entries: {},
			options: { noDescriptorsPackage: true },
		}),
	);
	const add = ['node_modules/.bin/papi', 'add', 'cuckoo', '-w', url, '--config', settings];
	await complete('descriptors', add, env);
}

async function run(chain, files, folder, log) {
	if (!existsSync(path.join(here, 'node_modules/.package-lock.json'))) {
		throw new NotTheNodes('the packages are missing. Run: ./with-node npm ci');
	}
	const url = await startNode(chain, folder, log);
	console.log(`wallet-tests: the node listens on ${url}`);

	const env = { ...process.env, CUCKOO_WS: url };
	// PAPI uses the platform's WebSocket, which came with Node.js 22 and is behind a flag in 20.
	if (!globalThis.WebSocket) {
		env.NODE_OPTIONS = `${env.NODE_OPTIONS ?? ''} --experimental-websocket --no-warnings`;
	}
	await makeDescriptors(url, env);
	await complete('types', ['node_modules/.bin/tsc', '--project', '.'], env, NotTheNodes);
	// At the same time: what they wait for, eras, is the same for all.
	const test = ['--test', '--test-reporter=spec', `--test-concurrency=${files.length}`];
	await complete('tests', [...test, ...files], env);
}

async function main() {
	const { values: options, positionals } = parseArgs({
		allowPositionals: true,
		options: {
			chain: { type: 'string', default: 'fast' },
			keep: { type: 'boolean', default: false },
			help: { type: 'boolean', short: 'h', default: false },
		},
	});
	if (options.help) {
		console.log(USAGE);
		return 0;
	}
	const files = positionals.length
		? positionals.map((file) => path.resolve(file))
		: ['tests/polkadot-js.test.js', 'tests/papi.test.js'];

	const folder = await mkdtemp(path.join(tmpdir(), 'cuckoo-wallet-tests-'));
	const log = path.join(folder, 'node.log');
	await writeFile(log, '');
	const interrupted = new Promise((_, reject) => {
		for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
			process.once(signal, () => reject(new Failure(`ended by ${signal}`)));
		}
	});
	const late = sleep(RUN_SECONDS * 1_000, undefined, { ref: false }).then(() => {
		throw new Failure(`not done within ${RUN_SECONDS} s`);
	});
	try {
		await Promise.race([run(options.chain, files, folder, log), interrupted, late]);
		return 0;
	} catch (error) {
		if (!(error instanceof NotTheNodes)) {
			const lines = (await readFile(log, 'utf8')).trimEnd().split('\n').slice(-TAIL_LINES);
			console.error(`\nwallet-tests: the node's last words:\n${lines.join('\n')}`);
		}
		console.error(`\nwallet-tests: ${error instanceof Failure ? error.message : error.stack}`);
		return 1;
	} finally {
		for (const name of [...running.keys()].reverse()) await stop(name);
		if (options.keep) console.log(`wallet-tests: kept ${folder}`);
		else await rm(folder, { recursive: true, force: true });
	}
}

process.exit(await main());
