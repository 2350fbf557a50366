/**
 * The instruction table: one row a form, in the SDM's notation (vol. 2, appendix A "Opcode Map", A.2.1 and A.2.2).
 *
 *     opcode [np|66|f3|f2] [/digit] [=modrm] [mem|reg] mnemonic[|with REX.W] [operands] [attributes]
 *
 * opcode: hexadecimal, with 0f, 0f38 or 0f3a for the other maps; `+r` when its low three bits name a register, `+cc` a condition.
 * np, 66, f3, f2: the mandatory prefix; without one of these the row takes any.
 * Operands: an addressing letter and a type.
 *   E modrm.rm general register or memory · G modrm.reg general register · M memory only
 *   R general register in rm, whatever mod is
 *   V xmm in reg · W xmm or memory · U xmm in rm · P mmx in reg · Q mmx or memory · N mmx in rm
 *   I immediate · J branch displacement · O absolute address · Z register in the opcode · S segment register in reg
 *   K control register in reg · D debug register in reg
 *   X memory at (segment:)rsi · Y memory at rdi · A rAX · C CL · B memory at rbx (xlat) · T ST(i) in rm · H ST(0) · 1 the constant 1
 *   types: b 1, w 2, d 4, q 8, x 16, t 10 bytes; v by the operand size (2, 4, 8); y 4 or 8 by REX.W; p 8, or 2 with 66h
 *   (stack); z like v as an immediate of at most 4 bytes, sign-extended; s the immediate's byte, sign-extended to v;
 *   S the immediate's byte, sign-extended to p; P an immediate of 4 (2) bytes for p; u an unsigned byte; W an unsigned
 *   word; n no access (lea); e x87 environment (28 or 14); a x87 state (108 or 94); f FXSAVE area (512);
 *   m: 4, or 2 when the operand size is 2 (movsxd's source); c: 8, or 16 with REX.W (cmpxchg8b/16b)
 *   g: a far pointer, 2 bytes more than the operand size; h: register by operand size, memory 2 bytes (selectors); i, k: register 4 bytes, memory 2, 1 (pinsrw, pinsrb)
 * attributes: lock (LOCK allowed with a memory destination), wN (the operation size is N bytes).
 */

const ALU = ['add', 'or', 'adc', 'sbb', 'and', 'sub', 'xor', 'cmp']
  .map((op, i) => {
    const base = (low: number) => (i * 8 + low).toString(16).padStart(2, '0');
    const lock = op === 'cmp' ? '' : 'lock';
    return `
${base(0)} ${op} Eb,Gb ${lock}
${base(1)} ${op} Ev,Gv ${lock}
${base(2)} ${op} Gb,Eb
${base(3)} ${op} Gv,Ev
${base(4)} ${op} Ab,Ib
${base(5)} ${op} Av,Iz
80 /${i} ${op} Eb,Ib ${lock}
81 /${i} ${op} Ev,Iz ${lock}
83 /${i} ${op} Ev,Is ${lock}
`;
  })
  .join('');

const SHIFT = ['rol', 'ror', 'rcl', 'rcr', 'shl', 'shr', 'shl', 'sar']
  .map(
    (op, i) => `
c0 /${i} ${op} Eb,Iu
c1 /${i} ${op} Ev,Iu
d0 /${i} ${op} Eb,1
d1 /${i} ${op} Ev,1
d2 /${i} ${op} Eb,Cb
d3 /${i} ${op} Ev,Cb
`,
  )
  .join('');

