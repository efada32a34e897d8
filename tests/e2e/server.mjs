// A real `perdure` process for a test: its own data directory, a free port, a scripted model.
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import OpenAI from 'openai';

const binary = process.env.PERDURE_BINARY;
if (!binary) throw new Error('PERDURE_BINARY must name the perdure to test');

export class Server {
  /** @param script what the model says: see docs/protocols/scripted-model.md */
  constructor(script) {
    this.directory = mkdtempSync(join(tmpdir(), 'perdure-e2e-'));
    this.data = join(this.directory, 'data');
    this.script = join(this.directory, 'script.json');
    writeFileSync(this.script, JSON.stringify(script));
    this.listen = '127.0.0.1:0';
    this.log = '';
  }

  async start() {
    this.process = spawn(
      binary,
      ['dev', '--listen', this.listen, '--data-dir', this.data, '--script', this.script],
      {
        stdio: ['ignore', 'pipe', 'pipe'],
        env: { PATH: process.env.PATH, HOME: this.directory, PERDURE_LOG_FORMAT: 'json' },
      },
    );
    this.exited = new Promise((resolve) => this.process.once('exit', resolve));
    for (const stream of [this.process.stdout, this.process.stderr])
      stream.on('data', (data) => (this.log += data));
    const pid = this.process.pid;
    while (true) {
      if (this.process.exitCode !== null) throw new Error(`perdure did not start:\n${this.log}`);
      const info = this.runtimeInfo();
      if (info?.pid === pid && (await this.ready(info.url))) {
        this.url = info.url;
        this.listen = info.url.replace('http://', ''); // the same port after a restart
        return this;
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  runtimeInfo() {
    try {
      return JSON.parse(readFileSync(join(this.data, 'server.json'), 'utf8'));
    } catch {
      return undefined; // not written yet
    }
  }

  async ready(url) {
    try {
      return (await fetch(`${url}/readyz`)).ok;
    } catch {
      return false;
    }
  }

  async kill(signal = 'SIGKILL') {
    this.process.kill(signal);
    return this.exited;
  }

  async close() {
    if (this.process?.exitCode === null && this.process.signalCode === null)
      await this.kill('SIGTERM');
    rmSync(this.directory, { recursive: true, force: true });
  }

  client(options = {}) {
    return new OpenAI({ baseURL: `${this.url}/v1`, apiKey: 'any', ...options });
  }
}
