/**
 * How functions of translated code are called and what they call: their types, tables and numbers, and the ways in which they
 * are left.
 */

/**
 * A region's function: (depth, budget, rsp) → (budget, rsp), in machine registers. The rest of the guest's state is in the
 * register file between two, and where control goes: OFF_NEXT.
 */
export const REGION_TYPE = 0;
export const REGION_PARAMETERS = ['i32', 'i64', 'i64'] as const;
export const REGION_RESULTS = ['i64', 'i64'] as const;
export const PARAM_DEPTH = 0;
export const PARAM_BUDGET = 1;
export const PARAM_RSP = 2;
/** Nested guest calls on the wasm stack. */
export const DEPTH_LIMIT = 200;
/** A step function: (record, depth) → way (step-translate.ts). */
export const STEP_TYPE = 1;
export const STEP_PARAMETERS = 2;

/** Slots of the table of regions: 0 where there is nothing to fetch; where there is no region yet. */
export const SLOT_INTERPRET = 1;
/** The other table of the helpers' module: of step functions. */
export const TABLE_STEPS = 1;

/** Function indices of a module: imports, then its own. See module.ts. */
export const FUNC_FIX = 0;
export const FUNC_HELPER = 1;
export const FUNC_RESUME = 2;
export const FUNC_LOOKUP = 3;
export const FUNC_FLAGS = 4;
export const FUNC_MULHU = 5;
export const FUNC_DIVLU = 6;
export const FUNC_CRC32C = 7;
export const FUNC_NOTE_JUMP = 8;
export const FUNC_HOT = 9;
/** Of calm.ts: the first of four, by the type of the operands. */
export const FUNC_CALM = 10;
export const FIRST_FUNCTION = 14;

/**
 * How an exit goes on: return `next` behind a return or a call; tail-call its region, behind a branch or where a
 * run may not stop (translate.ts); interpret from the instruction that failed a check; return 0.
 */
export const EXIT_KIND_RETURN = 0;
export const EXIT_KIND_CALL = 1;
export const EXIT_KIND_CHAIN = 2;
export const EXIT_KIND_FORWARD = 3;
export const EXIT_KIND_SLOW = 4;
export const EXIT_KIND_STOP = 5;