const INTEGER = `
50+r push Zp
58+r pop Zp
63 movsxd Gv,Em
68 push IP
69 imul Gv,Ev,Iz
6a push IS
6b imul Gv,Ev,Is
70+cc jcc Jb
84 test Eb,Gb
85 test Ev,Gv
86 xchg Eb,Gb lock
87 xchg Ev,Gv lock
88 mov Eb,Gb
89 mov Ev,Gv
8a mov Gb,Eb
8b mov Gv,Ev
8c mov_seg Eh,Sw
8d mem lea Gv,Mn
8e mov_seg Sw,Ew
8f /0 pop Ep
90 f3 pause
90+r xchg Zv,Av
98 cbw
99 cwd
9c pushf - wp
9d popf - wp
9e sahf
9f lahf
a0 mov Ab,Ob
a1 mov Av,Ov
a2 mov Ob,Ab
a3 mov Ov,Av
a8 test Ab,Ib
a9 test Av,Iz
b0+r mov Zb,Ib
b8+r mov Zv,Iv
c2 ret IW wp
c3 ret - wp
c6 /0 mov Eb,Ib
c7 /0 mov Ev,Iz
c8 enter IW,Iu wp
c9 leave - wp
cc int3
cd int Iu
d7 xlat Bb
e0 loopne Jb
e1 loope Jb
e2 loop Jb
e3 jrcxz Jb
e8 call Jz
e9 jmp Jz
eb jmp Jb
f1 int1
f5 cmc
f6 /0 test Eb,Ib
f6 /1 test Eb,Ib
f6 /2 not Eb lock
f6 /3 neg Eb lock
f6 /4 mul Eb
f6 /5 imul Eb
f6 /6 div Eb
f6 /7 idiv Eb
f7 /0 test Ev,Iz
f7 /1 test Ev,Iz
f7 /2 not Ev lock
f7 /3 neg Ev lock
f7 /4 mul Ev
f7 /5 imul Ev
f7 /6 div Ev
f7 /7 idiv Ev
f8 clc
f9 stc
fc cld
fd std
fe /0 inc Eb lock
fe /1 dec Eb lock
ff /0 inc Ev lock
ff /1 dec Ev lock
ff /2 call Eq
ff /4 jmp Eq
ff /6 push Ep
0f00 /4 verr Ew
0f00 /5 verw Ew
0f02 lar Gv,Eh
0f03 lsl Gv,Eh
0f05 syscall
0f0b ud2
0f0d mem prefetch Mb
0f18 mem prefetch Mb
0f18 reg nop Ev
0f19 nop Ev
0f1a nop Ev
0f1b nop Ev
0f1c nop Ev
0f1d nop Ev
0f1e f3 =fa endbr64
0f1e nop Ev
0f1f nop Ev
0f31 rdtsc
0f40+cc cmovcc Gv,Ev
0f80+cc jcc Jz
0f90+cc setcc Eb
0fa0 push_seg - wp
0fa1 pop_seg - wp
0fa2 cpuid
0fa3 bt Ev,Gv
0fa4 shld Ev,Gv,Iu
0fa5 shld Ev,Gv,Cb
0fa8 push_seg - wp
0fa9 pop_seg - wp
0fab bts Ev,Gv lock
0fac shrd Ev,Gv,Iu
0fad shrd Ev,Gv,Cb
0faf imul Gv,Ev
0fb0 cmpxchg Eb,Gb lock
0fb1 cmpxchg Ev,Gv lock
0fb2 mem lss Gv,Mg
0fb3 btr Ev,Gv lock
0fb4 mem lfs Gv,Mg
0fb5 mem lgs Gv,Mg
0fb6 movzx Gv,Eb
0fb7 movzx Gv,Ew
0fb8 f3 popcnt Gv,Ev
0fb9 ud1 Gv,Ev
0fba /4 bt Ev,Iu
0fba /5 bts Ev,Iu lock
0fba /6 btr Ev,Iu lock
0fba /7 btc Ev,Iu lock
0fbb btc Ev,Gv lock
0fbc bsf Gv,Ev
0fbd bsr Gv,Ev
0fbe movsx Gv,Eb
0fbf movsx Gv,Ew
0fc0 xadd Eb,Gb lock
0fc1 xadd Ev,Gv lock
0fc7 /1 mem cmpxchg8b|cmpxchg16b Mc lock
0fc8+r bswap Zv
0fff ud0 Gv,Ev
0f38f0 f2 crc32 Gy,Eb
0f38f1 f2 crc32 Gy,Ev
`;

