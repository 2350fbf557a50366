/**
 * V8 options of every process that runs a guest. A guest's memory counts 4 GiB to the garbage collector, though it is
 * mostly not there: with the usual limits it collects everything, twice, for each. Translated code says which of its branches
 * are rare; older versions of V8 pass over that. It is validated function by function, when it is compiled: of a pack of the
 * code cache (which is checksummed) most is not needed at once.
 */
export const V8_OPTIONS = [
  '--max-old-space-size=65536',
  '--experimental-wasm-branch-hinting',
  '--wasm-lazy-validation',
];
