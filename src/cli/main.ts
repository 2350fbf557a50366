/**
 * The `tardigrade` command: subcommands, parsing, exit status. Each subcommand is in its own file and is loaded only when
 * it is called.
 */

import { Command, CommanderError, Option } from 'commander';
import { EXIT_FAILURE, formatError, isCodedError, OperatorError } from './errors.ts';
import { say } from './output.ts';
import { DEFAULTS } from './run-options.ts';
import { TRACE_KINDS } from './values.ts';
import { packageVersion } from './version.ts';

/** Sets process.exitCode; does not end the process, so that output gets out. */
export async function main(argv: readonly string[]): Promise<void> {
  try {
    await command().parseAsync(argv, { from: 'user' });
  } catch (error) {
    process.exitCode = report(error);
  }
}

/** Says what went wrong and returns the exit status. */
function report(error: unknown): number {
  if (error instanceof CommanderError) {
    if (error.exitCode === 0) return 0;
    // Help asked for by calling with nothing has been printed already.
    if (error.code === 'commander.help') return EXIT_FAILURE;
    const message = error.message.replace(/^error: /, '');
    say(formatError(new OperatorError('TG_USAGE', message, 'tardigrade help [COMMAND] lists what there is.')));
    return EXIT_FAILURE;
  }
  if (isCodedError(error)) {
    say(formatError(error));
    return error.exitStatus;
  }
  const unexpected = error instanceof Error ? (error.stack ?? error.message) : String(error);
  say(`tardigrade: TG_INTERNAL: ${unexpected}`);
  return EXIT_FAILURE;
}

const collect = (value: string, previous: string[] | undefined) => [...(previous ?? []), value];

export function command(): Command {
  const program = new Command('tardigrade')
    .description('Runs an unmodified Linux program as a fault-tolerant service.')
    .version(packageVersion(), '-V, --version', 'print the version')
    .enablePositionalOptions()
    .configureOutput({ outputError: () => {} })
    .exitOverride()
    .showSuggestionAfterError(true);

  const inherit = (sub: Command) =>
    sub
      .configureOutput({ outputError: () => {} })
      .exitOverride()
      .allowExcessArguments(false);

  inherit(program.command('run'))
    .description('run PROGRAM: on two replicas unless told otherwise; in this terminal with --replicas 1')
    .usage('[options] -- PROGRAM ARGS…')
    .argument('[program...]', 'the program and its arguments, as the guest sees them')
    .passThroughOptions()
    .option('--replicas <n>', `copies that are kept in step, 1 to 9 (default ${DEFAULTS.replicas})`)
    .option('--publish <[host:]port[:guestport]>', 'let clients in on a port of this machine; may be repeated', collect)
    .option('--rootfs <dir>', `folder that the guest sees as "/", read-only (default ${DEFAULTS.rootfs})`)
    .option('--file <hostpath:guestpath>', 'put a file or folder over the root folder; may be repeated', collect)
    .option('--env <name=value>', 'set a variable of the guest’s environment; may be repeated', collect)
    .option('--epoch <ms>', `longest time between two checkpoints (default ${DEFAULTS.epoch})`)
    .option('--memory <size>', `most memory that the guest may have (default ${DEFAULTS.memory})`)
    .option('--data-dir <dir>', 'keep the state here: a run after everything stopped goes on from it')
    .option(
      '--trace <kinds[:file]>',
      `write what the guest does to FILE or stderr: ${TRACE_KINDS.join(', ')} (with --replicas 1)`,
    )
    .option('--profile <file>', 'write the functions that the guest spends its instructions in (with --replicas 1)')
    .option('--json', 'tell what happens as lines of JSON on stderr')
    .addHelpText(
      'after',
      '\nEach option can also be set by TARDIGRADE_<OPTION> or in ./tardigrade.json.' +
        '\nExit status: the program’s own; 125 our failure, 126 not executable, 127 not found, 128+n ended by signal n.' +
        '\n\nExample:\n  tardigrade run --publish 6379 -- /usr/bin/redis-server --protected-mode no',
    )
    .action(async (words: string[], options: Record<string, unknown>) => {
      const { run } = await import('./run.ts');
      process.exitCode = await run(options, words);
    });

  inherit(program.command('ps'))
    .description('list the services that run on this machine')
    .option('--json', 'as JSON')
    .action(async (options: { json?: boolean }) => {
      const { ps } = await import('./ps.ts');
      await ps(options);
    });

  inherit(program.command('status'))
    .description('how a service is: replicas, view, epochs, latencies')
    .argument('[service]', 'its id, as ps shows it; not needed if only one runs')
    .option('--json', 'as JSON')
    .action(async (service: string | undefined, options: { json?: boolean }) => {
      const { status } = await import('./status.ts');
      await status(service, options);
    });

  inherit(program.command('failover'))
    .description('hand the service over to a backup, in good order')
    .argument('[service]', 'its id')
    .option('--json', 'as JSON')
    .action(async (service: string | undefined, options: { json?: boolean }) => {
      const { failover } = await import('./failover.ts');
      await failover(service, options);
    });

  inherit(program.command('stop'))
    .description('ask the program to end (SIGTERM) and stop its service; with --data-dir: stop it, and keep its state')
    .argument('[service]', 'its id')
    .addOption(new Option('--json', 'as JSON'))
    .action(async (service: string | undefined, options: { json?: boolean }) => {
      const { stop } = await import('./stop.ts');
      await stop(service, options);
    });

  inherit(program.command('version'))
    .description('print the version')
    .option('--json', 'as JSON')
    .action(async (options: { json?: boolean }) => {
      const { version } = await import('./version.ts');
      version(options);
    });

  return program;
}