const STRING = `
a4 movs Yb,Xb
a5 movs Yv,Xv
a6 cmps Xb,Yb
a7 cmps Xv,Yv
aa stos Yb,Ab
ab stos Yv,Av
ac lods Ab,Xb
ad lods Av,Xv
ae scas Ab,Yb
af scas Av,Yv
`;

/** #GP(0) at privilege level 3 with IOPL 0, or with the user-mode-instruction prevention Linux turns on. */
const PRIVILEGED = `
6c ins
6d ins
6e outs
6f outs
ca retf IW
cb retf
cf iret
e4 in Iu
e5 in Iu
e6 out Iu
e7 out Iu
ec in
ed in
ee out
ef out
f4 hlt
fa cli
fb sti
ff /3 mem call_far Mt
ff /5 mem jmp_far Mt
0f00 /0 sldt Ew
0f00 /1 str Ew
0f00 /2 lldt Ew
0f00 /3 ltr Ew
0f01 /0 mem sgdt Mt
0f01 /1 mem sidt Mt
0f01 /2 mem lgdt Mt
0f01 /3 mem lidt Mt
0f01 /4 smsw Ew
0f01 /6 lmsw Ew
0f01 /7 mem invlpg Mb
0f01 =f8 swapgs
0f06 clts
0f07 sysret
0f08 invd
0f09 wbinvd
0f20 mov_cr Rq,Kq
0f21 mov_dr Rq,Dq
0f22 mov_cr Kq,Rq
0f23 mov_dr Dq,Rq
0f30 wrmsr
0f32 rdmsr
0f33 rdpmc
`;

const SSE = `
0f10 np movups Vx,Wx
0f10 f3 movss Vd,Wd
0f11 np movups Wx,Vx
0f11 f3 movss Wd,Vd
0f12 np mem movlps Vq,Mq
0f12 np reg movhlps Vx,Ux
0f13 np mem movlps Mq,Vq
0f14 np unpcklps Vx,Wx
0f15 np unpckhps Vx,Wx
0f16 np mem movhps Vx,Mq
0f16 np reg movlhps Vx,Ux
0f17 np mem movhps Mq,Vx
0f28 np movaps Vx,Wx
0f29 np movaps Wx,Vx
0f2a f3 cvtsi2ss Vd,Ey
0f2b np mem movntps Mx,Vx
0f2c f3 cvttss2si Gy,Wd
0f2d f3 cvtss2si Gy,Wd
0f2e np ucomiss Vd,Wd
0f2f np comiss Vd,Wd
0f50 np reg movmskps Gy,Ux
0f51 np sqrtps Vx,Wx
0f51 f3 sqrtss Vd,Wd
0f52 np rsqrtps Vx,Wx
0f52 f3 rsqrtss Vd,Wd
0f53 np rcpps Vx,Wx
0f53 f3 rcpss Vd,Wd
0f54 np andps Vx,Wx
0f55 np andnps Vx,Wx
0f56 np orps Vx,Wx
0f57 np xorps Vx,Wx
0f58 np addps Vx,Wx
0f58 f3 addss Vd,Wd
0f59 np mulps Vx,Wx
0f59 f3 mulss Vd,Wd
0f5c np subps Vx,Wx
0f5c f3 subss Vd,Wd
0f5d np minps Vx,Wx
0f5d f3 minss Vd,Wd
0f5e np divps Vx,Wx
0f5e f3 divss Vd,Wd
0f5f np maxps Vx,Wx
0f5f f3 maxss Vd,Wd
0fae np /0 mem fxsave|fxsave64 Mf
0fae np /1 mem fxrstor|fxrstor64 Mf
0fae np /2 mem ldmxcsr Md
0fae np /3 mem stmxcsr Md
0fae np /7 mem clflush Mb
0fae np /7 reg sfence
0fc2 np cmpps Vx,Wx,Iu
0fc2 f3 cmpss Vd,Wd,Iu
0fc6 np shufps Vx,Wx,Iu
`;

