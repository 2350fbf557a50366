#!/usr/bin/env -S node --max-old-space-size=65536
/**
 * The `tardigrade` command. The sources run as they are (type stripping), which needs Node >= 24; on an older Node this
 * starts the `node` package's own binary instead and behaves like it: same streams, signals passed on, same exit status.
 */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { setFlagsFromString } from 'node:v8';
import { keepCompiled } from './compile-cache.js';
import { V8_OPTIONS } from './v8-options.js';

const MAJOR_MIN = 24;

if (Number(process.versions.node.split('.')[0]) >= MAJOR_MIN) {
  keepCompiled();
  // For those who start it as `node bin/tardigrade.js`; some options come too late here.
  for (const option of V8_OPTIONS) setFlagsFromString(option);
  const { main } = await import('../src/cli/main.ts');
  await main(process.argv.slice(2));
} else {
  const node = fileURLToPath(new URL('../node_modules/node/bin/node', import.meta.url));
  if (existsSync(node)) {
    rerun(node);
  } else {
    process.stderr.write(
      `tardigrade: TG_NODE_VERSION: this is Node ${process.versions.node}, ${MAJOR_MIN} or newer is needed\n` +
        '  run `npm ci` here (it brings the right Node as a dev dependency), or install Node 24\n',
    );
    process.exitCode = 125;
  }
}

function rerun(node) {
  const child = spawn(node, [...V8_OPTIONS, ...process.argv.slice(1)], { stdio: 'inherit' });
  // A terminal's SIGINT reaches the whole group; those sent to this process alone must be passed on.
  const signals = ['SIGHUP', 'SIGINT', 'SIGQUIT', 'SIGTERM', 'SIGUSR1', 'SIGUSR2', 'SIGCONT', 'SIGWINCH'];
  for (const signal of signals) process.on(signal, () => child.kill(signal));
  child.on('error', (error) => {
    process.stderr.write(`tardigrade: TG_NODE_VERSION: cannot start ${node}: ${error.message}\n`);
    process.exit(125);
  });
  child.on('exit', (code, signal) => {
    if (signal === null) process.exit(code ?? 125);
    for (const name of signals) process.removeAllListeners(name);
    process.kill(process.pid, signal);
    // Signals that the default does not end us for.
    setTimeout(() => process.exit(125), 100);
  });
}
