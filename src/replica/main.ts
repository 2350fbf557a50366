/** A replica's process, a child of the supervisor, which says over the channel what it is to be (protocol.ts). */

import { assert } from '../lvm/assert.ts';
import { cpuMaker, linux } from './linux-machine.ts';
import { runReplica } from './process.ts';

assert(process.send !== undefined, 'a replica is started by a supervisor');
runReplica({ machines: linux, makeCpu: cpuMaker() });