const SSE2 = `
0f10 66 movupd Vx,Wx
0f10 f2 movsd Vq,Wq
0f11 66 movupd Wx,Vx
0f11 f2 movsd Wq,Vq
0f12 66 mem movlpd Vq,Mq
0f13 66 mem movlpd Mq,Vq
0f14 66 unpcklpd Vx,Wx
0f15 66 unpckhpd Vx,Wx
0f16 66 mem movhpd Vx,Mq
0f17 66 mem movhpd Mq,Vx
0f28 66 movapd Vx,Wx
0f29 66 movapd Wx,Vx
0f2a f2 cvtsi2sd Vq,Ey
0f2b 66 mem movntpd Mx,Vx
0f2c f2 cvttsd2si Gy,Wq
0f2d f2 cvtsd2si Gy,Wq
0f2e 66 ucomisd Vq,Wq
0f2f 66 comisd Vq,Wq
0f50 66 reg movmskpd Gy,Ux
0f51 66 sqrtpd Vx,Wx
0f51 f2 sqrtsd Vq,Wq
0f54 66 andpd Vx,Wx
0f55 66 andnpd Vx,Wx
0f56 66 orpd Vx,Wx
0f57 66 xorpd Vx,Wx
0f58 66 addpd Vx,Wx
0f58 f2 addsd Vq,Wq
0f59 66 mulpd Vx,Wx
0f59 f2 mulsd Vq,Wq
0f5a np cvtps2pd Vx,Wq
0f5a 66 cvtpd2ps Vx,Wx
0f5a f3 cvtss2sd Vq,Wd
0f5a f2 cvtsd2ss Vd,Wq
0f5b np cvtdq2ps Vx,Wx
0f5b 66 cvtps2dq Vx,Wx
0f5b f3 cvttps2dq Vx,Wx
0f5c 66 subpd Vx,Wx
0f5c f2 subsd Vq,Wq
0f5d 66 minpd Vx,Wx
0f5d f2 minsd Vq,Wq
0f5e 66 divpd Vx,Wx
0f5e f2 divsd Vq,Wq
0f5f 66 maxpd Vx,Wx
0f5f f2 maxsd Vq,Wq
0f6c 66 punpcklqdq Vx,Wx
0f6d 66 punpckhqdq Vx,Wx
0f6e 66 movd|movq Vx,Ey
0f6f 66 movdqa Vx,Wx
0f6f f3 movdqu Vx,Wx
0f70 66 pshufd Vx,Wx,Iu
0f70 f3 pshufhw Vx,Wx,Iu
0f70 f2 pshuflw Vx,Wx,Iu
0f71 66 /2 reg psrlw Ux,Iu
0f71 66 /4 reg psraw Ux,Iu
0f71 66 /6 reg psllw Ux,Iu
0f72 66 /2 reg psrld Ux,Iu
0f72 66 /4 reg psrad Ux,Iu
0f72 66 /6 reg pslld Ux,Iu
0f73 66 /2 reg psrlq Ux,Iu
0f73 66 /3 reg psrldq Ux,Iu
0f73 66 /6 reg psllq Ux,Iu
0f73 66 /7 reg pslldq Ux,Iu
0f7e 66 movd|movq Ey,Vx
0f7e f3 movq Vx,Wq
0f7f 66 movdqa Wx,Vx
0f7f f3 movdqu Wx,Vx
0fae np /5 reg lfence
0fae np /6 reg mfence
0fc2 66 cmppd Vx,Wx,Iu
0fc2 f2 cmpsd Vq,Wq,Iu
0fc3 np mem movnti My,Gy
0fc4 66 pinsrw Vx,Ei,Iu
0fc5 66 reg pextrw Gy,Ux,Iu
0fc6 66 shufpd Vx,Wx,Iu
0fd6 66 movq Wq,Vq
0fd7 66 reg pmovmskb Gy,Ux
0fe6 66 cvttpd2dq Vx,Wx
0fe6 f3 cvtdq2pd Vx,Wq
0fe6 f2 cvtpd2dq Vx,Wx
0fe7 66 mem movntdq Mx,Vx
0ff7 66 reg maskmovdqu Yx,Vx,Ux
`;

