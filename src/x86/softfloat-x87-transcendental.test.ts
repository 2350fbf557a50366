/**
 * The x87's transcendental functions beside values rounded from 1200 bits (mpmath 1.3.0; the angles reduced by the x87's π
 * of 66 bits). test/cpu compares more with the host's processor, which may differ in the last bit.
 */

import { expect, test } from 'vitest';
import { Parts } from './softfloat-core.ts';
import { signExponentOf, unpack, X87Arithmetic } from './softfloat-x87.ts';
import {
  arctangent,
  cosine,
  powerOfTwo,
  sine,
  sineCosine,
  tangent,
  yLog2,
  yLog2Plus1,
} from './softfloat-x87-transcendental.ts';

/** Function, rounding mode, x, y, result; numbers as sign with exponent and significand. */
const GOLDEN = `
  sin 0 ac02.aef331f41a32dfad - ac02.aef331f41a32dfad
  sin 0 c002.b4d7000000000000 - 3ffe.f4097e49bad2e741
  sin 0 4032.a59089d7a706ca2b - bffe.c1df950533e96d45
  sin 0 401c.adc2c656f609a827 - bffe.fad0f59d815f120e
  sin 1 c024.c582f9f63ae58118 - bffe.cb94faaef66d846b
  sin 1 b927.eb036ad4bbda2b26 - b927.eb036ad4bbda2b26
  sin 2 00ad.b1e36c7bc6d1b3c5 - 00ad.b1e36c7bc6d1b3c5
  sin 2 c03d.ff7e21a61263d956 - 3ffd.ed2278979f20606a
  sin 3 b194.d6b184c40c4e6fa3 - b194.d6b184c40c4e6fa2
  sin 3 c023.a066941b472a36c2 - bffe.a38c851291383a0b
  cos 0 c03c.c640a738c2532eda - bffe.be0c5b6b698dc27e
  cos 0 402f.92b223c5b8722336 - bffb.c9149b400521b141
  cos 0 3ff5.cc7aa473c6e46a83 - 3ffe.ffffeb958a2a422a
  cos 0 bff4.9896925123d57160 - 3ffe.fffffd2866ced77f
  cos 1 c016.f06b60d0a9683959 - 3ffc.ded5c1e119b639a5
  cos 1 401e.b313a315e4ebce1e - bffe.e25c854ec1a2073b
  cos 2 3ff0.c7466873000d2e31 - 3ffe.fffffffb270bb204
  cos 2 00ad.b1e36c7bc6d1b3c5 - 3fff.8000000000000000
  cos 3 c009.c5fdbcc3d44c960b - 3ffe.d7feea1f6c47c34a
  cos 3 c035.8d2e852018142a5f - 3ffe.c671ce7dcea31e7b
  tan 0 4005.c2e0f8d8daf6ed99 - 3ffa.cd142c05479dfb42
  tan 0 a0f6.ebe8492bda566101 - a0f6.ebe8492bda566101
  tan 0 401b.8000000000000001 - 4001.be9afbfa4ca5a8c0
  tan 0 bff4.9896925123d57160 - bff4.98969372431e6af2
  tan 1 4024.a7eb25d746ed2faf - 3ff7.bf5a84b04cc1ac61
  tan 1 c01a.d46f000000000000 - bffe.e08f3faa973e7a7c
  tan 2 4011.e44d3b93eb07531e - c001.9f8637f643a077c4
  tan 2 3fff.c875000000000000 - 4006.d39aa948d70e4004
  tan 3 c016.850012b899eeef1a - 4000.c44440d559a7669c
  tan 3 3ff0.b58eec502a3a3a72 - 3ff0.b58eec5211452b5d
  exp2m1 0 bfb1.8000000000000000 - bfb0.b17217f7d1cf79ac
  exp2m1 0 bfbf.a033a93612baa64b - bfbe.de163bfeecbf0c03
  exp2m1 0 3fdb.8000000000000002 - 3fda.b17217f7d5a7716f
  exp2m1 0 2e0d.d4acbd104c202477 - 2e0d.936a378ddbd86432
  exp2m1 1 bfbc.951acca637b4c9db - bfbb.ceb3f6c79bf5d421
  exp2m1 1 3fb7.ddd931ddfb1e8e10 - 3fb7.99c60af7f5562057
  exp2m1 2 887b.b19c5bc1a37f6c40 - 887a.f638876573e2ddba
  exp2m1 2 bfed.c4cf8de92ed021af - bfed.886b25cc1208cbc2
  exp2m1 3 3fec.98ddc78348e521e8 - 3feb.d3eafaffde71bcd0
  exp2m1 3 3fbd.f6e212224dc22929 - 3fbd.ab205653192119f2
  ylog2 0 7ff5.f43dc70b3ac635b5 4116.ebc9e926aba45140 4124.eba880c6e9f2072d
  ylog2 0 4dfe.834c7d6f3423839d c0fa.ce63ee3266ef0fe6 c106.b48b0366c1d331d1
  ylog2 0 3fff.f49bb1b167e762db 4116.e04dd83d81325db6 4116.d192e2b55a6db420
  ylog2 0 3ffe.bdee80c5ed6945d8 c0eb.fdc186569abf6265 40ea.da911c13ae25f81c
  ylog2 1 7fba.8000000000000001 4125.c95608dfa8bf4f74 4133.c87cf81e179d6132
  ylog2 1 7fe7.9e03ff6f05a38f41 4120.fb14731b83eaeb92 412e.fab77caccd2ae944
  ylog2 2 7fd5.f0be000000000000 c127.906cd3f4e81ed173 c135.90101b05d7ccd7ca
  ylog2 2 3fff.e9e7c1eb9d076416 c0fd.947b948a3b165801 c0fd.8125bdb7aa5331b2
  ylog2 3 309d.c6db08a8fa1f1890 c110.9b5b9159a05a9b88 411c.95573d3fbf8b4ca7
  ylog2 3 7fcf.d53a000000000000 c112.f8c8000000000000 c120.f81046a778046b8b
  ylog2p1 0 3fe8.abab0a00ff8515b3 4117.ec7447a16a9d2195 4101.e4c15e9731718aa5
  ylog2p1 0 3fce.8a4c53a6510f58d7 40ec.82678fe9b831fb1c 40bb.cb4529ff08868c58
  ylog2p1 0 3ffc.c2da224917a0972c c0eb.fdc186569abf6265 c0e9.ff153b8960534077
  ylog2p1 0 bffa.a22efe898b10c8bc 4124.a0522df1b2f91824 c120.958300f5affd3f09
  ylog2p1 1 bff0.82349edee6cd354a 40e3.ee3b5de864fee3c0 c0d5.aecfd1a0c8838913
  ylog2p1 1 bfe5.ff8e000000000000 4106.9d84fc40e3ff2316 c0ed.e2db7578491037fd
  ylog2p1 2 bfb3.8000000000000000 c0e9.add32f6230f39b49 409d.fac6c0ef9753efb4
  ylog2p1 2 bfad.9d64bc21d865da4f 40eb.82af000000000000 c099.e7d4dc46cb007def
  ylog2p1 3 bfba.ce14a90a33408946 4111.c8991cd850f21094 c0cd.e8f8249e08f79aa2
  ylog2p1 3 3fb8.aaf3ca0005c0ad2b 4126.bede3ee2c6021cd7 40e0.b7e2332c2ee7eef4
  atan2 0 c0dc.869e000000000000 c0e2.8000000000000002 bfff.cb2a463a3520975d
  atan2 0 40e4.b95bca46c8df8f79 c0eb.fdc186569abf6265 bfff.c854dbbb50cb688d
  atan2 0 c117.f8e5000000000000 c110.cd33ee7801c93d2a c000.c8a653328bf59a09
  atan2 0 c0eb.9392cedbc1c6716d 40dd.919547e4eb9da982 4000.c90ede1605b448c3
  atan2 1 3f45.d344000000000000 c0dd.f172effee8c6f063 bfff.c90fdaa22168c235
  atan2 1 c10e.e6e7000000000000 c0df.c75f5a22a8548e91 c000.c90fdaa2216853b0
  atan2 2 3fff.8000000000000000 3ffd.858dcdd4793c1042 3ffd.82a48f146cb93e8d
  atan2 2 c128.cd5dce83dcfaf3c1 c127.a6e2000000000000 c000.b05cc77125f1ca71
  atan2 3 c12b.e57177bb29126a35 c127.fb2f000000000000 c000.c4b09260b70b53df
  atan2 3 c11a.ff787da256a40fb9 c112.f8c8000000000000 c000.c8d187b854321cda
`;

