/** A replica's process with the echo machine. */

import { runReplica } from '../../src/replica/process.ts';
import { echo, noCpu } from './echo-machine.ts';

runReplica({ machines: echo, makeCpu: noCpu });