/** Packed integer instructions that exist on both mmx and xmm registers with the same opcode. */
const PACKED = `
63 packsswb
64 pcmpgtb
65 pcmpgtw
66 pcmpgtd
67 packuswb
68 punpckhbw
69 punpckhwd
6a punpckhdq
6b packssdw
74 pcmpeqb
75 pcmpeqw
76 pcmpeqd
d1 psrlw
d2 psrld
d3 psrlq
d4 paddq
d5 pmullw
d8 psubusb
d9 psubusw
da pminub
db pand
dc paddusb
dd paddusw
de pmaxub
df pandn
e0 pavgb
e1 psraw
e2 psrad
e3 pavgw
e4 pmulhuw
e5 pmulhw
e8 psubsb
e9 psubsw
ea pminsw
eb por
ec paddsb
ed paddsw
ee pmaxsw
ef pxor
f1 psllw
f2 pslld
f3 psllq
f4 pmuludq
f5 pmaddwd
f6 psadbw
f8 psubb
f9 psubw
fa psubd
fb psubq
fc paddb
fd paddw
fe paddd
`
  .trim()
  .split('\n');

const SSE2_PACKED = `
0f60 66 punpcklbw Vx,Wx
0f61 66 punpcklwd Vx,Wx
0f62 66 punpckldq Vx,Wx
${PACKED.map((row) => `0f${row.replace(' ', ' 66 ')} Vx,Wx`).join('\n')}
`;

const SSE3 = `
0f12 f3 movsldup Vx,Wx
0f12 f2 movddup Vx,Wq
0f16 f3 movshdup Vx,Wx
0f7c 66 haddpd Vx,Wx
0f7c f2 haddps Vx,Wx
0f7d 66 hsubpd Vx,Wx
0f7d f2 hsubps Vx,Wx
0fd0 66 addsubpd Vx,Wx
0fd0 f2 addsubps Vx,Wx
0ff0 f2 mem lddqu Vx,Mx
`;

/** On mmx and on xmm registers. */
const SSSE3 = `
3800 pshufb
3801 phaddw
3802 phaddd
3803 phaddsw
3804 pmaddubsw
3805 phsubw
3806 phsubd
3807 phsubsw
3808 psignb
3809 psignw
380a psignd
380b pmulhrsw
381c pabsb
381d pabsw
381e pabsd
3a0f palignr ,Iu
`
  .trim()
  .split('\n')
  .map((row) => row.split(' ') as [string, string, string?])
  .map(([opcode, op, more = '']) => `0f${opcode} np ${op} Pq,Qq${more}\n0f${opcode} 66 ${op} Vx,Wx${more}`)
  .join('\n');

const SSE41 = `
0f3810 66 pblendvb Vx,Wx
0f3814 66 blendvps Vx,Wx
0f3815 66 blendvpd Vx,Wx
0f3817 66 ptest Vx,Wx
0f3820 66 pmovsxbw Vx,Wq
0f3821 66 pmovsxbd Vx,Wd
0f3822 66 pmovsxbq Vx,Ww
0f3823 66 pmovsxwd Vx,Wq
0f3824 66 pmovsxwq Vx,Wd
0f3825 66 pmovsxdq Vx,Wq
0f3828 66 pmuldq Vx,Wx
0f3829 66 pcmpeqq Vx,Wx
0f382a 66 mem movntdqa Vx,Mx
0f382b 66 packusdw Vx,Wx
0f3830 66 pmovzxbw Vx,Wq
0f3831 66 pmovzxbd Vx,Wd
0f3832 66 pmovzxbq Vx,Ww
0f3833 66 pmovzxwd Vx,Wq
0f3834 66 pmovzxwq Vx,Wd
0f3835 66 pmovzxdq Vx,Wq
0f3838 66 pminsb Vx,Wx
0f3839 66 pminsd Vx,Wx
0f383a 66 pminuw Vx,Wx
0f383b 66 pminud Vx,Wx
0f383c 66 pmaxsb Vx,Wx
0f383d 66 pmaxsd Vx,Wx
0f383e 66 pmaxuw Vx,Wx
0f383f 66 pmaxud Vx,Wx
0f3840 66 pmulld Vx,Wx
0f3841 66 phminposuw Vx,Wx
0f3a08 66 roundps Vx,Wx,Iu
0f3a09 66 roundpd Vx,Wx,Iu
0f3a0a 66 roundss Vd,Wd,Iu
0f3a0b 66 roundsd Vq,Wq,Iu
0f3a0c 66 blendps Vx,Wx,Iu
0f3a0d 66 blendpd Vx,Wx,Iu
0f3a0e 66 pblendw Vx,Wx,Iu
0f3a14 66 pextrb Ek,Vx,Iu
0f3a15 66 pextrw Ei,Vx,Iu
0f3a16 66 pextrd|pextrq Ey,Vx,Iu
0f3a17 66 extractps Ed,Vx,Iu
0f3a20 66 pinsrb Vx,Ek,Iu
0f3a21 66 insertps Vx,Wd,Iu
0f3a22 66 pinsrd|pinsrq Vx,Ey,Iu
0f3a40 66 dpps Vx,Wx,Iu
0f3a41 66 dppd Vx,Wx,Iu
0f3a42 66 mpsadbw Vx,Wx,Iu
`;

