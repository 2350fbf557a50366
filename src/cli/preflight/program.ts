/**
 * Can this program run at all? Asked before anything is started, so that the answer is one clear message and not a
 * replica's last words. Statuses as a shell gives them: 127 not found, 126 found but not executable.
 */

import { OperatorError } from '../errors.ts';
import { type ElfFacts, inspectElf, scriptInterpreter } from './elf-header.ts';
import { type Found, fileBytes, find, type Image } from './guest-files.ts';
import { missingLibraries, missingLibraryError } from './shared-libraries.ts';

export interface ProgramQuestion {
  readonly image: Image;
  /** Host path of the guest's "/", for messages. */
  readonly rootfs: string;
  /** As the operator wrote it: a path, or a name to be looked up in the guest's PATH. */
  readonly program: string;
  readonly env: Readonly<Record<string, string>>;
  /** Guest path. */
  readonly cwd: string;
}

/** execve(2) follows this many levels of "#!". */
const SCRIPT_LEVELS_MAX = 4;

/** The guest path to execute. Throws OperatorError. */
export function checkProgram(question: ProgramQuestion): string {
  const { image, program } = question;
  const path = locate(question);
  let current = path;
  for (let level = 0; ; level++) {
    const found = executable(question, current, current === path ? program : current);
    const file = fileBytes(image, found.path);
    if (file === null) throw new OperatorError('TG_NOT_EXECUTABLE', `${current} cannot be read`);
    const interpreter = scriptInterpreter(file);
    if (interpreter === null) {
      checkLibraries(question, found.path, inspectElf(current, file));
      return path;
    }
    if (find(image, interpreter) === null) {
      throw new OperatorError(
        'TG_NO_INTERPRETER',
        `${current} is a script for ${interpreter}, which does not exist ${whereIs(question)}`,
        'Install it, or correct the first line of the script.',
      );
    }
    if (level >= SCRIPT_LEVELS_MAX) throw new OperatorError('TG_NOT_EXECUTABLE', `${path}: too many levels of scripts`);
    current = interpreter;
  }
}

function locate({ image, program, env, cwd, ...rest }: ProgramQuestion): string {
  const notFound = (looked: string) =>
    new OperatorError(
      'TG_NO_SUCH_PROGRAM',
      `no such program: ${program}${looked} ${whereIs(rest)}`,
      rest.rootfs === '/'
        ? 'Give the path of an x86-64 Linux program, for example: -- /usr/bin/redis-server'
        : 'Paths after -- are the guest’s: below --rootfs, or added with --file HOSTPATH:GUESTPATH.',
    );
  if (program.includes('/')) {
    const path = program.startsWith('/') ? program : `${cwd === '/' ? '' : cwd}/${program}`;
    if (find(image, path) === null) throw notFound('');
    return path;
  }
  const folders = (env.PATH ?? '').split(':').filter((folder) => folder.startsWith('/'));
  const paths = folders.map((folder) => `${folder}/${program}`);
  const isFile = (path: string) => find(image, path)?.entry.type === 'file';
  const path = paths.find((p) => isFile(p) && (find(image, p)!.entry.mode & 0o111) !== 0) ?? paths.find(isFile);
  if (program === '' || path === undefined) throw notFound(` in the guest's PATH (${folders.join(':')})`);
  return path;
}

function executable({ image }: ProgramQuestion, path: string, shown: string): Found {
  const found = find(image, path)!;
  if (found.entry.type === 'directory') {
    throw new OperatorError('TG_NOT_EXECUTABLE', `${shown} is a directory`, 'Name the program inside it.');
  }
  if (found.entry.type !== 'file') throw new OperatorError('TG_NOT_EXECUTABLE', `${shown} is not a regular file`);
  if ((found.entry.mode & 0o111) === 0) {
    throw new OperatorError('TG_NOT_EXECUTABLE', `${shown} is not executable`, `chmod +x ${found.path}`);
  }
  return found;
}

function checkLibraries(question: ProgramQuestion, path: string, facts: ElfFacts): void {
  const { image, env, rootfs } = question;
  if (facts.interpreter === null) return;
  if (find(image, facts.interpreter) === null) {
    throw new OperatorError(
      'TG_NO_INTERPRETER',
      `${path} needs the dynamic linker ${facts.interpreter}, which does not exist ${whereIs(question)}`,
      rootfs === '/'
        ? 'On a machine without amd64 libraries, give a file tree that has them: --rootfs DIR.'
        : 'Put the C library of the program into the --rootfs folder, or link the program statically.',
    );
  }
  const missing = missingLibraries(image, path, facts, env);
  if (missing.length > 0) throw missingLibraryError(missing, rootfs);
}

function whereIs({ rootfs }: { readonly rootfs: string }): string {
  return rootfs === '/' ? 'on this machine' : `under --rootfs ${rootfs}`;
}