function number(text: string): Parts {
  const [signExponent, significand] = text.split('.') as [string, string];
  const word = (from: number) => Number.parseInt(significand.slice(from, from + 8), 16) | 0;
  return unpack(new Parts(), Number.parseInt(signExponent, 16), word(0), word(8));
}

function text(p: Parts): string {
  const hex = (value: number, digits: number) => (value >>> 0).toString(16).padStart(digits, '0');
  return `${hex(signExponentOf(p), 4)}.${hex(p.high, 8)}${hex(p.low, 8)}`;
}

const FUNCTIONS: Record<string, (e: X87Arithmetic, r: Parts, x: Parts, y: Parts) => unknown> = {
  sin: (e, r, x) => sine(e, [r], x),
  cos: (e, r, x) => cosine(e, [r], x),
  tan: (e, r, x) => tangent(e, [r], x),
  exp2m1: powerOfTwo,
  ylog2: yLog2,
  ylog2p1: yLog2Plus1,
  atan2: arctangent,
};

test('results are rounded as the mode says', () => {
  const e = new X87Arithmetic();
  const r = new Parts();
  const lines = GOLDEN.trim().split('\n');
  expect(lines.length).toBeGreaterThan(60);
  for (const line of lines) {
    const [name, mode, x, y, result] = line.trim().split(' ') as [string, string, string, string, string];
    e.begin(0x037f | (Number(mode) << 10));
    FUNCTIONS[name]!(e, r, number(x), y === '-' ? new Parts() : number(y));
    expect(text(r), line).toBe(result);
  }
});

test('an angle of 2^63 and more is refused', () => {
  const e = new X87Arithmetic();
  e.begin(0x037f);
  const large = number('403e.8000000000000000');
  expect(sine(e, [new Parts()], large)).toBe(false);
  expect(tangent(e, [new Parts()], large)).toBe(false);
  expect(sineCosine(e, [new Parts(), new Parts()], number('403d.ffffffffffffffff'))).toBe(true);
});

test('powers of two have exact logarithms', () => {
  const e = new X87Arithmetic();
  const r = new Parts();
  for (const mode of [0, 1, 2, 3]) {
    e.begin(0x037f | (mode << 10));
    yLog2(e, r, number('4002.8000000000000000'), number('c000.ffffffffffffffff'));
    // 3 × -3.99…: 66 bits.
    expect(text(r)).toBe(mode === 1 ? 'c002.c000000000000000' : 'c002.bfffffffffffffff');
  }
});