const SSE42 = `
0f3837 66 pcmpgtq Vx,Wx
0f3a60 66 pcmpestrm|pcmpestrm64 Vx,Wx,Iu
0f3a61 66 pcmpestri|pcmpestri64 Vx,Wx,Iu
0f3a62 66 pcmpistrm Vx,Wx,Iu
0f3a63 66 pcmpistri Vx,Wx,Iu
`;

const MMX = `
0f60 np punpcklbw Pq,Qd
0f61 np punpcklwd Pq,Qd
0f62 np punpckldq Pq,Qd
${PACKED.map((row) => `0f${row.replace(' ', ' np ')} Pq,Qq`).join('\n')}
0f2a np cvtpi2ps Vx,Qq
0f2a 66 cvtpi2pd Vx,Qq
0f2c np cvttps2pi Pq,Wq
0f2c 66 cvttpd2pi Pq,Wx
0f2d np cvtps2pi Pq,Wq
0f2d 66 cvtpd2pi Pq,Wx
0f6e np movd|movq Pq,Ey
0f6f np movq Pq,Qq
0f70 np pshufw Pq,Qq,Iu
0f71 np /2 reg psrlw Nq,Iu
0f71 np /4 reg psraw Nq,Iu
0f71 np /6 reg psllw Nq,Iu
0f72 np /2 reg psrld Nq,Iu
0f72 np /4 reg psrad Nq,Iu
0f72 np /6 reg pslld Nq,Iu
0f73 np /2 reg psrlq Nq,Iu
0f73 np /6 reg psllq Nq,Iu
0f77 np emms
0f7e np movd|movq Ey,Pq
0f7f np movq Qq,Pq
0fc4 np pinsrw Pq,Ei,Iu
0fc5 np reg pextrw Gy,Nq,Iu
0fd6 f3 reg movq2dq Vx,Nq
0fd6 f2 reg movdq2q Pq,Ux
0fd7 np reg pmovmskb Gy,Nq
0fe7 np mem movntq Mq,Pq
0ff7 np reg maskmovq Yq,Pq,Nq
`;

const ARITH87 = ['add', 'mul', 'com', 'comp', 'sub', 'subr', 'div', 'divr'];

const X87 = `
${ARITH87.map((op, i) => `d8 /${i} mem f${op} Md\nd8 /${i} reg f${op} H,T`).join('\n')}
d9 /0 mem fld Md
d9 /2 mem fst Md
d9 /3 mem fstp Md
d9 /4 mem fldenv Me
d9 /5 mem fldcw Mw
d9 /6 mem fnstenv Me
d9 /7 mem fnstcw Mw
d9 /0 reg fld T
d9 /1 reg fxch H,T
d9 =d0 fnop
${['fchs', 'fabs', '', '', 'ftst', 'fxam', '', '', 'fld1', 'fldl2t', 'fldl2e', 'fldpi', 'fldlg2', 'fldln2', 'fldz', '']
  .concat(['f2xm1', 'fyl2x', 'fptan', 'fpatan', 'fxtract', 'fprem1', 'fdecstp', 'fincstp', 'fprem', 'fyl2xp1'])
  .concat(['fsqrt', 'fsincos', 'frndint', 'fscale', 'fsin', 'fcos'])
  .map((op, i) => (op ? `d9 =${(0xe0 + i).toString(16)} ${op}` : ''))
  .join('\n')}
${ARITH87.map((op, i) => `da /${i} mem fi${op} Md`).join('\n')}
da /0 reg fcmovb H,T
da /1 reg fcmove H,T
da /2 reg fcmovbe H,T
da /3 reg fcmovu H,T
da =e9 fucompp
db /0 mem fild Md
db /1 mem fisttp Md
db /2 mem fist Md
db /3 mem fistp Md
db /5 mem fld Mt
db /7 mem fstp Mt
db /0 reg fcmovnb H,T
db /1 reg fcmovne H,T
db /2 reg fcmovnbe H,T
db /3 reg fcmovnu H,T
db =e0 fneni
db =e1 fndisi
db =e2 fnclex
db =e3 fninit
db =e4 fnsetpm
db /5 reg fucomi H,T
db /6 reg fcomi H,T
${ARITH87.map((op, i) => `dc /${i} mem f${op} Mq`).join('\n')}
dc /0 reg fadd T,H
dc /1 reg fmul T,H
dc /2 reg fcom H,T
dc /3 reg fcomp H,T
dc /4 reg fsubr T,H
dc /5 reg fsub T,H
dc /6 reg fdivr T,H
dc /7 reg fdiv T,H
dd /0 mem fld Mq
dd /1 mem fisttp Mq
dd /2 mem fst Mq
dd /3 mem fstp Mq
dd /4 mem frstor Ma
dd /6 mem fnsave Ma
dd /7 mem fnstsw Mw
dd /0 reg ffree T
dd /1 reg fxch H,T
dd /2 reg fst T
dd /3 reg fstp T
dd /4 reg fucom H,T
dd /5 reg fucomp H,T
${ARITH87.map((op, i) => `de /${i} mem fi${op} Mw`).join('\n')}
de /0 reg faddp T,H
de /1 reg fmulp T,H
de /2 reg fcomp H,T
de =d9 fcompp
de /4 reg fsubrp T,H
de /5 reg fsubp T,H
de /6 reg fdivrp T,H
de /7 reg fdivp T,H
df /0 mem fild Mw
df /0 reg ffreep T
df /1 reg fxch H,T
df /2 reg fstp T
df /3 reg fstp T
df /1 mem fisttp Mw
df /2 mem fist Mw
df /3 mem fistp Mw
df /4 mem fbld Mt
df /5 mem fild Mq
df /6 mem fbstp Mt
df /7 mem fistp Mq
df =e0 fnstsw Aw
df /5 reg fucomip H,T
df /6 reg fcomip H,T
9b fwait
`;

/** Families of forms. POPCNT and CRC32 count as integer instructions, FISTTP as one of the x87. */
export type Area =
  | 'integer'
  | 'string'
  | 'privileged'
  | 'sse'
  | 'sse2'
  | 'sse3'
  | 'ssse3'
  | 'sse4.1'
  | 'sse4.2'
  | 'mmx'
  | 'x87';

export const ROWS: readonly (readonly [Area, string])[] = [
  ['integer', ALU],
  ['integer', SHIFT],
  ['integer', INTEGER],
  ['string', STRING],
  ['privileged', PRIVILEGED],
  ['sse', SSE],
  ['sse2', SSE2],
  ['sse2', SSE2_PACKED],
  ['sse3', SSE3],
  ['ssse3', SSSE3],
  ['sse4.1', SSE41],
  ['sse4.2', SSE42],
  ['mmx', MMX],
  ['x87', X87],
];
